"""Muon: momentum, then orthogonalization of the update of each weight matrix.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/. The variant here, with each weight at a fixed norm, is that of
`airbench94_muon.py` in https://github.com/KellerJordan/cifar10-airbench (K. Jordan, arXiv:2404.00498).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.optim.update import State, UpdateRule

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic polynomial, which increase small singular values fastest. All singular values end between
0.7 and 1.2, which is close enough to 1."""


def orthogonalize(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Returns a matrix with the singular vectors of `matrix` and singular values close to 1.

    Newton–Schulz iteration of fifth order: X ← aX + b(XXᵀ)X + c(XXᵀ)²X.

    Args:
        matrix: float [rows, columns], or several of one shape, float [matrices, rows, columns].
        iterations: number of iterations; more bring the singular values closer to 1.

    Returns:
        A matrix of the same shape and dtype, or several.
    """
    a, b, c = _COEFFICIENTS
    add_product = torch.addmm if matrix.ndim == 2 else torch.baddbmm
    is_wide = matrix.shape[-2] <= matrix.shape[-1]
    wide = matrix if is_wide else matrix.mT
    x = wide / (torch.linalg.vector_norm(wide, dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT  # rows rows
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    orthogonal: Tensor = x if is_wide else x.mT
    return orthogonal


def padded(matrices: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Returns matrices as one tensor, filled up with zeros, which change neither norms nor singular vectors.

    Args:
        matrices: float [rows, columns] each.
        dtype: of the result.

    Returns:
        [matrices, rows, columns], with the most rows and the most columns of all. All lie with their longer side along
        the columns; those that were tall are transposed.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T for matrix in matrices]
    rows, columns = (max(matrix.shape[side] for matrix in wide) for side in (0, 1))
    return torch.stack(
        [F.pad(matrix.to(dtype), (0, columns - matrix.shape[1], 0, rows - matrix.shape[0])) for matrix in wide]
    )


def orthogonalize_all(matrices: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Orthogonalizes matrices of any shapes: on a GPU all at once, on a CPU one after another.

    On a GPU each of some ten small products per matrix takes as long as starting it does, so that all matrices in one
    batch take no longer than one. On a CPU the zeros would have to be multiplied too.

    Args:
        matrices: float [rows, columns] each.
        dtype: dtype of the products.

    Returns:
        A matrix of the same shape for each, in `dtype`.
    """
    if matrices[0].device.type == "cpu":
        return [orthogonalize(matrix.to(dtype)) for matrix in matrices]
    results = orthogonalize(padded(matrices, dtype))
    return [
        (result if len(matrix) <= matrix.shape[1] else result.T)[: len(matrix), : matrix.shape[1]]
        for matrix, result in zip(matrices, results, strict=True)
    ]


def _in_memory_order(tensor: Tensor, weight: Tensor) -> Tensor:
    """Returns a view of a tensor shaped like `weight`, with the dimensions in the order of the weight's memory.

    Flattening it to a matrix then needs no copy. Orthogonalizing does not depend on the order of the columns.
    """
    channels_last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1) if channels_last else tensor


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
        self._apply = _apply

    def fuse(self) -> None:
        """Fuses the operations between the matrix products by `torch.compile`."""
        self.move_lr_to_device()  # a changed number would be compiled anew
        self._apply = torch.compile(_apply, dynamic=False, fullgraph=True)

    def _update(self, weights: list[nn.Parameter], gradients: list[Tensor], state: State) -> None:
        if weights:
            self._apply(list[Tensor](weights), gradients, state["momentum"], self._momentum, self.lr, self._dtype)


def _apply(
    weights: list[Tensor],
    gradients: list[Tensor],
    averages: list[Tensor],
    momentum: float,
    lr: float | Tensor,
    dtype: torch.dtype,
) -> None:
    """Updates weights and the running averages of their gradients in place."""
    torch._foreach_mul_(averages, momentum)
    torch._foreach_add_(averages, gradients)
    nesterov = torch._foreach_add(gradients, averages, alpha=momentum)
    matrices = [_in_memory_order(*pair).flatten(1) for pair in zip(nesterov, weights, strict=True)]
    updates = orthogonalize_all(matrices, dtype)
    for weight, norm, update in zip(weights, torch._foreach_norm(weights), updates, strict=True):
        # The scale of a filter has no effect before a normalization layer, and the next layer can undo it before a
        # ReLU. A fixed norm fixes the effective learning rate.
        weight.mul_(len(weight) ** 0.5 / norm)
        ordered = _in_memory_order(weight, weight)
        ordered.sub_(update.reshape(ordered.shape).to(weight.dtype) * lr)
