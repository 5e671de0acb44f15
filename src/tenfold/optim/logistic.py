"""Multinomial logistic regression with an L2 penalty, fitted by L-BFGS: the head of a frozen network.

D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45
(1989). Linear probing as in S. Kornblith, J. Shlens and Q. V. Le, "Do better ImageNet models transfer better?"
(arXiv:1805.08974).

Shapes: M rows, D features, C classes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_MAX_ITERATIONS = 200
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-6}
"""Largest component of the gradient at the end; the logits are a thousand times less exact."""


_ONE_THREAD_VALUES = 1 << 22
"""Number of values, M · D, up to which one thread fits a head."""


class LinearHead(NamedTuple):
    """A linear layer: logits = features · weightᵀ + bias.

    Args:
        weight: float64 [C, D].
        bias: float64 [C].
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Returns logits, float64 [M, C], for features, float [M, D]."""
        return features.double() @ self.weight.T + self.bias


class Standardized:
    """Features with mean 0 and standard deviation 1 each, on coordinates in which a fit is fast.

    Fewer rows than features span a space of as few dimensions, and an L2 penalty keeps the solution in it: the fit is
    done there and is the same.

    Args:
        features: float [M, D].
    """

    def __init__(self, features: Tensor) -> None:
        rows = features.double()
        self._mean = rows.mean(0)  # D
        std = (rows - self._mean).square().mean(0).sqrt()
        self._std = std.where(std > 1e-6 * std.max().clamp_min(1e-12), 1.0)  # a constant feature stays 0
        self._basis: Tensor | None = None
        scaled = (rows - self._mean) / self._std
        if len(rows) < rows.shape[1]:
            with _few_threads(scaled):
                left, values, right = torch.linalg.svd(scaled, full_matrices=False)
            self._basis = right  # M D
            scaled = left * values
        self.rows = scaled  # M M, or M D

    def head(self, weight: Tensor, bias: Tensor) -> LinearHead:
        """Returns the head for unchanged features of one that was fitted to `rows`."""
        full = weight if self._basis is None else weight @ self._basis  # C D
        full = full / self._std
        return LinearHead(full, bias - full @ self._mean)


class _LBFGS(torch.optim.LBFGS):
    """PyTorch's L-BFGS without the compiler, which some methods of its optimizers import: two seconds for nothing."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with the default settings."""
        self.param_groups.append({**self.defaults, **param_group})


def fit_logistic(
    rows: Tensor,
    labels: Tensor,
    num_classes: int,
    l2: float,
    *,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns weight, float [C, D], and bias, float [C], that minimize mean cross-entropy + l2 / 2 · ‖weight‖².

    Args:
        rows: standardized features, float [M, D].
        labels: int64 [M], each in [0, C).
        num_classes: C.
        l2: strength of the penalty, above 0; the bias has none.
        weights: of the rows in the loss, float [M]; the mean divides by M all the same.
        label_smoothing: fraction of the target that is spread over all classes.
        start: weight and bias to start from, such as those of a similar strength; zeros by default.

    Example:
        >>> weight, _ = fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, l2=0.1)
        >>> bool(weight[1, 0] > 0 > weight[0, 0])
        True
    """
    weight, bias = start or (rows.new_zeros(num_classes, rows.shape[1]), rows.new_zeros(num_classes))
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = _LBFGS(
        [weight, bias],
        max_iter=_MAX_ITERATIONS,
        tolerance_grad=_TOLERANCE[rows.dtype],
        tolerance_change=0.01 * _TOLERANCE[rows.dtype],
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        weight.grad = bias.grad = None
        logits = rows @ weight.T + bias  # M C
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        total = (losses if weights is None else weights * losses).mean() + l2 / 2 * weight.square().sum()
        total.backward()
        return total

    with torch.enable_grad(), _few_threads(rows):
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


@contextmanager
def _few_threads(rows: Tensor) -> Iterator[None]:
    """Computes with one thread where there are few rows.

    A fit is thousands of small products. Threads that wait for one another, where other programs have the cores, made
    it ten times slower.
    """
    threads = torch.get_num_threads()
    if rows.device.type == "cpu" and rows.numel() <= _ONE_THREAD_VALUES:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
