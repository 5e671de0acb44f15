"""Learning-rate schedules: pure functions of how much of the run is done.

Each takes the share of the run that is done, in [0, 1], and returns the factor on the learning rate.
"""

import math
from collections.abc import Callable
from functools import partial

Schedule = Callable[[float], float]


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


def build_schedule(name: str, *, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Returns the schedule called `name`, after a rise from 0 over the share `warmup` of the run.

    Args:
        name: `constant`, `linear` or `cosine`.
        warmup: share of the run, in [0, 1).
        final: factor at the end, for schedules that fall.

    Example:
        >>> build_schedule("linear", warmup=0.5)(0.25)
        0.5
    """
    decays: dict[str, Schedule] = {
        "constant": constant,
        "linear": partial(linear, final=final),
        "cosine": partial(cosine, final=final),
    }
    decay = decays[name]

    def schedule(done: float) -> float:
        if done < warmup:
            return done / warmup
        return decay((done - warmup) / (1.0 - warmup))

    return schedule
