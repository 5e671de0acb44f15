"""Learning-rate schedules: pure functions from the completed fraction of the run to a factor on the learning rate."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

Schedule = Callable[[float], float]

_ONE_CYCLE_START = 1 / 25
"""Initial factor of the one-cycle schedule, as in fastai and PyTorch."""


def constant(done: float) -> float:
    """Always 1.

    Args:
        done: completed fraction of the run, in [0, 1].
    """
    return 1.0


def linear(done: float, final: float = 0.0) -> float:
    """Decreases linearly from 1 to `final`.

    Args:
        done: completed fraction of the run, in [0, 1].
        final: factor at the end.

    Example:
        >>> linear(0.5, final=0.5)
        0.75
    """
    return 1.0 + (final - 1.0) * done


def cosine(done: float, final: float = 0.0) -> float:
    """Decreases from 1 to `final` along half a cosine (arXiv:1608.03983).

    Args:
        done: completed fraction of the run, in [0, 1].
        final: factor at the end.
    """
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def step(done: float, milestones: Sequence[float], factor: float) -> float:
    """Starts at 1 and is multiplied by `factor` at each milestone.

    Args:
        done: completed fraction of the run, in [0, 1].
        milestones: fractions of the run, increasing.
        factor: in (0, 1).

    Example:
        >>> [step(done, [0.5, 0.75], 0.5) for done in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.25]
    """
    return float(factor ** bisect_right(milestones, done))


def one_cycle(done: float, peak: float, final: float = 0.0) -> float:
    """Increases from 1/25 to 1 along half a cosine, then decreases to `final` along another.

    The one-cycle policy (arXiv:1708.07120) as in fastai and PyTorch, but with constant momentum.

    Args:
        done: completed fraction of the run, in [0, 1].
        peak: fraction of the run at which the factor is 1, in (0, 1).
        final: factor at the end.

    Example:
        >>> [one_cycle(done, peak=0.25) for done in (0.0, 0.25, 1.0)]
        [0.04, 1.0, 0.0]
    """
    if done < peak:
        return cosine(1.0 - done / peak, _ONE_CYCLE_START)
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
    """Returns the schedule called `name`, after a linear warm-up from 0.

    The schedule covers the rest of the run after the warm-up.

    Args:
        name: `constant`, `step`, `linear`, `cosine` or `one-cycle`.
        warmup: fraction of the run for the warm-up, in [0, 1).
        final: factor at the end of `linear`, `cosine` and `one-cycle`.
        milestones: for `step`: fractions of the whole run, increasing, after the warm-up.
        step_factor: for `step`: factor at each milestone.
        peak: for `one-cycle`: fraction of the whole run, after the warm-up.

    Example:
        >>> build_schedule("linear", warmup=0.5)(0.25)
        0.5
    """

    def after_warmup(done: float) -> float:
        return (done - warmup) / (1.0 - warmup)

    schedules: dict[str, Schedule] = {
        "constant": constant,
        "step": partial(step, milestones=[after_warmup(milestone) for milestone in milestones], factor=step_factor),
        "linear": partial(linear, final=final),
        "cosine": partial(cosine, final=final),
        "one-cycle": partial(one_cycle, peak=after_warmup(peak), final=final),
    }
    main_schedule = schedules[name]

    def schedule(done: float) -> float:
        if done < warmup:
            return done / warmup * main_schedule(0.0)
        return main_schedule(after_warmup(done))

    return schedule
