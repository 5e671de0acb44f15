"""The stopwatch, with a clock that the test moves."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from harness.needs import needs_gpu
from tenfold.core import clock
from tenfold.core.clock import Stopwatch, synchronize


class FakeClock:
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(clock, "perf_counter", fake)
    return fake


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch(torch.device("cpu"))


def test_spans_add_up_without_the_pauses(fake_clock: FakeClock, watch: Stopwatch) -> None:
    for span in (2.0, 3.0):
        watch.start()
        fake_clock.now += span
        watch.stop()
        fake_clock.now += 50
    assert watch.seconds() == 5


def test_a_running_span_counts(fake_clock: FakeClock, watch: Stopwatch) -> None:
    watch.start()
    fake_clock.now += 2
    assert watch.seconds() == 2
    fake_clock.now += 1
    watch.stop()
    assert watch.seconds() == 3


def test_starting_twice_and_stopping_twice_change_nothing(fake_clock: FakeClock, watch: Stopwatch) -> None:
    watch.stop()
    watch.start()
    fake_clock.now += 2
    watch.start()
    fake_clock.now += 2
    watch.stop()
    fake_clock.now += 2
    watch.stop()
    assert watch.seconds() == 4


def test_a_resumed_watch_starts_at_the_given_seconds(fake_clock: FakeClock) -> None:
    watch = Stopwatch(torch.device("cpu"), seconds=7.5)
    watch.start()
    fake_clock.now += 1
    assert watch.seconds() == 8.5


def test_elapsed_counts_the_same_spans(fake_clock: FakeClock) -> None:
    watch = Stopwatch(torch.device("cpu"), seconds=1.0)
    watch.start()
    fake_clock.now += 2
    assert watch.elapsed() == 3
    watch.stop()
    fake_clock.now += 50
    assert watch.elapsed() == watch.seconds() == 3


class Event:
    """A device event that records when it is waited for."""

    def __init__(self, waited: list["Event"]) -> None:
        self._waited = waited

    def synchronize(self) -> None:
        self._waited.append(self)


def test_a_gpu_is_waited_for_only_at_old_events(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Event] = []
    waited: list[Event] = []

    def record(watch: Stopwatch) -> Event:
        recorded.append(Event(waited))
        return recorded[-1]

    monkeypatch.setattr(Stopwatch, "_event", record)
    watch = Stopwatch(torch.device("cuda"))
    watch.start()
    watch.stop()
    num_span_events = len(recorded)
    for _ in range(100):
        watch.elapsed()
    events = recorded[num_span_events:]
    assert 0 < len(events) <= 10
    assert waited == events[:-1], "waiting for the newest event would idle the device"


def test_synchronize_does_nothing_on_a_cpu() -> None:
    synchronize(torch.device("cpu"))


@needs_gpu
def test_a_gpu_is_timed_by_cuda_events() -> None:
    device = torch.device("cuda")
    watch = Stopwatch(device)
    matrix = torch.rand(4096, 4096, device=device)
    watch.start()
    for _ in range(20):
        matrix = matrix @ matrix / 4096
    watch.stop()
    assert watch.seconds() > 0


def test_process_start_is_before_the_first_line() -> None:
    code = (
        "import time; time.sleep(0.3); before = time.perf_counter()\n"
        "from tenfold.core.clock import process_start\n"
        "print(before - process_start())"
    )
    began = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    spent = time.perf_counter() - began
    if Path("/proc/self/stat").exists():
        assert 0.25 < float(printed) < spent + 0.05
    else:
        assert float(printed) <= 0


def test_without_proc_it_is_the_time_of_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, *_: object) -> None: ...

        def read_text(self, **_: object) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(clock, "Path", Missing)
    assert clock.process_start() == clock._IMPORT_TIME


def test_an_implausible_start_time_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.os, "sysconf", lambda name: 1e-9)  # the process would have started long after the boot
    assert clock.process_start() == clock._IMPORT_TIME
