"""What every update rule has: weights, a learning rate, what it remembers of each weight.

`torch.optim.Optimizer` offers more, and costs more: its first use loads PyTorch's compiler, a second that a run of
twenty feels, and its hooks and profiling take a tenth of a step with a batch of 4.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from tenfold.core.errors import RunError

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


def restore(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], whose: str) -> None:
    """Copies `saved` into the tensors of `own`, which keep their place in memory, their device and their layout.

    Args:
        own: what is there now, by name; none requires a gradient.
        saved: what a checkpoint holds.
        whose: what remembers them, e.g. `optimiser`.

    Raises:
        RunError: when names or shapes differ; nothing is changed then.
    """
    if {name: tensor.shape for name, tensor in saved.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise RunError(
            f"the checkpoint does not fit the recipe's {whose}: it holds {len(saved)} tensors of it, expected "
            f"{len(own)} of the same names and shapes; go on with the recipe and the version of tenfold that wrote it"
        )
    for name, tensor in saved.items():
        own[name].copy_(tensor)


class Adam(Update):
    """Adam (arXiv:1412.6980) by PyTorch's own kernels; AdamW (arXiv:1711.05101) where the decay is decoupled.

    Args:
        weights: at least one, on their device.
        lr: learning rate, above 0.
        beta1: share of the former mean gradient that is kept, in [0, 1).
        beta2: share of the former mean squared gradient that is kept, in [0, 1).
        epsilon: added to the root of the mean square, above 0.
        weight_decay: times the weight is added to its gradient.
        decoupled: whether the decay, times the learning rate, is taken off the weight itself instead.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> rule = Adam([weight], lr=0.25)
        >>> weight.square().sum().backward(); rule.step(); round(weight.item(), 3)
        0.75
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        super().__init__(weights, lr)
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._weight_decay, self._decoupled = weight_decay, decoupled
        self._fused = has_fused_kernels(self.weights[0].device)
        # Fused kernels read the number of steps on their device; the others compute with it on the CPU.
        counts = [torch.zeros((), device=weight.device if self._fused else "cpu") for weight in self.weights]
        self.memory = {"mean": self._zeros(), "square": self._zeros(), "steps": counts}

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], memory: Memory) -> None:
        adam(
            list[Tensor](weights),
            gradients,
            memory["mean"],
            memory["square"],
            [],
            memory["steps"],
            fused=self._fused,
            decoupled_weight_decay=self._decoupled,
            amsgrad=False,
            beta1=self._beta1,
            beta2=self._beta2,
            lr=self.lr,
            weight_decay=self._weight_decay,
            eps=self._epsilon,
            maximize=False,
        )


class RMSprop(Update):
    """RMSprop (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf) by PyTorch's own kernels.

    Args:
        weights: at least one, on their device.
        lr: learning rate, above 0.
        momentum: share of the former update that is kept, in [0, 1).
        alpha: share of the former mean squared gradient that is kept, in [0, 1).
        epsilon: added to the root of the mean square, above 0.
        weight_decay: times the weight is added to its gradient.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> rule = RMSprop([weight], lr=0.25, alpha=0.75)
        >>> weight.square().sum().backward(); rule.step(); round(weight.item(), 3)
        0.5
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.0,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(weights, lr)
        self._momentum, self._alpha, self._epsilon = momentum, alpha, epsilon
        self._weight_decay = weight_decay
        self.memory = {"square": self._zeros()}
        if momentum:
            self.memory["momentum"] = self._zeros()
        # PyTorch counts the steps, and does nothing with the number.
        self._unused = [torch.zeros(())] * len(self.weights)

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], memory: Memory) -> None:
        rmsprop(
            list[Tensor](weights),
            gradients,
            memory["square"],
            [],
            memory.get("momentum", []),
            self._unused[: len(weights)],
            lr=float(self.lr),
            alpha=self._alpha,
            eps=self._epsilon,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            centered=False,
        )
