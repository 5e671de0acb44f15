"""Where in a picture a network found a class: Grad-CAM, in its form HiResCAM.

R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization"
(arXiv:1610.02391), weighs channels by their mean gradient; R. L. Draelos and L. Carin, "Use HiResCAM instead of
Grad-CAM" (arXiv:2011.08891), weighs each place by its own gradient, and so shows only places that the network used.

Shapes: B pictures, C classes, H×W pixels, K channels of h×w features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tenfold.evaluate.logits import evaluation_mode

_PLACES = 7
"""Rows and columns that a convolution must give to be looked at, where one does: those of the usual networks' last."""


def class_activation(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor | None:
    """Returns how much each place of a picture speaks for a class, by the last convolution of at least 7×7 places.

    Where no convolution has so many, it is the last that has more than one.

    The model is left as it was, also after an error: its modes, weights, gradients and hooks.

    Args:
        model: from float [B, 3, H, W] to logits [B, C].
        images: float [B, 3, H, W], normalised, on the model's device.
        classes: int64 [B], each in [0, C), one for each picture.

    Returns:
        float32 [B, H, W] in [0, 1]; in each picture the place that speaks most for the class has 1, and all places
        have 0 where none speaks for it. None where there is no such convolution, as in a perceptron, or no gradient
        gets to it.
    """
    with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(model), _watched(model) as seen:
        # what was made in inference mode can have no part in a gradient, but clones of it can
        weights = {
            name: weight.clone().detach() for name, weight in (*model.named_parameters(), *model.named_buffers())
        }
        # the pictures ask for a gradient, as frozen weights do not
        logits = functional_call(model, weights, images.clone().detach().requires_grad_())  # B C
        if "features" not in seen:
            return None
        features = seen["features"]  # B K h w
        own = logits.gather(1, classes.clone()[:, None]).sum()  # each picture's logit depends on that picture alone
        (gradient,) = torch.autograd.grad(own, features, materialize_grads=True)  # B K h w
    speaking = F.relu((gradient.float() * features.detach().float()).sum(1, keepdim=True))  # B 1 h w
    speaking = F.interpolate(speaking, images.shape[2:], mode="bilinear")[:, 0]  # B H W
    most = speaking.amax((1, 2), keepdim=True)  # B 1 1
    return speaking / most.where(most > 0, 1)


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keeps, of a forward pass, what the convolution gives that is to be looked at, as `features`."""
    seen: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        before = seen.get("features")
        coarse_after_fine = before is not None and min(before.shape[2:]) >= _PLACES > min(output.shape[2:])
        if output.requires_grad and output.shape[2:].numel() > 1 and not coarse_after_fine:
            seen["features"] = output

    hooks = [module.register_forward_hook(keep) for module in model.modules() if isinstance(module, nn.Conv2d)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
