"""What was taken for what: the cells of a matrix, and the pairs that were confused most. C classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 30
"""With more classes a matrix is too large to be read as numbers, and the pairs stand for it."""

_STRONGEST = 0.55  # of a colour over the paper: text on it stays readable


@dataclass(frozen=True)
class Cell:
    """How often one class was taken for another.

    Args:
        true: label of the class.
        predicted: label of what it was taken for.
        count: pictures.
        support: pictures of the true class.
        tint: strength of the cell's colour, in [0, 0.55].
    """

    true: int
    predicted: int
    count: int
    support: int
    tint: float

    @property
    def share(self) -> float | None:
        """Of the pictures of the true class; None where there are none."""
        return self.count / self.support if self.support else None

    @property
    def is_right(self) -> bool:
        """Whether the cell lies on the diagonal."""
        return self.true == self.predicted

    @property
    def key(self) -> str:
        """Names the cell in the page's data."""
        return f"{self.true}-{self.predicted}"


def matrix(confusion: NDArray[np.int64]) -> tuple[tuple[Cell, ...], ...]:
    """Returns the cells, one row for each true class.

    Args:
        confusion: int64 [C, C], true × predicted.
    """
    support = confusion.sum(1).tolist()
    return tuple(
        tuple(_cell(true, predicted, count, support[true]) for predicted, count in enumerate(row))
        for true, row in enumerate(confusion.tolist())
    )


def most_confused(confusion: NDArray[np.int64], most: int) -> tuple[Cell, ...]:
    """Returns the mistakes that were made most often, most frequent first.

    Args:
        confusion: int64 [C, C], true × predicted.
        most: at most so many pairs.

    Example:
        >>> [(pair.true, pair.predicted, pair.count) for pair in most_confused(np.array([[8, 2], [3, 0]]), 1)]
        [(1, 0, 3)]
    """
    wrong = confusion * ~np.eye(len(confusion), dtype=bool)
    support = confusion.sum(1)
    order = np.lexsort((-(wrong / np.maximum(support, 1)[:, None]).ravel(), -wrong.ravel()))[:most]
    places = [divmod(place, len(confusion)) for place in order.tolist() if wrong.flat[place]]
    return tuple(_cell(i, j, int(confusion[i, j]), int(support[i])) for i, j in places)


def shown_cells(cells: Sequence[Sequence[Cell]], pairs: Sequence[Cell]) -> tuple[Cell, ...]:
    """Returns the cells that a reader can ask the pictures of, mistakes first, none twice and none empty."""
    every = {cell.key: cell for cell in (*pairs, *(cell for row in cells for cell in row)) if cell.count}
    return tuple(sorted(every.values(), key=lambda cell: (cell.is_right, -cell.count)))


def _cell(true: int, predicted: int, count: int, support: int) -> Cell:
    share = count / support if support else 0.0
    tint = _STRONGEST * share if true == predicted else 0.9 * share**0.5  # √: rare mistakes are seen
    return Cell(true, predicted, count, support, round(min(tint, _STRONGEST), 3))
