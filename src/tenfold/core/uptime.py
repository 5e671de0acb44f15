"""Since when this process has been running."""

import os
import time
from contextlib import suppress
from pathlib import Path

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
