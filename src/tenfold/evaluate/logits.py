"""From a model and batches of images to logits. B images in a batch, N in all, C classes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from tenfold.core.cores import RunAll, in_turn
from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate.views import averaged_logits, views_named

T = TypeVar("T")


def predict_logits(
    model: nn.Module,
    batches: Iterable[T],
    inputs_of: Callable[[T], Tensor],
    *,
    views: str = "plain",
    unsure_below: float = 1.0,
    autocast: torch.dtype | None = None,
    run_all: RunAll = in_turn,
) -> tuple[Tensor, Tensor]:
    """Runs a model over images in evaluation mode; the modes of its modules are restored, also after an error.

    Logits stay on the device until the end: the CPU waits for the device once, not once per batch.

    Args:
        model: from float [B, 3, H, W] to logits [B, C].
        batches: what stands for B images each, such as uint8 [B, 3, H, W].
        inputs_of: from a batch to the model's input, float [B, 3, H, W] on the model's device.
        views: test-time augmentation (TTA): the views of each image whose logits are averaged; a key of `VIEWS`.
        unsure_below: see `averaged_logits`.
        autocast: dtype for the computation where the device supports it, e.g. `torch.bfloat16`.
        run_all: computes the batches; see `one_core_each`.

    Returns:
        Logits averaged over the views, and logits without TTA: float32 [N, C] each, on the CPU.

    Raises:
        DataError: when there are no batches.
        ModelError: when the model does not return one row of logits per image.
        UsageError: when `views` is not a key of `VIEWS`.
    """
    image_views = views_named(views)

    def logits_of(images: Tensor) -> Tensor:
        return _checked(model(images), len(images)).float()  # B C

    def chunk_of(batch: T) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():  # a mode of this thread alone, as autocast
            inputs = inputs_of(batch)
            with torch.autocast(inputs.device.type, autocast, enabled=autocast is not None):
                return averaged_logits(logits_of, inputs, image_views, unsure_below)

    with evaluation_mode(model):
        chunks = run_all(chunk_of, batches)
    if not chunks:
        raise DataError("there are no images to predict; expected at least one batch")
    averaged, plain = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return averaged.cpu(), plain.cpu()  # outside inference mode, so that they are ordinary tensors


def _checked(logits: object, num_images: int) -> Tensor:
    if isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == num_images:
        return logits
    found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    raise ModelError(
        f"the model returned {found} for {num_images} images; "
        f"expected one row of logits per image, [{num_images}, classes]"
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode, and restores the mode of each of its modules at the end.

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
