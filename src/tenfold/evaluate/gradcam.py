"""Grad-CAM in its form HiResCAM: which regions of an image support a class.

R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization"
(arXiv:1610.02391), weights channels by their mean gradient. R. L. Draelos and L. Carin, "Use HiResCAM instead of
Grad-CAM" (arXiv:2011.08891), weights each position by its own gradient, and so highlights only positions that the
network used.

Shapes: B images, C classes, H×W pixels, K channels of h×w features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tenfold.evaluate.logits import evaluation_mode

_MIN_SIDE = 7
"""Preferred number of feature rows and columns: that of the last convolution of the usual networks."""


def class_activation(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor | None:
    """Returns the HiResCAM map of one class for each image (arXiv:2011.08891).

    The map comes from the last convolution with at least 7×7 output positions, or else from the last convolution
    with more than one. The model's modes, weights, gradients and hooks stay as they were, also after an error.

    Args:
        model: from float [B, 3, H, W] to logits [B, C].
        images: float [B, 3, H, W], normalized, on the model's device.
        classes: int64 [B], each in [0, C), the class to explain for each image.

    Returns:
        float32 [B, H, W] in [0, 1]. The maximum of each map is 1, or 0 where no position supports the class. None
        for a network without such a convolution, e.g. an MLP, or where no gradient reaches it.
    """
    with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(model), _captured(model) as captured:
        # tensors made in inference mode cannot take part in autograd, but clones of them can
        weights = {
            name: weight.clone().detach() for name, weight in (*model.named_parameters(), *model.named_buffers())
        }
        # the images require a gradient, as frozen weights do not
        logits = functional_call(model, weights, images.clone().detach().requires_grad_())  # B C
        if "features" not in captured:
            return None
        features = captured["features"]  # B K h w
        own = logits.gather(1, classes.clone()[:, None]).sum()  # each logit depends on its own image alone
        (gradient,) = torch.autograd.grad(own, features, materialize_grads=True)  # B K h w
    maps = F.relu((gradient.float() * features.detach().float()).sum(1, keepdim=True))  # B 1 h w
    maps = F.interpolate(maps, images.shape[2:], mode="bilinear")[:, 0]  # B H W
    highest = maps.amax((1, 2), keepdim=True)  # B 1 1
    return maps / highest.where(highest > 0, 1)


@contextmanager
def _captured(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Captures the output of the convolution to explain during a forward pass, under the key `features`.

    Where a batch norm follows at once, its output takes its place: that of the convolution has an arbitrary offset.
    """
    captured: dict[str, Tensor] = {}

    def capture(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before = captured.get("features")
        if not isinstance(module, nn.Conv2d):
            if before is not None and inputs[0] is before:
                captured["features"] = output
            return
        coarse_after_fine = before is not None and min(before.shape[2:]) >= _MIN_SIDE > min(output.shape[2:])
        if output.requires_grad and output.shape[2:].numel() > 1 and not coarse_after_fine:
            captured["features"] = output

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [module.register_forward_hook(capture) for module in model.modules() if isinstance(module, kinds)]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()
