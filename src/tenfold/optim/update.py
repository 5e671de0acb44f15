"""What every update rule has: weights, a learning rate, a momentum buffer for each weight.

`torch.optim.Optimizer` offers more, and costs more: its first use loads PyTorch's compiler, a second that a run of
twenty feels, and its hooks and profiling take a tenth of a step with a batch of 4.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Update(ABC):
    """A rule by which some weights follow their gradients.

    Args:
        weights: at least one, on their device.
        lr: learning rate, above 0; `lr` may be set between steps.
        momentum: share of the former update that is kept, in [0, 1).
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float) -> None:
        self.weights = list(weights)
        self.lr = lr
        self.momentum = momentum
        self.buffers: list[Tensor | None] = [None] * len(self.weights)

    @torch.no_grad()
    def step(self) -> None:
        """Updates every weight that has a gradient, and forgets the gradients."""
        places = [place for place, weight in enumerate(self.weights) if weight.grad is not None]
        self._update(places)
        for place in places:
            self.weights[place].grad = None

    @abstractmethod
    def _update(self, places: list[int]) -> None:
        """Updates the weights at `places`, all of which have gradients."""

    def load_buffer(self, place: int, value: Tensor) -> None:
        """Restores a momentum buffer, in memory as its weight lies: fused updates walk both side by side."""
        self.buffers[place] = torch.empty_like(self.weights[place]).detach().copy_(value)


class MomentumSGD(Update):
    """Stochastic gradient descent by PyTorch's own kernels, fused where the device has that.

    Args:
        weights: at least one, on their device.
        lr: learning rate, above 0.
        momentum: share of the former update that is kept, in [0, 1).
        nesterov: whether to look ahead.
        weight_decay: times the weight is added to its gradient.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> rule = MomentumSGD([weight], lr=0.5, momentum=0.9)
        >>> weight.square().sum().backward(); rule.step(); weight.item()
        0.0
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(weights, lr, momentum)
        self._nesterov = nesterov
        self._weight_decay = weight_decay
        self._fused = self.weights[0].device.type in ("cpu", "cuda")

    def _update(self, places: list[int]) -> None:
        buffers = [self.buffers[place] for place in places]
        sgd(
            [self.weights[place] for place in places],
            [self.weights[place].grad for place in places],  # type: ignore[misc]
            buffers,
            fused=self._fused,
            weight_decay=self._weight_decay,
            momentum=self.momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
        )
        for place, buffer in zip(places, buffers, strict=True):
            self.buffers[place] = buffer
