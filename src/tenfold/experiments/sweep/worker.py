"""A worker process of the pool, seen from both ends of its pipe.

pool → worker    (key, function, payload)     one job; the next one follows after its result
worker → pool    ("report", message)          while the job runs
pool → worker    answer                       to each report
worker → pool    ("done", return value)  |  ("failed", error message)
"""

import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, NamedTuple

from tenfold.core.disk import display_path
from tenfold.core.errors import Stopped, TenfoldError
from tenfold.core.spawn import environment, inheritance, leave_process_group
from tenfold.core.text import one_line
from tenfold.core.world import leave_world

SendReport = Callable[[Any], Any]
"""Sends a message to the pool and returns its answer."""

JobFunction = Callable[[Any, SendReport], Any]
"""Runs one job: called with its payload and with the function that sends reports."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""They set the number of threads of the numerical libraries, which read them when they are imported."""

_MALLOC_VARIABLES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "67108864"}
"""The C library keeps freed memory for the next training step: 6 to 10 % faster steps for some memory."""


class Job(NamedTuple):
    """One job; `payload` must be picklable."""

    key: str
    payload: Any


def serve(channel: "connection.Connection[Any, Any]", log: Path | None) -> None:
    """Runs jobs in the worker process until the pool closes the pipe or the parent process ends.

    Args:
        channel: the worker's end of the pipe.
        log: file that receives standard output and error; None discards them.
    """
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _detach_from_terminal(log)
    while True:
        try:
            job = channel.recv_bytes()
        except (EOFError, ConnectionError):
            return
        _run_job(job, channel, log)


def _run_job(job: bytes, channel: "connection.Connection[Any, Any]", log: Path | None) -> None:
    key = "a job"

    def send_report(message: object) -> Any:
        channel.send(("report", message))
        return channel.recv()

    try:
        key, function, payload = pickle.loads(job)
        channel.send(("done", function(payload, send_report)))
    except Stopped:
        _exit_by_sigterm()
        raise
    except BaseException as error:  # SystemExit too: only the pool ends a worker
        print(f"{key}: {traceback.format_exc()}", file=sys.stderr, flush=True)
        channel.send(("failed", error_message(error, log)))
    finally:
        sys.stdout.flush()


def error_message(error: BaseException, log: Path | None) -> str:
    """Returns the line for the error that ended a job.

    Args:
        error: what the job raised.
        log: the file with its traceback.
    """
    text = one_line(str(error))
    if isinstance(error, TenfoldError):
        return text
    description = f"{type(error).__name__}: {text}" if text else type(error).__name__
    source = f" from {display_path(log)}" if log else ""
    return (
        f"this should not have happened ({description}); "
        f"report it with its traceback{source} to Tenfold's issue tracker"
    )


def _exit_by_sigterm() -> None:
    """Exits as if SIGTERM had not been handled, so that the pool sees one kind of exit after a stop."""
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_with_parent() -> None:
    """Exits as soon as the parent process has ended, for whatever reason."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _detach_from_terminal(log: Path | None) -> None:
    """Detaches the process from the terminal's output and from signals to the process group.

    The pool forwards SIGTERM itself, and a second SIGTERM makes training exit without saving.
    """
    leave_process_group()
    leave_world()  # a trial trains alone
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()


class WorkerProcess:
    """The pool's view of a worker: its process, the pool's end of the pipe, and the job it is running.

    Args:
        log: file that receives standard output and error; None discards them.
    """

    def __init__(self, log: Path | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, self._worker_channel = context.Pipe()
        self.process = context.Process(target=serve, args=(self._worker_channel, log), name="tenfold-worker")
        self.job: Job | None = None

    def start(self, threads: int | None) -> None:
        """Starts the process.

        Args:
            threads: number of threads of the numerical libraries; None leaves the setting of this process.

        Raises:
            TenfoldError: when the system refuses another process.
        """
        try:
            with environment(**_variables(threads)), inheritance():
                self.process.start()
        except OSError as error:
            raise TenfoldError(f"no worker process can start ({error.strerror}); try --jobs 1") from error
        finally:
            self._worker_channel.close()

    def assign(self, job: Job, function: JobFunction) -> None:
        """Sends a job to the idle process."""
        self.job = job
        # Plain pickle: multiprocessing's own passes tensors as memory that is gone when its process ends.
        self._send(pickle.dumps((job.key, function, job.payload)))

    def answer(self, value: object) -> None:
        """Answers a report."""
        self._send(pickle.dumps(value))

    def _send(self, data: bytes) -> None:
        with suppress(OSError):  # a dead process is noticed when the pool reads its pipe
            self.channel.send_bytes(data)

    def join(self, timeout: float) -> int:
        """Closes the pipe, waits up to `timeout` seconds for the exit, then kills the process.

        Returns:
            The exit code; −n when signal n ended the process.
        """
        self.channel.close()
        if self.process.pid is None:
            return 0
        self.process.join(timeout)
        self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


def _variables(threads: int | None) -> dict[str, str]:
    """Returns the environment variables of a worker."""
    return _MALLOC_VARIABLES | ({} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads)))
