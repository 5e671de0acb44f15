"""Update rules with PyTorch's own kernels: SGD, Adam, AdamW and RMSprop.

`torch.optim.Optimizer` does more and costs more: its first use loads PyTorch's compiler, which takes a second, and its
hooks and profiling take a tenth of a step at a batch size of 4.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from tenfold.core.errors import RunError

State = dict[str, list[Tensor]]
"""State of an update rule: by name, one tensor per weight."""


class UpdateRule(ABC):
    """Base class of update rules: updates some weights from their gradients.

    Args:
        weights: at least one, already on their device.
        lr: learning rate, above 0.
    """

    capturable = False
    """Whether the learning rate can be a tensor, which a captured CUDA graph reads at each replay."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        self.weights = list(weights)
        self.lr: float | Tensor = lr
        self.state: State = {}
        # A fused kernel updates all weights of a device in one pass.
        self._fused = self.weights[0].device.type in ("cpu", "cuda")

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the next steps. Does not wait for the device."""
        if isinstance(self.lr, Tensor):
            self.lr.fill_(lr)
        else:
            self.lr = lr

    def move_lr_to_device(self) -> None:
        """Makes the learning rate a tensor on the device, for a captured CUDA graph."""
        self.lr = torch.full((), float(self.lr), device=self.weights[0].device)

    def fuse(self) -> None:  # noqa: B027 - most rules are one kernel already
        """Fuses the operations of the update by `torch.compile`, where that pays."""

    def step(self) -> None:
        """Updates every weight that has a gradient, and sets the gradients to None."""
        indices, gradients = [], []
        for index, weight in enumerate(self.weights):
            if weight.grad is not None:
                indices.append(index)
                gradients.append(weight.grad)
                weight.grad = None
        state = {name: [tensors[index] for index in indices] for name, tensors in self.state.items()}
        with torch.no_grad():
            self._update([self.weights[index] for index in indices], gradients, state)

    @abstractmethod
    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        """Updates `weights` and `state` in place."""

    def _zeros(self) -> list[Tensor]:
        """Returns zeros for each weight, with its memory layout: fused kernels read both in the same order."""
        return [torch.zeros_like(weight, requires_grad=False) for weight in self.weights]


class SGD(UpdateRule):
    """Stochastic gradient descent, as `torch.optim.SGD`.

    Args:
        weights: at least one, already on their device.
        lr: learning rate, above 0.
        momentum: momentum factor, in [0, 1).
        nesterov: whether to use Nesterov momentum.
        weight_decay: coefficient of the L2 penalty.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> rule = SGD([weight], lr=0.5, momentum=0.9)
        >>> weight.square().sum().backward(); rule.step(); weight.item()
        0.0
    """

    capturable = True

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
            self.state = {"momentum": self._zeros()}
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        sgd(
            list[Tensor](weights),
            gradients,
            list[Tensor | None](state.get("momentum", [None] * len(weights))),
            fused=self._fused,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.lr,  # type: ignore[arg-type]  # a tensor works too, despite the annotation
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
        )


class Adam(UpdateRule):
    """Adam (arXiv:1412.6980), as `torch.optim.Adam`; with decoupled weight decay, AdamW (arXiv:1711.05101).

    Args:
        weights: at least one, already on their device.
        lr: learning rate, above 0.
        beta1: decay rate of the running mean of the gradient, in [0, 1).
        beta2: decay rate of the running mean of the squared gradient, in [0, 1).
        epsilon: added to the denominator, above 0.
        weight_decay: weight decay coefficient.
        decoupled: whether lr × weight_decay × weight is subtracted from the weight (AdamW), instead of an L2 penalty.

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
        # Fused kernels read the number of steps on the device; the others on the CPU.
        steps = [torch.zeros((), device=weight.device if self._fused else "cpu") for weight in self.weights]
        self.state = {"mean": self._zeros(), "square": self._zeros(), "steps": steps}

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        adam(
            list[Tensor](weights),
            gradients,
            state["mean"],
            state["square"],
            [],
            state["steps"],
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


class RMSprop(UpdateRule):
    """RMSprop (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf), as `torch.optim.RMSprop`.

    Args:
        weights: at least one, already on their device.
        lr: learning rate, above 0.
        momentum: momentum factor, in [0, 1).
        alpha: decay rate of the running mean of the squared gradient, in [0, 1).
        epsilon: added to the denominator, above 0.
        weight_decay: coefficient of the L2 penalty.

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
        self.state = {"square": self._zeros()}
        if momentum:
            self.state["momentum"] = self._zeros()
        # PyTorch requires step counters here, but does not use their values.
        self._steps = [torch.zeros(())] * len(self.weights)

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        rmsprop(
            list[Tensor](weights),
            gradients,
            state["square"],
            [],
            state.get("momentum", []),
            self._steps[: len(weights)],
            lr=float(self.lr),
            alpha=self._alpha,
            eps=self._epsilon,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            centered=False,
        )


def restore_tensors(current: Mapping[str, Tensor], saved: Mapping[str, Tensor], owner: str) -> None:
    """Copies `saved` into the tensors of `current`, which keep their memory, device and layout.

    Args:
        current: tensors to overwrite, by name; none requires a gradient.
        saved: tensors from a checkpoint, by name.
        owner: whose state it is, for the message, such as `optimizer state`.

    Raises:
        RunError: when names or shapes differ. Nothing is changed then.
    """
    shapes, saved_shapes = ({name: t.shape for name, t in tensors.items()} for tensors in (current, saved))
    if saved_shapes != shapes:
        raise RunError(
            f"the checkpoint does not fit the recipe: it contains {len(saved)} tensors of the {owner}, expected "
            f"{len(current)} with the same names and shapes; resume with the recipe and the version of tenfold "
            "that wrote it"
        )
    for name, tensor in saved.items():
        current[name].copy_(tensor)
