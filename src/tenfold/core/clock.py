"""Time as a device spends it."""

import os
import time
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import torch


def synchronize(device: torch.device) -> None:
    """Waits until `device` has done all it was asked to; does nothing on a CPU, which never runs ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


_CALLS_BETWEEN_EVENTS = 16
"""Calls of `Stopwatch.elapsed` between two looks at a GPU. A training loop calls it twice a step: the host runs ahead
of the device by 16 steps at most, and waits only for what was queued 8 steps ago, so that the device never idles."""


class Stopwatch:
    """Adds up the seconds between `start` and `stop`, by device events on a CUDA GPU, else by the wall.

    Only `seconds` waits for the device, so that starting and stopping cost a training loop nothing. A loop that a clock
    ends asks `elapsed`, which goes by the host's clock and keeps the host from running far ahead of the device.

    Args:
        device: where the work that is timed runs.
        seconds: what has been spent already, when a run is resumed.

    Example:
        >>> watch = Stopwatch(torch.device("cpu"))
        >>> watch.start(); watch.stop(); watch.seconds() >= 0
        True
    """

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self._device = device
        self._spent = seconds
        self._started = 0.0
        self._elapsed = seconds
        self._calls = 0
        self._behind: torch.cuda.Event | None = None
        self._begin: torch.cuda.Event | None = None
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._running = False

    def start(self) -> None:
        """Begins a span; nothing changes when one is running."""
        if self._running:
            return
        self._running = True
        if self._device.type == "cuda":
            self._begin = self._event()
        else:
            synchronize(self._device)
        self._started = perf_counter()

    def stop(self) -> None:
        """Ends the span; nothing changes when none is running."""
        if not self._running:
            return
        self._running = False
        if self._begin is not None:
            self._spans.append((self._begin, self._event()))
        else:
            synchronize(self._device)
            self._spent += perf_counter() - self._started
        self._elapsed += perf_counter() - self._started

    def seconds(self) -> float:
        """Returns all spans so far, the running one included."""
        running = self._running
        self.stop()
        for begin, end in self._spans:
            end.synchronize()
            self._spent += begin.elapsed_time(end) / 1000
        self._spans.clear()
        if running:
            self.start()
        return self._spent

    def elapsed(self) -> float:
        """Returns all spans so far by the host's clock, the running one included.

        Cheap enough for every step: a GPU is not waited for, except that the host never gets more than 16 steps
        ahead of it. Queued work is thus all that this clock does not see.
        """
        if self._device.type == "cuda":
            self._stay_close()
        return self._elapsed + (perf_counter() - self._started if self._running else 0.0)

    def _stay_close(self) -> None:
        """Waits until the device has done what was queued at the look before the last."""
        self._calls += 1
        if self._calls % _CALLS_BETWEEN_EVENTS == 0:
            if self._behind is not None:
                self._behind.synchronize()
            self._behind = self._event()

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


_IMPORTED = time.perf_counter()
_START_UP = 60.0  # seconds from a process's start to this import, at most; more is a clock that lies


def process_start() -> float:
    """Returns the reading of `time.perf_counter` at which this process started, in seconds.

    Linux knows it to a hundredth of a second. Elsewhere it is the moment at which this module was imported, which the
    command line does before anything that takes long: only the interpreter's own start is missing then.

    Example:
        >>> process_start() <= time.perf_counter()
        True
    """
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, starttime: see proc_pid_stat(5)
        started = time.perf_counter() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
        if 0 <= _IMPORTED - started <= _START_UP:
            return started
    return _IMPORTED
