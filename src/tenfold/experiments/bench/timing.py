"""Measures several functions in turns, A B A B, so that a disturbance of the machine affects all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from tenfold.core.clock import Stopwatch

NUM_ROUNDS = 5
"""Number of measurements; their median counts, because other programs disturb single ones."""

_NUM_WARMUP_CALLS = 3  # these load libraries and allocate memory


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one quantity, at least one.

    Args:
        values: in the order of the measurements; seconds, or a ratio.

    Example:
        >>> Samples((3.0, 1.0, 2.5)).to_json()
        {'median': 2.5, 'lowest': 1.0, 'highest': 3.0, 'each': [3.0, 1.0, 2.5]}
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    def to_json(self) -> dict[str, Any]:
        """Returns the median, the lowest, the highest and every single value."""
        return {
            "median": self.median,
            "lowest": min(self.values),
            "highest": max(self.values),
            "each": list(self.values),
        }


def measure_in_turns(functions: Sequence[Callable[[], object]], device: torch.device, seconds: float) -> list[Samples]:
    """Returns the seconds per call of each function; every round measures all of them once.

    Args:
        functions: may return before the device has finished.
        device: on which they run.
        seconds: measuring time for each function, without warm-up, above 0.
    """
    counts = [_num_calls(function, device, seconds / NUM_ROUNDS) for function in functions]
    rounds = [
        [_time_calls(function, count, device) / count for function, count in zip(functions, counts, strict=True)]
        for _ in range(NUM_ROUNDS)
    ]
    return [Samples(values) for values in zip(*rounds, strict=True)]


def _time_calls(function: Callable[[], object], count: int, device: torch.device) -> float:
    """Returns the seconds of `count` calls."""
    stopwatch = Stopwatch(device)
    stopwatch.start()
    for _ in range(count):
        function()
    stopwatch.stop()
    return stopwatch.seconds()


def _num_calls(function: Callable[[], object], device: torch.device, seconds: float) -> int:
    """Warms up and returns how many calls take about `seconds`, at least 1."""
    _time_calls(function, _NUM_WARMUP_CALLS, device)
    count = 1
    while (elapsed := _time_calls(function, count, device)) < seconds / 2:
        count *= 2
    return max(1, round(count * seconds / elapsed))
