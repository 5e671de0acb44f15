"""Learning-rate schedules: pure functions of how much of the run is done.

Each takes the share of the run that is done, in [0, 1], and returns the factor on the learning rate.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

Schedule = Callable[[float], float]

_ONE_CYCLE_BEGINS = 1 / 25
"""Factor with which one cycle begins, as in fastai and PyTorch."""


def constant(done: float) -> float:
    """Always 1.

    Args:
        done: share of the run that is done, in [0, 1].
    """
    return 1.0


def linear(done: float, final: float = 0.0) -> float:
    """Falls from 1 to `final` in a straight line.

    Args:
        done: share of the run that is done, in [0, 1].
        final: factor at the end.

    Example:
        >>> linear(0.5, final=0.5)
        0.75
    """
    return 1.0 + (final - 1.0) * done


def cosine(done: float, final: float = 0.0) -> float:
    """Falls from 1 to `final` along half a cosine (arXiv:1608.03983).

    Args:
        done: share of the run that is done, in [0, 1].
        final: factor at the end.
    """
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def step(done: float, milestones: Sequence[float], factor: float) -> float:
    """Is multiplied by `factor` at each milestone.

    Args:
        done: share of the run that is done, in [0, 1].
        milestones: shares of the run, rising.
        factor: in (0, 1).

    Example:
        >>> [step(done, [0.5, 0.75], 0.5) for done in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.25]
    """
    return float(factor ** bisect_right(milestones, done))


def one_cycle(done: float, peak: float, final: float = 0.0) -> float:
    """Rises from 1/25 to 1 along half a cosine, then falls to `final` along another.

    The one-cycle policy (arXiv:1708.07120) in the shape that fastai and PyTorch gave it; momentum stays as it is.

    Args:
        done: share of the run that is done, in [0, 1].
        peak: share of the run at which it is 1, in (0, 1).
        final: factor at the end.

    Example:
        >>> [one_cycle(done, peak=0.25) for done in (0.0, 0.25, 1.0)]
        [0.04, 1.0, 0.0]
    """
    if done < peak:
        return cosine(1.0 - done / peak, _ONE_CYCLE_BEGINS)
    return cosine((done - peak) / (1.0 - peak), final)


def build_schedule(
    name: str,
    *,
    warmup: float = 0.0,
    final: float = 0.0,
    milestones: Sequence[float] = (0.5, 0.75),
    step_factor: float = 0.1,
    peak: float = 0.3,
) -> Schedule:
    """Returns the schedule called `name`, after a rise from 0 over the share `warmup` of the run.

    What comes after the rise takes up all that is left of the run.

    Args:
        name: `constant`, `step`, `linear`, `cosine` or `one-cycle`.
        warmup: share of the run, in [0, 1).
        final: factor at the end, of `linear`, `cosine` and `one-cycle`.
        milestones: shares of the whole run, after the warm-up and rising, of `step`.
        step_factor: see `step`.
        peak: share of the whole run, after the warm-up, of `one-cycle`.

    Example:
        >>> build_schedule("linear", warmup=0.5)(0.25)
        0.5
    """

    def after_warmup(done: float) -> float:
        return (done - warmup) / (1.0 - warmup)

    courses: dict[str, Schedule] = {
        "constant": constant,
        "step": partial(step, milestones=[after_warmup(share) for share in milestones], factor=step_factor),
        "linear": partial(linear, final=final),
        "cosine": partial(cosine, final=final),
        "one-cycle": partial(one_cycle, peak=after_warmup(peak), final=final),
    }
    course = courses[name]

    def schedule(done: float) -> float:
        if done < warmup:
            return done / warmup * course(0.0)
        return course(after_warmup(done))

    return schedule
