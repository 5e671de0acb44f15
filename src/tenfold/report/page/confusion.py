"""The confusion matrix of a page, and the most confused pairs of classes. C classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_MATRIX_CLASSES = 30
"""A matrix of more classes is too large to read; the page lists the most confused pairs instead."""

_MAX_TINT = 0.55  # text stays readable on it


@dataclass(frozen=True)
class ConfusionCell:
    """How often one class was predicted as another.

    Args:
        true: index of the true class.
        predicted: index of the predicted class.
        count: number of images in the cell.
        support: number of images of the true class.
        tint: opacity of the cell's color, in [0, 0.55].
    """

    true: int
    predicted: int
    count: int
    support: int
    tint: float

    @property
    def fraction(self) -> float | None:
        """Fraction of the images of the true class; None where there are none."""
        return self.count / self.support if self.support else None

    @property
    def is_correct(self) -> bool:
        """Whether the cell lies on the diagonal."""
        return self.true == self.predicted

    @property
    def key(self) -> str:
        """Key of the cell in the JSON data of the page."""
        return f"{self.true}-{self.predicted}"


def confusion_cells(confusion: NDArray[np.int64]) -> tuple[tuple[ConfusionCell, ...], ...]:
    """Returns the cells of a confusion matrix, one row per true class.

    Args:
        confusion: int64 [C, C], true × predicted.
    """
    support = confusion.sum(1).tolist()
    return tuple(
        tuple(_cell(true, predicted, count, support[true]) for predicted, count in enumerate(row))
        for true, row in enumerate(confusion.tolist())
    )


def most_confused(confusion: NDArray[np.int64], max_pairs: int) -> tuple[ConfusionCell, ...]:
    """Returns the pairs of classes that were confused most often, most frequent first.

    Args:
        confusion: int64 [C, C], true × predicted.
        max_pairs: maximum number of pairs.

    Example:
        >>> [(pair.true, pair.predicted, pair.count) for pair in most_confused(np.array([[8, 2], [3, 0]]), 1)]
        [(1, 0, 3)]
    """
    wrong = confusion * ~np.eye(len(confusion), dtype=bool)
    support = confusion.sum(1)
    order = np.lexsort((-(wrong / np.maximum(support, 1)[:, None]).ravel(), -wrong.ravel()))[:max_pairs]
    pairs = [divmod(index, len(confusion)) for index in order.tolist() if wrong.flat[index]]
    return tuple(_cell(i, j, int(confusion[i, j]), int(support[i])) for i, j in pairs)


def cells_with_images(
    cells: Sequence[Sequence[ConfusionCell]], pairs: Sequence[ConfusionCell]
) -> tuple[ConfusionCell, ...]:
    """Returns the distinct non-empty cells of the matrix and the pairs, errors first, then by count."""
    distinct = {cell.key: cell for cell in (*pairs, *(cell for row in cells for cell in row)) if cell.count}
    return tuple(sorted(distinct.values(), key=lambda cell: (cell.is_correct, -cell.count)))


def _cell(true: int, predicted: int, count: int, support: int) -> ConfusionCell:
    fraction = count / support if support else 0.0
    tint = _MAX_TINT * fraction if true == predicted else 0.9 * fraction**0.5  # √ makes rare errors visible
    return ConfusionCell(true, predicted, count, support, round(min(tint, _MAX_TINT), 3))
