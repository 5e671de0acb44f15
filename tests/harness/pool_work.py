"""What the tests of the worker pool have done in its processes: `work(payload, report)`."""

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
from tenfold.experiments.sweep.pool import Report


def double(number: int, report: Report) -> int:
    return 2 * number


def double_slowly(payload: tuple[int, float], report: Report) -> int:
    number, seconds = payload
    time.sleep(seconds)
    return 2 * number


def process_id(payload: object, report: Report) -> int:
    return os.getpid()


def variables(names: list[str], report: Report) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def imported(names: list[str], report: Report) -> list[str]:
    return [name for name in names if name in sys.modules]


def ask(questions: list[Any], report: Report) -> list[Any]:
    return [report(question) for question in questions]


def raise_(error: BaseException, report: Report) -> None:
    raise error


def chatter(payload: object, report: Report) -> None:
    print("said on standard output")
    print("said on standard error", file=sys.stderr)
    warnings.warn("a warning", stacklevel=1)
    os.write(1, b"written below Python\n")


def die(payload: tuple[Path, int, int], report: Report) -> str:
    """Dies the first `times` times, by a signal or (below 0) with an exit code; the file counts."""
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


def die_as_a_parent(folder: Path, report: Report) -> None:
    """Dies, while a child of its own stays until the folder says that the test is over."""
    if os.fork() == 0:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (folder / "over").exists():
            time.sleep(0.01)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def die_if_told(payload: tuple[Path, int, int] | None, report: Report) -> str:
    return "alive" if payload is None else die(payload, report)


class ReadHereOnly:
    """Can be pickled, but read in the process of its making only."""

    def __reduce__(self) -> tuple[Any, ...]:
        return read_if_in, (os.getpid(),)


def read_if_in(process: int) -> str:
    if process != os.getpid():
        raise RunError("made elsewhere")
    return "read"


def give(payload: str, report: Report) -> object:
    return {"lock": threading.Lock, "stranger": ReadHereOnly, "number": int}[payload]()


def tell(payload: str, report: Report) -> object:
    return report(give(payload, report))


def interrupt_itself(payload: object, report: Report) -> int | None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    return stop.received


def train_until_stopped(folder: Path, report: Report) -> None:
    """Does as training does: notes the signal, asks the parent something, saves, and ends by an error of ours."""
    with StopRequest() as stop:
        (folder / f"begun-{os.getpid()}").touch()
        while stop.received is None:
            time.sleep(0.01)
        report("stopping")
        (folder / f"saved-{os.getpid()}").write_text(str(stop.received))
    raise stop.error("stopped at step 7 and saved")


def finish_when_stopped(folder: Path, report: Report) -> str:
    with StopRequest() as stop:
        (folder / f"begun-{os.getpid()}").touch()
        while stop.received is None:
            time.sleep(0.01)
    return "finished just so"


def sleep(folder: Path, report: Report) -> None:
    (folder / f"begun-{os.getpid()}").touch()
    time.sleep(60)


def sleep_deaf(folder: Path, report: Report) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(folder, report)


def sleep_if_told(folder: Path | None, report: Report) -> None:
    if folder is not None:
        sleep(folder, report)


def sleep_once(folder: Path, report: Report) -> None:
    """Sleeps in the first process that comes; the other one returns once it does."""
    try:
        (folder / "taken").mkdir()
    except FileExistsError:
        while not list(folder.glob("begun-*")):
            time.sleep(0.01)
    else:
        sleep(folder, report)
