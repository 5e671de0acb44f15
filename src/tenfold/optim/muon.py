"""Muon: momentum, then orthogonalization of the update of each weight matrix.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/. The variant here, with each weight at a fixed norm, is that of
`airbench94_muon.py` in https://github.com/KellerJordan/cifar10-airbench (K. Jordan, arXiv:2404.00498).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tenfold.optim.update import State, UpdateRule

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic polynomial, which increase small singular values fastest. All singular values end between
0.7 and 1.2, which is close enough to 1."""


def orthogonalize(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Returns a matrix with the singular vectors of `matrix` and singular values close to 1.

    Newton–Schulz iteration of fifth order: X ← aX + b(XXᵀ)X + c(XXᵀ)²X.

    Args:
        matrix: float [rows, columns].
        iterations: number of iterations; more bring the singular values closer to 1.

    Returns:
        A matrix of the same shape and dtype.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T  # rows rows
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    orthogonal: Tensor = x if matrix.shape[0] <= matrix.shape[1] else x.T
    return orthogonal


class Muon(UpdateRule):
    """Muon for hidden layers, with each weight at a fixed norm, as in airbench94_muon. Weight decay has no effect.

    Args:
        weights: convolution filters, float [out, in, height, width], or matrices, float [out, in].
        lr: learning rate, above 0.
        momentum: Nesterov momentum factor, in [0, 1).
        dtype: dtype of the matrix products; the gradients' own precision is enough.

    Example:
        >>> filters = nn.Parameter(torch.randn(8, 4, 3, 3))
        >>> rule = Muon([filters], lr=0.24, momentum=0.6)
        >>> filters.square().sum().backward(); rule.step()
    """

    capturable = True

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, momentum: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(weights, lr)
        self._dtype = dtype
        self.state = {"momentum": self._zeros()}
        self._momentum = momentum

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        for weight, gradient, buffer in zip(weights, gradients, state["momentum"], strict=True):
            average = buffer.mul_(self._momentum).add_(gradient)
            nesterov = gradient.add(average, alpha=self._momentum)
            # The scale of a filter has no effect before a normalization layer, and the next layer can undo it before a
            # ReLU. A fixed norm fixes the effective learning rate.
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            update = orthogonalize(nesterov.reshape(len(nesterov), -1).to(self._dtype)).reshape(weight.shape)
            weight.sub_(update.to(weight.dtype) * self.lr)
