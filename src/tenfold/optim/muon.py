"""Muon: momentum, then the nearest orthogonal matrix, as the update of a convolution's filters.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/.
"""

import torch
from torch import Tensor

from tenfold.optim.update import Update

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
    """Muon for the filters of convolutions, each kept at a fixed norm.

    Args:
        weights: filters, float [outputs, inputs, height, width].
        lr: learning rate, above 0.
        momentum: share of the former update that is kept, in [0, 1).

    Example:
        >>> filters = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
        >>> rule = Muon([filters], lr=0.24, momentum=0.6)
        >>> filters.square().sum().backward(); rule.step()
    """

    def _update(self, places: list[int]) -> None:
        for place in places:
            filters, gradient = self.weights[place], self.weights[place].grad
            assert gradient is not None
            buffer = self.buffers[place]
            if buffer is None:
                buffer = self.buffers[place] = torch.zeros_like(gradient)
            average = buffer.mul_(self.momentum).add_(gradient)
            ahead = gradient.add(average, alpha=self.momentum)  # Nesterov
            # Before a normalisation layer a filter's scale has no effect: fixing it fixes the effective learning rate.
            filters.mul_(len(filters) ** 0.5 / filters.norm())
            update = orthogonalize(ahead.reshape(len(ahead), -1)).reshape(filters.shape)
            filters.add_(update, alpha=-self.lr)
