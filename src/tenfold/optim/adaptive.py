"""Update rules that scale each weight's step by how large its gradients have been: Adam, AdamW, RMSprop."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

from tenfold.optim.update import Memory, Update, has_fused_kernels


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
