"""Draws that keep the proportions of the classes: pure functions of labels, fraction and seed."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def stratified_split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Draws a share of each class; every class of two or more is on both sides.

    What is drawn of a class depends on the seed, the label and how many there are of it, and on no other
    class. It rests on the raw output of Philox, which numpy promises never to change.

    Args:
        labels: int64 [N], at least 0.
        fraction: share to draw, in [0, 1); each class gets it to within one picture.
        seed: any whole number.

    Returns:
        Indices of the rest and of those drawn, int64, each ascending; together they are 0 to N − 1.

    Raises:
        ValueError: when `fraction` is out of range.

    Example:
        >>> rest, drawn = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=0)
        >>> len(rest), len(drawn)
        (4, 2)
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}; expected 0 or more and less than 1")
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if fraction > 0 else ():
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        chosen[members[_order(len(members), int(label), seed)[:count]]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _order(count: int, label: int, seed: int) -> Indices:
    """Returns the numbers 0 to count − 1 in an order of their own for each seed and label."""
    source = np.random.SeedSequence([seed % 2**64, label])
    return np.argsort(np.random.Philox(source).random_raw(count), kind="stable")
