"""Muon: momentum, then the nearest orthogonal matrix, as the update of a hidden layer's weights.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tenfold.optim.update import Memory, Update

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


class Muon(Update):
    """Muon for the weights of hidden layers, each kept at a fixed norm; weight decay would thus change nothing.

    Args:
        weights: filters of convolutions, float [outputs, inputs, height, width], or matrices [outputs, inputs].
        lr: learning rate, above 0.
        momentum: share of the former update that is kept, in [0, 1).
        dtype: of the matrix products; an update need not be more exact than the gradients that it is made of.

    Example:
        >>> filters = nn.Parameter(torch.randn(8, 4, 3, 3))
        >>> rule = Muon([filters], lr=0.24, momentum=0.6)
        >>> filters.square().sum().backward(); rule.step()
    """

    reads_lr_on_device = True

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, momentum: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(weights, lr)
        self._dtype = dtype
        self.memory = {"momentum": self._zeros()}
        self._momentum = momentum

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], memory: Memory) -> None:
        for weight, gradient, buffer in zip(weights, gradients, memory["momentum"], strict=True):
            average = buffer.mul_(self._momentum).add_(gradient)
            ahead = gradient.add(average, alpha=self._momentum)  # Nesterov
            # Before a normalisation layer a filter's scale has no effect, and before a ReLU one that the next layer can
            # take back: fixing it fixes the effective learning rate.
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            update = orthogonalize(ahead.reshape(len(ahead), -1).to(self._dtype)).reshape(weight.shape)
            weight.sub_(update.to(weight.dtype) * self.lr)
