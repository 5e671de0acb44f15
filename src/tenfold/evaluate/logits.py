"""From a model and batches of pictures to logits. B pictures in a batch, N in all, C classes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate.views import averaged_logits, views_named


def predict_logits(
    model: nn.Module,
    batches: Iterable[Tensor],
    normalize: Callable[[Tensor], Tensor],
    *,
    views: str = "plain",
    unsure_below: float = 1.0,
    autocast: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Runs a model over pictures in evaluation mode and leaves it as it was, also after an error.

    Logits stay on the device until the end: the processor waits for it once, not once a batch.

    Args:
        model: takes float [B, 3, H, W], gives logits [B, C].
        batches: uint8 [B, 3, H, W] each, on the model's device.
        normalize: from uint8 pictures to the model's input.
        views: of each picture whose logits are averaged; a name of `VIEWS`.
        unsure_below: see `averaged_logits`.
        autocast: computes in this type where the device allows it, e.g. `torch.bfloat16`.

    Returns:
        Logits averaged over the views, and those of the plain view alone: float32 [N, C] each, on the CPU.

    Raises:
        DataError: when there is no batch.
        ModelError: when the model gives something else than one row of logits for each picture.
        UsageError: when there are no such views.
    """
    shown = views_named(views)

    def logits_of(images: Tensor) -> Tensor:
        return _checked(model(images), len(images)).float()  # B C

    chunks = []
    with evaluation_mode(model), torch.inference_mode():
        for batch in batches:
            with torch.autocast(batch.device.type, autocast, enabled=autocast is not None):
                chunks.append(averaged_logits(logits_of, normalize(batch), shown, unsure_below))
    if not chunks:
        raise DataError("there are no pictures to predict; expected at least one batch")
    averaged, plain = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return averaged.cpu(), plain.cpu()  # outside inference mode, so that they are ordinary tensors


def _checked(logits: object, count: int) -> Tensor:
    if isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == count:
        return logits
    found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    raise ModelError(
        f"the model returned {found} for {count} pictures; expected one row of logits for each, [{count}, classes]"
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode, and each of its modules back into its own mode in the end.

    Example:
        >>> model = nn.Dropout()
        >>> with evaluation_mode(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
