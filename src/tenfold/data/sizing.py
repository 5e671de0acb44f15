"""The size that pictures are brought to where nobody named one."""

from collections import Counter

import numpy as np

LARGEST_OWN = 64
SMALLEST = 8
LARGEST = 1024
_HOW = {"crop": "centre crop", "pad": "padding", "stretch": "stretching"}


def choose_size(sizes: Counter[tuple[int, int]], fit: str) -> tuple[tuple[int, int], str]:
    """Returns the pictures' own size where all agree and it is at most 64, else a square that suits them.

    Args:
        sizes: how many pictures there are of each height and width.
        fit: how they will be brought to size.

    Returns:
        Height and width, and a sentence on what was chosen and how to change it (no text for their own size).

    Example:
        >>> choose_size(Counter({(28, 28): 100}), "crop")
        ((28, 28), '')
    """
    if not sizes:
        return (32, 32), ""
    if len(sizes) == 1:
        (height, width) = next(iter(sizes))
        if keeps_size((height, width)):
            return (height, width), ""
        found = f"pictures are {width}×{height}"
    else:
        height, width = (_median(sizes, axis) for axis in (0, 1))
        found = f"pictures have different sizes (median {width}×{height})"
    side = 64 if min(height, width) >= 48 else 32
    note = f"{found}: brought to {side}×{side} by {_HOW[fit]}; change with --set data.image_size=…"
    return (side, side), note


def keeps_size(size: tuple[int, int]) -> bool:
    """Returns whether pictures that all have this height and width keep it; raises nothing."""
    return min(size) >= SMALLEST and max(size) <= LARGEST_OWN


def _median(sizes: Counter[tuple[int, int]], axis: int) -> int:
    values = np.array([size[axis] for size in sizes])
    return int(np.median(np.repeat(values, list(sizes.values()))))
