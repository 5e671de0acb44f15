"""Whole processes, timed from outside as a user waits for them: from their start to their end."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import NoReturn

from tenfold.core.errors import Terminated, TrainingError


@dataclass(frozen=True)
class Ended:
    """A process that has ended well.

    Args:
        seconds: from its start to its end.
        memory_mb: the most that lay in memory at once, without its child processes; None where nobody tells.
        output: what it printed.
    """

    seconds: float
    memory_mb: float | None
    output: str


def run_to_end(command: Sequence[str], name: str) -> Ended:
    """Runs a command to its end. Whatever ends this function early, the process and its children end too.

    Args:
        command: word by word.
        name: what to call it in a message.

    Raises:
        TrainingError: when it fails; with the last line that it printed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        began = perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            memory_mb = _wait(process)
            seconds = perf_counter() - began
        except BaseException:
            _kill(process)
            raise
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise TrainingError(f"{name} {_ending(process.returncode)}: {_last_line(text)}")
    return Ended(seconds, memory_mb, text)


def figure(pattern: str, output: str) -> float:
    """Returns the number that the one group of `pattern` stands for in what a process printed.

    Raises:
        TrainingError: when nothing matches.
    """
    found = re.search(pattern, output)
    if found is None:
        raise TrainingError(f"the process ended well but printed no '{pattern.partition(':')[0]}'")
    return float(found[1])


@contextmanager
def ends_cleanly() -> Iterator[None]:
    """Makes SIGTERM an exception in the block, as SIGINT is, so that processes and temporary folders go with it."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated("stopped; nothing was kept")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _wait(process: "subprocess.Popen[bytes]") -> float | None:
    """Waits for the end of a process; returns its peak memory in MB where the system tells."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    in_bytes = sys.platform == "darwin"  # elsewhere in kibibytes
    return usage.ru_maxrss / (1e6 if in_bytes else 1e6 / 1024)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too: it leads a session of its own
        else:
            process.kill()
    process.wait()


def _ending(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1].strip().removeprefix("tenfold: error: ") if lines else "it printed nothing"
