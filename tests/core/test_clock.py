"""The stopwatch, on a clock that the test turns by hand."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tenfold.core import clock
from tenfold.core import clock as uptime
from tenfold.core.clock import Stopwatch, synchronize


class Hand:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "perf_counter", hand)
    return hand


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch(torch.device("cpu"))


def test_spans_add_up_and_pauses_do_not_count(hand: Hand, watch: Stopwatch) -> None:
    for span in (2.0, 3.0):
        watch.start()
        hand.now += span
        watch.stop()
        hand.now += 50
    assert watch.seconds() == 5


def test_a_running_span_counts_and_goes_on(hand: Hand, watch: Stopwatch) -> None:
    watch.start()
    hand.now += 2
    assert watch.seconds() == 2
    hand.now += 1
    watch.stop()
    assert watch.seconds() == 3


def test_starting_twice_and_stopping_twice_change_nothing(hand: Hand, watch: Stopwatch) -> None:
    watch.stop()
    watch.start()
    hand.now += 2
    watch.start()
    hand.now += 2
    watch.stop()
    hand.now += 2
    watch.stop()
    assert watch.seconds() == 4


def test_a_resumed_watch_begins_with_what_was_spent(hand: Hand) -> None:
    watch = Stopwatch(torch.device("cpu"), seconds=7.5)
    watch.start()
    hand.now += 1
    assert watch.seconds() == 8.5


def test_the_hosts_clock_counts_the_same_spans(hand: Hand) -> None:
    watch = Stopwatch(torch.device("cpu"), seconds=1.0)
    watch.start()
    hand.now += 2
    assert watch.elapsed() == 3
    watch.stop()
    hand.now += 50
    assert watch.elapsed() == watch.seconds() == 3


class Event:
    """A device event that notes when it is waited for."""

    def __init__(self, waited: list["Event"]) -> None:
        self._waited = waited

    def synchronize(self) -> None:
        self._waited.append(self)


def test_a_gpu_is_waited_for_only_at_what_was_queued_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Event] = []
    waited: list[Event] = []

    def record(watch: Stopwatch) -> Event:
        recorded.append(Event(waited))
        return recorded[-1]

    monkeypatch.setattr(Stopwatch, "_event", record)
    watch = Stopwatch(torch.device("cuda"))
    watch.start()
    watch.stop()
    spans = len(recorded)
    for _ in range(100):
        watch.elapsed()
    looks = recorded[spans:]
    assert 0 < len(looks) <= 10
    assert waited == looks[:-1], "never the event that was recorded last: the device would run dry"


def test_a_processor_needs_no_waiting() -> None:
    synchronize(torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_is_timed_by_its_own_events() -> None:
    device = torch.device("cuda")
    watch = Stopwatch(device)
    matrix = torch.rand(4096, 4096, device=device)
    watch.start()
    for _ in range(20):
        matrix = matrix @ matrix / 4096
    watch.stop()
    assert watch.seconds() > 0


def test_a_process_knows_when_it_started() -> None:
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


def test_where_the_system_does_not_tell_it_is_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, *_: object) -> None: ...

        def read_text(self, **_: object) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(uptime, "Path", Missing)
    assert uptime.process_start() == uptime._IMPORTED


def test_a_clock_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uptime.os, "sysconf", lambda name: 1e-9)  # then it would have started aeons after the boot
    assert uptime.process_start() == uptime._IMPORTED
