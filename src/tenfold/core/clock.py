"""Clocks: time spent on a device, and the start time of the process."""

import os
import time
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this module first, and torch takes a second
    import torch


def synchronize(device: "torch.device") -> None:
    """Waits until all work queued on `device` is done. Does nothing on a CPU, which has no queue."""
    if device.type == "cpu":
        return
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


_CALLS_BETWEEN_EVENTS = 16
"""Calls of `Stopwatch.elapsed` between two CUDA events. A training loop calls it twice per step, so the host runs at
most 16 steps ahead of the device. It only waits for work that was queued 8 steps ago: the device never idles."""


class Stopwatch:
    """Sums the seconds between `start` and `stop`: by CUDA events on a CUDA GPU, by the host clock elsewhere.

    Only `seconds` waits for the device; `start` and `stop` cost a training loop nothing. A loop with a time limit calls
    `elapsed`, which reads the host clock and limits how far the host runs ahead of the device.

    Args:
        device: device that runs the timed work.
        seconds: seconds already spent, for a resumed run.

    Example:
        >>> import torch
        >>> watch = Stopwatch(torch.device("cpu"))
        >>> watch.start(); watch.stop(); watch.seconds() >= 0
        True
    """

    def __init__(self, device: "torch.device", seconds: float = 0.0) -> None:
        self._device = device
        self._device_seconds = seconds
        self._host_seconds = seconds
        self._started_at = 0.0
        self._running = False
        self._start_event: torch.cuda.Event | None = None
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._num_calls = 0
        self._previous_event: torch.cuda.Event | None = None

    def start(self) -> None:
        """Starts a span. Does nothing if one is running."""
        if self._running:
            return
        self._running = True
        if self._device.type == "cuda":
            self._start_event = self._event()
        else:
            synchronize(self._device)
        self._started_at = perf_counter()

    def stop(self) -> None:
        """Ends the span. Does nothing if none is running."""
        if not self._running:
            return
        self._running = False
        if self._start_event is not None:
            self._spans.append((self._start_event, self._event()))
        else:
            synchronize(self._device)
            self._device_seconds += perf_counter() - self._started_at
        self._host_seconds += perf_counter() - self._started_at

    def seconds(self) -> float:
        """Returns the sum of all spans in seconds, including a running one. Waits for the device."""
        running = self._running
        self.stop()
        for start, end in self._spans:
            end.synchronize()
            self._device_seconds += start.elapsed_time(end) / 1000
        self._spans.clear()
        if running:
            self.start()
        return self._device_seconds

    def elapsed(self) -> float:
        """Returns the sum of all spans in seconds by the host clock, including a running one.

        Cheap enough for every step. On a GPU, queued work is not counted; the host is at most 16 steps ahead.
        """
        if self._device.type == "cuda":
            self._limit_queue()
        return self._host_seconds + (perf_counter() - self._started_at if self._running else 0.0)

    def _limit_queue(self) -> None:
        """Records an event every few calls and waits for the one before it."""
        self._num_calls += 1
        if self._num_calls % _CALLS_BETWEEN_EVENTS == 0:
            if self._previous_event is not None:
                self._previous_event.synchronize()
            self._previous_event = self._event()

    def _event(self) -> "torch.cuda.Event":
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


_IMPORT_TIME = time.perf_counter()
_MAX_STARTUP_SECONDS = 60.0  # from process start to this import; a larger difference means a wrong system clock


def process_start() -> float:
    """Returns the `time.perf_counter()` value at which this process started, in seconds.

    Linux reports it to a hundredth of a second. Elsewhere it is the time at which this module was imported. The command
    line imports it first, so that only the start of the interpreter is missing.

    Example:
        >>> process_start() <= time.perf_counter()
        True
    """
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, starttime: see proc_pid_stat(5)
        started = time.perf_counter() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
        if 0 <= _IMPORT_TIME - started <= _MAX_STARTUP_SECONDS:
            return started
    return _IMPORT_TIME
