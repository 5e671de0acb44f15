"""One process of the pool: it does job after job, until its connection is closed or its parent is gone.

What goes through the connection, and what comes back:

    → (key, work, payload)          pickled, once the worker is ready and after each job
    ← "ready", b""                  once
    ← "report", message             while it works, each answered by
    → (True, answer) or (False, why the message could not be read)
    ← "done", result  |  "failed", (one line, traceback)
"""

import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from tenfold.core.disk import shown
from tenfold.core.errors import Stopped, TenfoldError, UsageError
from tenfold.core.spawn import inheritance

Report = Callable[[Any], Any]
Work = Callable[[Any, Report], Any]


def serve(channel: "connection.Connection[Any, Any]", log: Path | None) -> None:
    """Does what comes through the channel until it is closed.

    Args:
        channel: to the pool.
        log: where standard output and error go from here on; None: nowhere.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _leave_terminal(log)
    channel.send(("ready", b""))
    while True:
        try:
            task = channel.recv_bytes()
        except (EOFError, ConnectionError):
            return
        channel.send(_attempt(task, partial(_report, channel), log))


def packed(value: object, what: str) -> bytes:
    """Returns a value as bytes that another process can read.

    Plain pickle, because the one of multiprocessing passes tensors as memory that dies with its process.

    Args:
        value: to be sent.
        what: how an error calls it.

    Raises:
        TenfoldError: when it cannot be pickled.
    """
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TenfoldError(f"{what} cannot be sent to another process ({_described(error)})") from error


def unpacked(data: bytes, what: str) -> Any:
    """Returns what `packed` was given.

    Raises:
        TenfoldError: when this process cannot read it.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        raise TenfoldError(f"{what} cannot be read from another process ({_described(error)})") from error


def _attempt(task: bytes, report: Report, log: Path | None) -> tuple[str, bytes]:
    """Does one job and returns what to send: its result, or what went wrong."""
    key = "a job"
    try:
        key, work, payload = unpacked(task, "the job")
        return "done", packed(work(payload, report), "the result")
    except Stopped:
        _end_by_sigterm()
        raise
    except BaseException as error:  # also a SystemExit: only the pool ends a worker
        details = traceback.format_exc()
        print(f"{key}: {details}", file=sys.stderr, flush=True)
        return "failed", pickle.dumps((_one_line(error, log), details))
    finally:
        sys.stdout.flush()


def _report(channel: "connection.Connection[Any, Any]", message: object) -> Any:
    """Sends a message and returns the answer; raises TenfoldError when it cannot be pickled or read."""
    channel.send(("report", packed(message, "the message")))
    well, answer = pickle.loads(channel.recv_bytes())
    if not well:
        raise TenfoldError(answer)
    return answer


def _one_line(error: BaseException, log: Path | None) -> str:
    if isinstance(error, TenfoldError):
        return " ".join(str(error).split())
    where = f" from {shown(log)}" if log else ""
    return (
        f"this should not have happened ({_described(error)}); "
        f"report it with its traceback{where} to Tenfold's issue tracker"
    )


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _end_by_sigterm() -> None:
    """Ends as a process does that knows nothing of SIGTERM: the pool sees one kind of end, whatever the work does."""
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_with_parent() -> None:
    """Ends this process as soon as its parent has ended, in whatever way."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _leave_terminal(log: Path | None) -> None:
    """Takes the process out of the terminal: out of what it shows, and of what it sends to all processes at once.

    `timeout` and a shell's `kill %1` send SIGTERM to the whole group. The pool sends it too, and training takes
    a second one as the wish to end without saving.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()


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
