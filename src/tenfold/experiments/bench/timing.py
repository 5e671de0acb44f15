"""Measuring several things in turns, A B A B: whatever else the machine does then spoils all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from tenfold.core.clock import Stopwatch

ROUNDS = 5
"""Measurements of which the median counts: what else the machine does spoils single ones."""

_FIRST_CALLS = 3  # libraries are loaded and memory is claimed in these


@dataclass(frozen=True)
class Measured:
    """One quantity, measured at least once.

    Args:
        each: what was found, in the order of the measurements; seconds, or a ratio.

    Example:
        >>> Measured((3.0, 1.0, 2.5)).to_json()
        {'median': 2.5, 'lowest': 1.0, 'highest': 3.0, 'each': [3.0, 1.0, 2.5]}
    """

    each: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return median(self.each)

    def to_json(self) -> dict[str, Any]:
        """Returns the median, both ends and every single measurement."""
        return {"median": self.median, "lowest": min(self.each), "highest": max(self.each), "each": list(self.each)}


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Work:
    """Something whose time is measured.

    Args:
        once: does it once; may run ahead of the device.
        afterwards: called when the clock stands still, to tidy up after many calls.
    """

    once: Callable[[], object]
    afterwards: Callable[[], object] = _nothing


def measure_in_turns(works: Sequence[Work], device: torch.device, seconds: float) -> list[Measured]:
    """Returns the seconds of one call of each, `ROUNDS` times, all of them measured once in each round.

    Args:
        works: see `Work`.
        device: on which they run.
        seconds: of measuring for each of them, warm-up excluded, above 0.
    """
    share = seconds / ROUNDS
    counts = [_calls_in(share, work, device) for work in works]
    rounds = [
        [_timed(work, count, device) / count for work, count in zip(works, counts, strict=True)] for _ in range(ROUNDS)
    ]
    return [Measured(column) for column in zip(*rounds, strict=True)]


def _timed(work: Work, count: int, device: torch.device) -> float:
    """Returns the seconds that `count` calls take."""
    watch = Stopwatch(device)
    watch.start()
    for _ in range(count):
        work.once()
    watch.stop()
    spent = watch.seconds()
    work.afterwards()
    return spent


def _calls_in(seconds: float, work: Work, device: torch.device) -> int:
    """Warms up, and returns how many calls take about so long, at least 1."""
    _timed(work, _FIRST_CALLS, device)
    count = 1
    while (spent := _timed(work, count, device)) < seconds / 2:
        count *= 2
    return max(1, round(count * seconds / spent))
