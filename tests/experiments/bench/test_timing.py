"""Measuring in turns: who is called when, and what a call is said to take."""

import pytest
import torch

from tenfold.experiments.bench import timing as bench_timing
from tenfold.experiments.bench.timing import ROUNDS, Measured, Work, measure_in_turns

CPU = torch.device("cpu")


class Machine:
    """A clock that moves only when work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.spans: list[str] = []
        self.called = ""
        machine = self

        class Watch:
            def __init__(self, device: torch.device) -> None:
                self.spent = 0.0

            def start(self) -> None:
                self.began = machine.now

            def stop(self) -> None:
                self.spent = machine.now - self.began
                machine.spans.append(machine.called)

            def seconds(self) -> float:
                return self.spent

        monkeypatch.setattr(bench_timing, "Stopwatch", Watch)

    def work(self, name: str, *costs: float) -> Work:
        """Returns work whose k-th span costs the k-th number a call, and the last one ever after."""

        def once() -> None:
            self.called = name
            self.now += costs[min(self.spans.count(name), len(costs) - 1)]

        return Work(once)


def test_works_take_turns_and_warm_up_before(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    measure_in_turns([machine.work("a", 1.0), machine.work("b", 1.0)], CPU, ROUNDS * 1.0)
    assert machine.spans == ["a", "a", "b", "b"] + ["a", "b"] * ROUNDS


def test_a_call_is_said_to_take_what_it_takes_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    slow_start = machine.work("a", 100.0, 0.25, 0.5, 0.25, 2.0, 0.25, 0.25)
    other = machine.work("b", 0.125)
    first, second = measure_in_turns([slow_start, other], CPU, ROUNDS * 0.25)
    assert first.each == (0.5, 0.25, 2.0, 0.25, 0.25)
    assert first.median == 0.25
    assert second.each == (0.125,) * ROUNDS


def test_tidying_up_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    plain = machine.work("a", 1.0)
    tidied: list[float] = []

    def tidy() -> None:
        tidied.append(machine.now)
        machine.now += 1000.0

    (found,) = measure_in_turns([Work(plain.once, tidy)], CPU, 2.0 * ROUNDS)
    assert found.median == 1.0
    assert len(tidied) == len(machine.spans)


def test_a_sum_up_holds_every_single_measurement() -> None:
    assert Measured((2.0, 8.0, 3.0, 4.0)).to_json() == {
        "median": 3.5,
        "lowest": 2.0,
        "highest": 8.0,
        "each": [2.0, 8.0, 3.0, 4.0],
    }
