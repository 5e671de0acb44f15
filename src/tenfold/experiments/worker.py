"""One process of the pool: it does job after job, until its connection is closed or its parent is gone.

What goes through the connection, and what comes back:

    → (key, work, payload)          pickled, once the worker is ready and after each job
    ← "ready", b""                  once
    ← "report", message             while it works, each answered by
    → (True, answer) or (False, why the message could not be read)
    ← "done", result  |  "failed", (one line, traceback)
"""

import faulthandler
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from tenfold.core.disk import shown
from tenfold.core.errors import Stopped, TenfoldError

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
