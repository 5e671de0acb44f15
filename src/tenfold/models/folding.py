"""Networks as evaluation runs them: with batch norms that are part of the convolutions before them.

Shapes: B images, H×W pixels.
"""

from collections import Counter
from copy import deepcopy
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_TOLERANCE = 1e-3
"""Largest difference of two outputs, relative to the largest output, that rounding explains."""

_KNOWN_PACKAGES = ("tenfold", "timm")


class _Folded(NamedTuple):
    """A copy of a network, or None where it cannot be folded, and what the network was when that was found."""

    network: nn.Module | None
    layers: list[tuple[Any, dict[str, Any]]]
    state: list[Tensor]


_kept: "WeakKeyDictionary[nn.Module, _Folded]" = WeakKeyDictionary()


def is_own_network(model: nn.Module) -> bool:
    """Returns whether a network may do more than compute: a user's own, or one with hooks.

    Its `forward` may hold state, so it is neither copied nor called by several threads at once.
    """
    modules = list(model.modules())
    packages = [type(module).__module__.partition(".")[0] for module in modules]
    known = packages[0] in _KNOWN_PACKAGES and set(packages) <= {*_KNOWN_PACKAGES, "torch"}
    return not known or any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def inference_network(model: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """Returns the network that computes logits: a copy with folded batch norms, or the network where there are none.

    The copy is kept until a weight, layer or setting of the network changes.

    Args:
        model: from float [B, 3, H, W] to logits.
        image_size: H and W.

    Returns:
        The network itself where it is a user's own, has nothing to fold, or would compute something else when folded.
        A copy is in evaluation mode and without gradients.
    """
    if is_own_network(model) or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    kept, layers, state = _kept.get(model), _layers(model), _state(model)
    if kept is not None and kept.layers == layers and _are_equal(kept.state, state):
        return model if kept.network is None else kept.network
    example = example_image(image_size, next(model.parameters()).device)
    with torch.inference_mode(False), torch.no_grad():
        network = folded(model, example)
        if (
            network is not None and example.device.type == "cpu"
        ):  # so that the bits are those of a network that was just loaded
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _kept[model] = _Folded(network, layers, [tensor.clone() for tensor in state])
    return model if network is None else network


def example_image(image_size: tuple[int, int], device: torch.device) -> Tensor:
    """Returns a normalized image on which networks are compared, float [1, 3, H, W]."""
    return torch.linspace(-1, 1, 3 * image_size[0] * image_size[1], device=device).view(1, 3, *image_size)


def is_same(values: Tensor, expected: Tensor) -> bool:
    """Returns whether two outputs differ by no more than rounding explains."""
    return bool((values - expected).abs().max() <= _TOLERANCE * expected.abs().max().clamp_min(1e-6))


def folded(model: nn.Module, example: Tensor) -> nn.Module | None:
    """Returns a frozen copy in which each batch norm that directly follows a convolution is part of it.

    The pairs are found by a forward pass: the input of such a batch norm is the very output of the convolution.

    Args:
        model: any network.
        example: float [B, 3, H, W]; nothing may record gradients.

    Returns:
        The copy, in evaluation mode; None if it computes something else.
    """
    copy = deepcopy(model).eval().requires_grad_(False)
    producers: dict[int, str] = {}
    pairs: dict[str, str] = {}
    calls: Counter[str] = Counter()
    kept: list[Tensor] = []  # so that no two outputs have the same identity

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[name] += 1
        if isinstance(module, nn.Conv2d):
            producers[id(output)] = name
            kept.append(output)
        elif id(inputs[0]) in producers and module.running_mean is not None:
            pairs[producers[id(inputs[0])]] = name

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: note(name, module, inputs, output))
        for name, module in copy.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    expected = copy(example)
    for handle in handles:
        handle.remove()
    for convolution, norm in pairs.items():
        if calls[convolution] == calls[norm] == 1:
            _fold(copy.get_submodule(convolution), copy.get_submodule(norm))
            copy.set_submodule(norm, _after(copy.get_submodule(norm)))
    return copy if is_same(copy(example), expected) else None


def _after(norm: nn.Module) -> nn.Module:
    """Returns what is left of a batch norm that was folded: one of timm's may end in an activation."""
    return nn.Sequential(*(getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)))


def _fold(convolution: Any, norm: Any) -> None:
    """Changes the weights of a convolution so that it also does what a batch norm after it does."""
    statistics = norm.running_mean, norm.running_var, norm.eps
    weights = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics, norm.weight, norm.bias)
    convolution.weight, convolution.bias = weights


def _layers(model: nn.Module) -> list[tuple[Any, dict[str, Any]]]:
    """Returns the layers of a network and their settings, such as a stride, without keeping the layers alive."""
    kinds = (bool, int, float, str, tuple)
    return [
        (ref(module), {key: value for key, value in vars(module).items() if key != "training" and type(value) in kinds})
        for module in model.modules()
    ]


def _state(model: nn.Module) -> list[Tensor]:
    return [*(weight.detach() for weight in model.parameters()), *model.buffers()]


def _are_equal(tensors: list[Tensor], others: list[Tensor]) -> bool:
    """Returns whether two lists hold the same tensors, bit for bit; the first difference ends the comparison."""
    return len(tensors) == len(others) and all(
        (a.device, a.dtype, a.shape) == (b.device, b.dtype, b.shape) and torch.equal(a, b)
        for a, b in zip(tensors, others, strict=True)
    )
