"""Pairs of pictures whose signatures agree, among all pairs there are: a product of matrices, piece by piece.

N signatures, M pairs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.download import Progress
from tenfold.data.inspection.signatures import EVEN, Floats

ALIKE = 0.75
"""Signatures that agree less belong to different pictures; see docs/check.md for what is missed."""
MOST_PAIRS = 50_000
"""So many pairs are looked at more closely, or as many as there are pictures; the most similar first."""

_ROWS, _COLUMNS = 512, 2048  # their products fit into the cache of a core
_MOST_PARTNERS = 16


class Candidates(NamedTuple):
    """Pairs that may show the same thing.

    Args:
        first: int64 [M], places of signatures.
        second: int64 [M], each greater than its `first`.
        agreement: float32 [M], in [-1, 1].
        mirrored: bool [M], whether one agrees with the other's mirror image.
        more: whether a tenth of the pairs or more was left out, for there were too many.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    agreement: Floats
    mirrored: NDArray[np.bool_]
    more: bool


def candidates(signatures: Floats, progress: Progress) -> Candidates:
    """Returns the pairs that agree, as they are or one of them mirrored.

    Where a picture has very many partners (a film's frames), only its 16 best among each 2,048 are taken.

    Args:
        signatures: float32 [N, 64], see `traits`.
        progress: told how many pictures are done.
    """
    even, odd = np.ascontiguousarray(signatures[:, :EVEN]), np.ascontiguousarray(signatures[:, EVEN:])
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.bool_]]] = []
    left_out = 0
    for top in range(0, len(signatures), _ROWS):
        rows = slice(top, top + _ROWS)
        for left in range(0, top + _ROWS, _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, top + _ROWS))
            second, first, dropped = _block(even[rows], odd[rows], even[columns], odd[columns], top - left)
            left_out += dropped
            if len(first):
                first, second = first + left, second + top
                straight = np.einsum("mk,mk->m", odd[first], odd[second])
                agreement = np.einsum("mk,mk->m", even[first], even[second]) + np.abs(straight)
                found.append((first, second, agreement, straight < 0))
        progress("Comparing pictures", min(top + _ROWS, len(signatures)), len(signatures))
    return _best(found, left_out, max(MOST_PAIRS, len(signatures)))


def _block(
    even: Floats, odd: Floats, other_even: Floats, other_odd: Floats, ahead: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Returns row and column of the pairs in one block, and how many were left out.

    Args:
        even: float32 [R, 32] of the rows.
        odd: float32 [R, 32] of the rows.
        other_even: float32 [C, 32] of the columns.
        other_odd: float32 [C, 32] of the columns.
        ahead: by how much the first row's place exceeds that of the first column.
    """
    agreement = even @ other_even.T  # [R, C]
    mirrored = odd @ other_odd.T
    agreement += np.abs(mirrored, out=mirrored)
    alike = agreement > ALIKE
    if ahead < len(alike[0]):
        alike &= np.tri(
            alike.shape[0], alike.shape[1], ahead - 1, dtype=np.bool_
        )  # each pair once, and none with itself
    total = int(np.count_nonzero(alike))
    for row in np.flatnonzero(alike.sum(1) > _MOST_PARTNERS) if total > _MOST_PARTNERS else ():
        partners = np.flatnonzero(alike[row])
        weakest = np.argsort(-agreement[row, partners], kind="stable")[_MOST_PARTNERS:]
        alike[row, partners[weakest]] = False
    rows, columns = np.divmod(np.flatnonzero(alike), alike.shape[1])
    return rows, columns, total - len(rows)


def _best(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.bool_]]], left_out: int, most: int
) -> Candidates:
    if not found:
        none = np.zeros(0, np.int64)
        return Candidates(none, none, np.zeros(0, np.float32), np.zeros(0, np.bool_), False)
    first, second, agreement, mirrored = (np.concatenate(parts) for parts in zip(*found, strict=True))
    chosen = np.sort(np.argsort(-agreement, kind="stable")[:most])
    left_out += len(first) - len(chosen)
    more = 9 * left_out >= len(chosen)
    return Candidates(first[chosen], second[chosen], agreement[chosen], mirrored[chosen], more)
