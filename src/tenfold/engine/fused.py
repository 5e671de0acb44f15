"""Forward pass, loss and backward pass with neighboring layers fused into single kernels by `torch.compile`.

Between convolutions a GPU waits for its memory: pooling, normalization and activation each read and write all features.
https://pytorch.org/docs/stable/generated/torch.compile.html
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.engine.loss import mean_loss

LossAndLogits = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images, uint8 [B, 3, H, W], and labels, int64 [B], to the mean loss, float [], and logits, float [B, C]."""

_MAX_VERSIONS = 256
"""Compiled versions of one function that PyTorch keeps: one for each network, image size and training mode."""


def fused_loss(
    model: nn.Module, preprocessing: Preprocessing, label_smoothing: float, class_weights: Tensor | None = None
) -> LossAndLogits:
    """Returns the loss of a network as a compiled function; each image size is compiled at its first call.

    Args:
        model: on its device, in training mode.
        preprocessing: its mean and std normalize the images.
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        class_weights: float32 [C] on the device; see `mean_loss`.
    """
    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # its name until torch 2.6
    setattr(config, limit, max(getattr(config, limit), _MAX_VERSIONS))
    device = next(model.parameters()).device
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    compiled = torch.compile(_loss, dynamic=False, fullgraph=True)
    return lambda images, labels: compiled(model, images, labels, mean, std, label_smoothing, class_weights)


def _loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mean: Tensor,
    std: Tensor,
    label_smoothing: float,
    class_weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    logits = model((images.float() / 255 - mean) / std)  # B C
    return mean_loss(logits.float(), labels, label_smoothing, class_weights), logits
