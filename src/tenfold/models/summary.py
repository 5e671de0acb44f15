"""What a network is made of, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerRow:
    """One layer for one picture.

    Args:
        name: the layer's place in the network, as in its `state_dict`.
        kind: class of the layer.
        output_shape: without the batch dimension.
        parameters: number of weights, trained or not.
        multiply_adds: multiplications with addition in one forward pass.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, image_size: tuple[int, int]) -> list[LayerRow]:
    """Runs one picture of zeros through `model` and returns a row for each layer, in the order of use.

    Args:
        model: any network that takes float [1, 3, H, W].
        image_size: height and width of the picture, in pixels.
    """
    rows: list[LayerRow] = []
    handles = [
        layer.register_forward_hook(lambda layer, _, output, name=name: rows.append(_describe(name, layer, output)))
        for name, layer in model.named_modules()
        if not list(layer.children())
    ]
    was_training = model.training
    weight = next(model.parameters())
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, *image_size, device=weight.device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return rows


def _describe(name: str, layer: nn.Module, output: Tensor) -> LayerRow:
    parameters = sum(weight.numel() for weight in layer.parameters(recurse=False))
    shape = tuple(output.shape[1:])
    return LayerRow(name or "(network)", type(layer).__name__, shape, parameters, _multiply_adds(layer, output))


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Returns multiplications with addition for one picture; only layers that multiply matrices count."""
    if isinstance(layer, nn.Conv2d):
        return output.numel() * layer.weight[0].numel()
    return output.numel() * layer.in_features if isinstance(layer, nn.Linear) else 0
