"""What every update rule has: weights, a learning rate, what it remembers of each weight.

`torch.optim.Optimizer` offers more, and costs more: its first use loads PyTorch's compiler, a second that a run of
twenty feels, and its hooks and profiling take a tenth of a step with a batch of 4.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

Memory = dict[str, list[Tensor]]
"""What a rule remembers: by name, one tensor for each weight."""


class Update(ABC):
    """A rule by which some weights follow their gradients.

    Args:
        weights: at least one, on their device.
        lr: learning rate, above 0.
    """

    reads_lr_on_device = False
    """Whether the rule can read its learning rate from a tensor, as steps need that are recorded and replayed."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        self.weights = list(weights)
        self.lr: float | Tensor = lr
        self.memory: Memory = {}

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the steps to come; on the device, without waiting for it, where it lies there."""
        if isinstance(self.lr, Tensor):
            self.lr.fill_(lr)
        else:
            self.lr = lr

    def keep_lr_on_device(self) -> None:
        """Puts the learning rate where a recorded step reads it anew at each replay."""
        self.lr = torch.full((), float(self.lr), device=self.weights[0].device)

    def step(self) -> None:
        """Updates every weight that has a gradient, and forgets the gradients."""
        places, gradients = [], []
        for place, weight in enumerate(self.weights):
            if weight.grad is not None:
                places.append(place)
                gradients.append(weight.grad)
                weight.grad = None
        memory = {name: [kept[place] for place in places] for name, kept in self.memory.items()}
        with torch.no_grad():
            self._update([self.weights[place] for place in places], gradients, memory)

    @abstractmethod
    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], memory: Memory) -> None:
        """Updates `weights` and, in place, what is remembered of them."""

    def _zeros(self) -> list[Tensor]:
        """Returns zeros for each weight, in memory as the weight lies: fused updates walk both side by side."""
        return [torch.zeros_like(weight, requires_grad=False) for weight in self.weights]


def has_fused_kernels(device: torch.device) -> bool:
    """Returns whether PyTorch updates all weights on `device` in one pass."""
    return device.type in ("cpu", "cuda")


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

    reads_lr_on_device = True

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(weights, lr)
        if momentum:
            self.memory = {"momentum": self._zeros()}
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self._fused = has_fused_kernels(self.weights[0].device)

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], memory: Memory) -> None:
        sgd(
            list[Tensor](weights),
            gradients,
            list[Tensor | None](memory.get("momentum", [None] * len(weights))),
            fused=self._fused,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.lr,  # type: ignore[arg-type]  # which may be a tensor, whatever its annotation says
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
        )
