"""The features of a network: what its head, the last linear layer, computes the logits from.

Shapes: B images, H×W pixels, D features, C classes.
"""

from collections import Counter
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tenfold.core.errors import ModelError
from tenfold.models.blocks import BatchNorm
from tenfold.models.weights import head_layers

_TOLERANCE = 1e-3
"""Largest difference of two logits, relative to the largest logit, that rounding explains."""


def head_of(model: nn.Module, num_classes: int) -> nn.Linear:
    """Returns the head of a network: its last linear layer, which has one output per class.

    Raises:
        ModelError: when there is no such layer.
    """
    layers = head_layers(model, num_classes)
    head = model.get_submodule(layers[-1]) if layers else None
    if not isinstance(head, nn.Linear) or len(layers) != 1:
        raise ModelError(
            f"{type(model).__name__} does not end in one linear layer with {num_classes:,} outputs, so its features "
            "are unknown; expected a network such as lite0, or most of timm's"
        )
    return head


class FeatureNetwork(nn.Module):
    """A frozen copy of a network without its head, with batch norm folded into convolutions.

    Args:
        model: a network with one linear head.
        num_classes: number of its outputs.
        image_size: height and width of its images, in pixels.

    Raises:
        ModelError: when it has no linear head, or its logits are not those of the head alone.

    Example:
        >>> from tenfold.models.build import build_model
        >>> model = build_model("lite0", {}, num_classes=2, image_size=(64, 64))
        >>> FeatureNetwork(model, 2, (64, 64))(torch.zeros(4, 3, 64, 64)).shape
        torch.Size([4, 1280])
    """

    def __init__(self, model: nn.Module, num_classes: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        device = next(model.parameters()).device
        example = torch.linspace(-1, 1, 3 * image_size[0] * image_size[1], device=device).view(1, 3, *image_size)
        head = head_of(model, num_classes)
        network = deepcopy(model).eval().requires_grad_(False)
        with torch.no_grad():  # weights made in inference mode could not be used in every other mode
            logits = network(example)
            name = head_layers(network, num_classes)[-1]
            network.set_submodule(name, nn.Identity())
            features = network(example)
            if features.ndim != 2 or features.shape[1] != head.in_features or not _same(head(features), logits):
                raise ModelError(
                    f"the logits of {type(model).__name__} are not those of its last linear layer alone, so a head "
                    "cannot be fitted to its features; train all layers instead (train.layers = 'all')"
                )
            folded = _folded(network, example)
            self.network = folded if _same(folded(example), features) else network
        self.num_features = head.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Returns features, float [B, D], for normalized images, float [B, 3, H, W]."""
        features: Tensor = self.network(images)
        return features


def _same(values: Tensor, expected: Tensor) -> bool:
    return bool((values - expected).abs().max() <= _TOLERANCE * expected.abs().max().clamp_min(1e-6))


def _folded(model: nn.Module, example: Tensor) -> nn.Module:
    """Returns a copy in which each batch norm that directly follows a convolution is part of it.

    The pairs are found by a forward pass: the input of such a batch norm is the very output of the convolution.
    """
    copy = deepcopy(model)
    producers: dict[int, str] = {}
    pairs: dict[str, str] = {}
    calls: Counter[str] = Counter()
    kept: list[Tensor] = []  # so that no two outputs have the same identity

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[name] += 1
        if isinstance(module, nn.Conv2d):
            producers[id(output)] = name
            kept.append(output)
        elif id(inputs[0]) in producers:
            pairs[producers[id(inputs[0])]] = name

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: note(name, module, inputs, output))
        for name, module in copy.named_modules()
        if isinstance(module, nn.Conv2d) or type(module) in (nn.BatchNorm2d, BatchNorm)
    ]
    copy(example)
    for handle in handles:
        handle.remove()
    for convolution, norm in pairs.items():
        if calls[convolution] == calls[norm] == 1:
            fused = fuse_conv_bn_eval(copy.get_submodule(convolution), copy.get_submodule(norm))  # type: ignore[type-var, arg-type]
            copy.set_submodule(convolution, fused)
            copy.set_submodule(norm, nn.Identity())
    return copy
