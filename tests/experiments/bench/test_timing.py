"""Measuring in turns: the order of calls, and the reported seconds per call."""

from collections.abc import Callable

import pytest
import torch

from tenfold.experiments.bench import timing
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples, measure_in_turns

CPU = torch.device("cpu")


class FakeClock:
    """A clock that advances only when a function is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.spans: list[str] = []
        self.called = ""
        clock = self

        class Watch:
            def __init__(self, device: torch.device) -> None:
                self.elapsed = 0.0

            def start(self) -> None:
                self.began = clock.now

            def stop(self) -> None:
                self.elapsed = clock.now - self.began
                clock.spans.append(clock.called)

            def seconds(self) -> float:
                return self.elapsed

        monkeypatch.setattr(timing, "Stopwatch", Watch)

    def function(self, name: str, *costs: float) -> Callable[[], None]:
        """Returns a function whose calls in the k-th span cost the k-th number of seconds, later ones the last."""

        def call() -> None:
            self.called = name
            self.now += costs[min(self.spans.count(name), len(costs) - 1)]

        return call


def test_functions_take_turns_after_a_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(monkeypatch)
    measure_in_turns([clock.function("a", 1.0), clock.function("b", 1.0)], CPU, NUM_ROUNDS * 1.0)
    assert clock.spans == ["a", "a", "b", "b"] + ["a", "b"] * NUM_ROUNDS


def test_every_round_gives_the_seconds_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(monkeypatch)
    slow_start = clock.function("a", 100.0, 0.25, 0.5, 0.25, 2.0, 0.25, 0.25)
    other = clock.function("b", 0.125)
    first, second = measure_in_turns([slow_start, other], CPU, NUM_ROUNDS * 0.25)
    assert first.values == (0.5, 0.25, 2.0, 0.25, 0.25)
    assert first.median == 0.25
    assert second.values == (0.125,) * NUM_ROUNDS


def test_samples_keep_every_single_measurement() -> None:
    assert Samples((2.0, 8.0, 3.0, 4.0)).to_json() == {
        "median": 3.5,
        "lowest": 2.0,
        "highest": 8.0,
        "each": [2.0, 8.0, 3.0, 4.0],
    }
