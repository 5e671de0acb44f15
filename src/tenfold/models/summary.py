"""What a network is made of, layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerRow:
    """One layer for one picture.

    Args:
        name: the layer's place in the network, as in its `state_dict`.
        kind: class of the layer.
        output_shape: without the batch dimension; of the first tensor where there are several, empty where none is.
        parameters: number of weights, trained or not, that no row before holds.
        multiply_adds: multiplications with addition in one forward pass.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, image_size: tuple[int, int]) -> list[LayerRow]:
    """Runs one picture of zeros through `model` and returns a row for each layer, in the order of use.

    What is made of layers and has weights of its own beside theirs, such as a transformer's embedding of positions,
    gets a row behind them: the rows' parameters add up to those of the network.

    Args:
        model: any network that takes float [1, 3, H, W].
        image_size: height and width of the picture, in pixels.
    """
    rows: list[LayerRow] = []
    counted: set[nn.Parameter] = set()

    def note(name: str, layer: nn.Module, output: object) -> None:
        own = set(layer.parameters()) - counted
        counted.update(own)
        if own or not list(layer.children()):
            rows.append(_describe(name, layer, output, sum(weight.numel() for weight in own)))

    handles = [
        layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
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
    shape, work = ((), 0) if first is None else (tuple(first.shape[1:]), _multiply_adds(layer, first))
    return LayerRow(name or "(network)", type(layer).__name__, shape, parameters, work)


def _first_tensor(output: object) -> Tensor | None:
    """Returns the first tensor in what a layer returned, which for some is a tuple or a mapping."""
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(_first_tensor, parts) if found is not None), None)


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    """Returns multiplications with addition for one picture; only layers that multiply matrices count."""
    if isinstance(layer, nn.Conv2d):
        return output.numel() * layer.weight[0].numel()
    return output.numel() * layer.in_features if isinstance(layer, nn.Linear) else 0
