"""Muon: momentum, then the nearest orthogonal matrix, as the update of a convolution's filters.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients that raise small singular values fastest; they end between 0.7 and 1.2, which is near enough."""


def orthogonalize(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Returns a matrix with the singular vectors of `matrix` and singular values near 1.

    Newton–Schulz iteration of fifth order: X ← aX + b(XXᵀ)X + c(XXᵀ)²X.

    Args:
        matrix: float [rows, columns].
        iterations: more bring the singular values nearer to 1.

    Returns:
        A matrix of the same shape and dtype.
    """
    a, b, c = _QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T  # rows rows
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    orthogonal: Tensor = x if matrix.shape[0] <= matrix.shape[1] else x.T
    return orthogonal


class Muon(Optimizer):
    """Muon for the filters of convolutions, each kept at a fixed norm.

    Args:
        params: filters, float [outputs, inputs, height, width].
        lr: learning rate, above 0.
        momentum: share of the former update that is kept, in [0, 1).

    Example:
        >>> filters = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
        >>> optimizer = Muon([filters], lr=0.24, momentum=0.6)
        >>> filters.square().sum().backward(); optimizer.step()
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Updates every filter once; `closure` is called first where given, as in `torch.optim`."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for filters in group["params"]:
                if filters.grad is not None:
                    self._update(filters, group)
        return loss

    def _update(self, filters: Tensor, group: dict[str, Any]) -> None:
        gradient = filters.grad
        assert gradient is not None
        state = self.state[filters]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        ahead = gradient.add(average, alpha=group["momentum"])  # Nesterov
        # A filter's scale has no effect before a normalisation layer: fixing it fixes the effective learning rate.
        filters.mul_(len(filters) ** 0.5 / filters.norm())
        update = orthogonalize(ahead.reshape(len(ahead), -1)).reshape(filters.shape)
        filters.add_(update, alpha=-group["lr"])
