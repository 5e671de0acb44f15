"""Summary of a network: shape, parameters and multiply-adds of each layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerRow:
    """One layer, for one image.

    Args:
        name: name of the layer in the network, as in the `state_dict`.
        kind: class name of the layer.
        output_shape: without the batch dimension; of the first output tensor, empty if there is none.
        parameters: number of weights, including frozen ones, that are not counted in an earlier row.
        multiply_adds: multiply-add operations in one forward pass.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, image_size: tuple[int, int]) -> list[LayerRow]:
    """Runs an image of zeros through `model` and returns one row per layer, in execution order.

    A module with weights of its own besides those of its layers, such as a transformer with position embeddings, gets a
    row after them. The parameters of all rows add up to those of the network.

    Args:
        model: a network with input float [1, 3, H, W].
        image_size: height and width of the image, in pixels.
    """
    rows: list[LayerRow] = []
    counted: set[nn.Parameter] = set()

    def add_row(name: str, layer: nn.Module, output: object) -> None:
        own = set(layer.parameters()) - counted
        counted.update(own)
        if own or not list(layer.children()):
            rows.append(_describe(name, layer, output, sum(weight.numel() for weight in own)))

    handles = [
        layer.register_forward_hook(lambda layer, _, output, name=name: add_row(name, layer, output))
        for name, layer in model.named_modules()
    ]
    was_training = model.training
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, *image_size, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return rows


def _describe(name: str, layer: nn.Module, output: object, parameters: int) -> LayerRow:
    first = _first_tensor(output)
    shape, multiply_adds = ((), 0) if first is None else (tuple(first.shape[1:]), _multiply_adds(layer, first))
    return LayerRow(name or "(network)", type(layer).__name__, shape, parameters, multiply_adds)


def _first_tensor(output: object) -> Tensor | None:
    """Returns the first tensor in the output of a layer, which can be a tuple or a mapping."""
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(_first_tensor, parts) if found is not None), None)


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Returns multiply-adds for one image. Only convolutions and linear layers are counted."""
    if isinstance(layer, nn.Conv2d):
        return output.numel() * layer.weight[0].numel()
    return output.numel() * layer.in_features if isinstance(layer, nn.Linear) else 0
