"""A curve of losses, read with care for its noise.

K rows of `metrics.csv`, n values of the curve.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.report.symptoms.case import Row

Floats = NDArray[np.float64]

_MOST_POINTS = 40
"""Points that a training curve is gathered into: of single steps with batches of 4, even a good run's losses leap."""


def training_curve(rows: Sequence[Row]) -> Floats:
    """Returns the training loss over the run, float64 [n], n at most 40: means over spans of equally many steps.

    Args:
        rows: in order; each tells the mean loss of the steps since the row before.
    """
    told = [(row["step"], row["train_loss"]) for row in rows]
    known = [(int(step), float(loss)) for step, loss in told if step and loss is not None and math.isfinite(loss)]
    if not known:
        return np.empty(0)
    ends, losses = np.array([step for step, _ in known]), np.array([loss for _, loss in known])  # K, K
    steps = np.diff(ends, prepend=0).clip(min=1)  # K
    middles = np.cumsum(steps) - steps / 2  # K
    points = min(_MOST_POINTS, len(known))
    place = np.minimum((middles / steps.sum() * points).astype(int), points - 1)  # K
    weights = np.bincount(place, weights=steps, minlength=points)  # n
    sums = np.bincount(place, weights=steps * losses, minlength=points)  # n
    return np.asarray(sums[weights > 0] / weights[weights > 0])


def noise(curve: Floats) -> float:
    """Returns the standard deviation of a curve about its course, 0 where there are fewer than 4 points.

    Third differences hide a course that is no more bent than a parabola: of noise alone, their variance is 20 times
    its own. The median does not mind a few leaps.

    Example:
        >>> noise(np.linspace(3.0, 1.0, 20) ** 2) < 1e-12
        True
    """
    if len(curve) < 4:
        return 0.0
    return 1.4826 * float(np.median(np.abs(np.diff(curve, 3)))) / math.sqrt(20)


def last_part(curve: Floats, share: float) -> Floats:
    """Returns the last `share` of a curve, at least one point."""
    return curve[-max(1, round(share * len(curve))) :]


def first_part(curve: Floats, share: float) -> Floats:
    """Returns the first `share` of a curve, at least one point."""
    return curve[: max(1, round(share * len(curve)))]
