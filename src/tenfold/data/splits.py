"""Stratified random splits: pure functions of labels, fraction and seed."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def stratified_split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Draws a fraction of each class. A class of two or more images is present on both sides.

    The draw of a class depends only on the seed, its label and its number of images. It uses the raw output of Philox,
    which NumPy promises never to change.

    Args:
        labels: int64 [N], at least 0.
        fraction: fraction to draw, in [0, 1); each class gets it to within one image.
        seed: any integer.

    Returns:
        Indices of the rest and of the drawn images, int64, each ascending; together they are 0 to N − 1.

    Raises:
        ValueError: when `fraction` is out of range.

    Example:
        >>> rest, drawn = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=0)
        >>> len(rest), len(drawn)
        (4, 2)
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}; expected 0 or more and less than 1")
    is_drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if fraction > 0 else ():
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        is_drawn[members[_permutation(len(members), int(label), seed)[:count]]] = True
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def _permutation(count: int, label: int, seed: int) -> Indices:
    """Returns a permutation of 0 to count − 1 that depends on seed and label."""
    entropy = np.random.SeedSequence([seed % 2**64, label])
    return np.argsort(np.random.Philox(entropy).random_raw(count), kind="stable")
