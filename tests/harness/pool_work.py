"""Job functions for the tests of the worker pool: `function(payload, send_report)`."""

import os
import resource
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from tenfold.core.errors import RunError
from tenfold.engine.signals import StopRequest
from tenfold.experiments.sweep.pool import SendReport


def double(number: int, send_report: SendReport) -> int:
    return 2 * number


def double_slowly(payload: tuple[int, float], send_report: SendReport) -> int:
    number, seconds = payload
    time.sleep(seconds)
    return 2 * number


def process_id(payload: object, send_report: SendReport) -> int:
    return os.getpid()


def environment_variables(names: list[str], send_report: SendReport) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def imported_modules(names: list[str], send_report: SendReport) -> list[str]:
    return [name for name in names if name in sys.modules]


def report_each(messages: list[Any], send_report: SendReport) -> list[Any]:
    """Returns the answers to its reports."""
    return [send_report(message) for message in messages]


def raise_error(error: BaseException, send_report: SendReport) -> None:
    raise error


def print_everywhere(payload: object, send_report: SendReport) -> None:
    print("printed to standard output")
    print("printed to standard error", file=sys.stderr)
    warnings.warn("a warning", stacklevel=1)
    os.write(1, b"written below Python\n")


def die_at_first(payload: tuple[Path, int, int] | None, send_report: SendReport) -> str:
    """Dies in the first `times` attempts, by a signal or (below 0) with an exit code; the file counts attempts."""
    if payload is None:
        return "alive"
    counter, times, end = payload
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with counter.open("a") as file:
        file.write("x")
    if counter.stat().st_size <= times:
        if end < 0:
            os._exit(-end)
        os.kill(os.getpid(), end)
        time.sleep(60)
    return "alive"


def die_before_own_child(folder: Path, send_report: SendReport) -> None:
    """Dies while a child of its own lives on until the folder holds a file `over`."""
    if os.fork() == 0:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (folder / "over").exists():
            time.sleep(0.01)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


class UnreadableElsewhere:
    """Can be pickled anywhere, but unpickled only in the process that made it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _check_process, (os.getpid(),)


def _check_process(process: int) -> str:
    if process != os.getpid():
        raise RunError("made in another process")
    return "read"


def return_new(kind: str, send_report: SendReport) -> object:
    return {"lock": threading.Lock, "number": int}[kind]()


def report_new(kind: str, send_report: SendReport) -> object:
    return send_report(return_new(kind, send_report))


def interrupt_itself(payload: object, send_report: SendReport) -> int | None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    return stop.received


def train_until_stopped(folder: Path, send_report: SendReport) -> None:
    """Ends as training does: reports, saves, and raises `Stopped`."""
    with StopRequest() as stop:
        (folder / f"begun-{os.getpid()}").touch()
        while stop.received is None:
            time.sleep(0.01)
        send_report("stopping")
        (folder / f"saved-{os.getpid()}").write_text(str(stop.received))
    raise stop.error("stopped at step 7 and saved")


def finish_when_stopped(folder: Path, send_report: SendReport) -> str:
    with StopRequest() as stop:
        (folder / f"begun-{os.getpid()}").touch()
        while stop.received is None:
            time.sleep(0.01)
    return "finished in time"


def sleep(folder: Path | None, send_report: SendReport) -> None:
    if folder is not None:
        (folder / f"begun-{os.getpid()}").touch()
        time.sleep(60)


def sleep_ignoring_sigterm(folder: Path, send_report: SendReport) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(folder, send_report)


def sleep_noting_sigterm(folder: Path, send_report: SendReport) -> None:
    def note(number: int, frame: object) -> None:
        (folder / f"noted-{os.getpid()}").touch()

    signal.signal(signal.SIGTERM, note)
    while True:
        sleep(folder, send_report)


def sleep_once(folder: Path, send_report: SendReport) -> None:
    """Sleeps in the first process that runs it; the other one returns as soon as the first sleeps."""
    try:
        (folder / "taken").mkdir()
    except FileExistsError:
        while not list(folder.glob("begun-*")):
            time.sleep(0.01)
    else:
        sleep(folder, send_report)
