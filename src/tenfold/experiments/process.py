"""A worker process as its parent sees it: how it is started, spoken to and ended, and what it died of."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import TenfoldError, UsageError
from tenfold.core.spawning import inheritance
from tenfold.experiments.worker import serve

_NAME = "tenfold-worker"
_THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "67108864"}
"""Lets the C library keep what a training step frees for the next: 6 to 10 % of a step's time, for some memory."""


@dataclass
class Task:
    """A job on its way: `data` is what a worker gets, `attempts` how many have got it, this time included."""

    key: str
    data: bytes
    attempts: int = 1


class WorkerProcess:
    """A process, the channel to it, and the task it has; it is `ready` once it runs our code.

    Args:
        log: where its standard output and error go; None: nowhere.
    """

    def __init__(self, log: Path | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, self._theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self._theirs, log), name=_NAME)
        self.task: Task | None = None
        self.ready = False
        self.knows_script = False

    def start(self, task: Task, threads: int | None) -> None:
        """Starts the process for its first task, which it is to take once it is ready.

        Args:
            task: the first one.
            threads: how many threads its libraries may start; None: as in this process.

        Raises:
            TenfoldError: when the system refuses another process.
        """
        self.task = task
        self.knows_script = b"__main__" in task.data
        try:
            with _environment(threads), inheritance(script=self.knows_script):
                self.process.start()
        except RuntimeError as error:
            if multiprocessing.current_process().name != _NAME:
                raise
            # This is a worker itself, importing a script that calls us unguarded; its pool tells the user.
            raise SystemExit(1) from error
        except OSError as error:
            raise TenfoldError(f"no worker process can start ({error.strerror}); try --jobs 1") from error
        finally:
            self._theirs.close()

    def take(self, task: Task) -> None:
        """Sends a task to the process, which must be idle."""
        self.task = task
        self.send(task.data)

    def send(self, data: bytes) -> None:
        """Sends bytes; a process that has just died is noticed by its end of the channel."""
        with suppress(OSError):
            self.channel.send_bytes(data)

    def end(self, patience: float) -> int:
        """Waits a while for the process to end, then kills it.

        Args:
            patience: seconds to wait.

        Returns:
            The exit code; below 0 it is the signal that ended the process.
        """
        self.channel.close()
        if self.process.pid is None:
            return 0
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


def cause(code: int) -> str:
    """Returns what ended a process, from its exit code, and what often stands behind it."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"by signal {-code}"
    remedy = ": often a lack of memory; try --jobs 1" if name == "SIGKILL" else ""
    return f"by signal {-code}, {name}{remedy}"


def cannot_start(needs_script: bool, code: int) -> TenfoldError:
    """Returns the error for a process that ended by itself before it was ready, as every other one would."""
    if needs_script:
        return UsageError(
            "a worker process could not import your script, which it must for what the script itself defines; "
            "put the call that starts the workers under `if __name__ == '__main__':`"
        )
    return TenfoldError(f"a worker process ended while it started, with exit code {code}; it has said why above")


@contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """Sets the variables that a process which starts in the block inherits, and puts the former ones back."""
    settings = _KEPT_MEMORY | ({} if threads is None else dict.fromkeys(_THREAD_COUNTS, str(threads)))
    former = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in former.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
