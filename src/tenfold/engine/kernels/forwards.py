"""Layers that run otherwise in a training step: their forward pass is replaced there, and only there.

The network itself stays plain PyTorch. It is evaluated, saved and exported as it was built.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from torch import Tensor, nn

Forward = Callable[..., Tensor]


class ReplacedForwards:
    """Context manager in which layers have another forward pass.

    Args:
        forwards: the other forward pass of each layer.
    """

    def __init__(self, forwards: Mapping[nn.Module, Forward]) -> None:
        self.forwards = forwards

    def __enter__(self) -> Self:
        for layer, forward in self.forwards.items():
            layer.__dict__["forward"] = forward
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for layer in self.forwards:
            del layer.__dict__["forward"]


def is_2x2_pool(layer: nn.Module) -> bool:
    """Returns whether a layer is max-pooling that `max_pool2d(features, 2)` computes."""
    if not isinstance(layer, nn.MaxPool2d) or type(layer).forward is not nn.MaxPool2d.forward:
        return False
    window = layer.kernel_size in (2, (2, 2)) and layer.stride in (2, (2, 2)) and layer.padding in (0, (0, 0))
    return window and layer.dilation in (1, (1, 1)) and not (layer.ceil_mode or layer.return_indices)
