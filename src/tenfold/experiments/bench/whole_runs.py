"""Whole processes, timed from outside as a user waits for them: from their start to their end."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from tenfold.core.errors import DataError, Terminated, TrainingError
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.spread import spread
from tenfold.experiments.bench.timing import Measured
from tenfold.runs.run_folder import RunFolder


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


@dataclass(frozen=True)
class WholeRun:
    """One command that trained and judged a network.

    Args:
        seconds: from the start of the process to its end.
        training_seconds: of them, the training.
        compile_seconds: of them, compilation; None where nothing was compiled, or nobody tells.
        accuracy: on the test pictures, in [0, 1].
        interval: the 95 % interval of this one run's accuracy.
        memory_mb: see `Ended`.
        seed: of weights and order; None where the command draws its own.
        hardware: how the device was used, in words; None where nobody tells.
    """

    seconds: float
    training_seconds: float
    compile_seconds: float | None
    accuracy: float
    interval: tuple[float, float]
    memory_mb: float | None
    seed: int | None = None
    hardware: str | None = None

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, training {self.training_seconds:.1f} s, accuracy {self.accuracy * 100:.1f} %"

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {**asdict(self), "interval": list(self.interval)}


def summary_of(runs: Sequence[WholeRun]) -> dict[str, Any]:
    """Returns what several runs come to, at least one, and each of them; None where something is not known."""
    accuracy = spread([run.accuracy for run in runs])
    return {
        "seconds": _measured(run.seconds for run in runs),
        "training_seconds": _measured(run.training_seconds for run in runs),
        "compile_seconds": _measured(run.compile_seconds for run in runs),
        "accuracy": {
            "mean": accuracy.mean,
            "deviation": accuracy.deviation,
            "interval_of_first": list(runs[0].interval),
        },
        "peak_memory_mb": max((run.memory_mb for run in runs if run.memory_mb is not None), default=None),
        "runs": [run.to_json() for run in runs],
    }


def _measured(values: Iterable[float | None]) -> dict[str, Any] | None:
    known = tuple(value for value in values if value is not None)
    return Measured(known).to_json() if known else None


def run_tenfold(recipe: str, flags: Sequence[str], seed: int, runs: Path) -> WholeRun:
    """Runs `tenfold train` as a process of its own.

    Args:
        recipe: a shipped recipe or a TOML file.
        flags: further ones, such as `--data`.
        seed: of the run.
        runs: folder for the run; it is left there.

    Raises:
        TrainingError: when the command fails; with its last line.
    """
    name = f"seed-{seed}-{len(list(runs.iterdir()))}"
    words = ["train", "--recipe", recipe, *flags, "--seed", str(seed), "--runs", str(runs), "--name", name]
    words.append("--no-report")
    ended = run_to_end([sys.executable, "-m", "tenfold", *words], f"tenfold train --recipe {recipe} --seed {seed}")
    summary = RunFolder.open(runs / name).read_summary()
    low, high = summary["test_interval"]
    return WholeRun(
        seconds=ended.seconds,
        training_seconds=summary["training_seconds"],
        compile_seconds=summary.get("compile_seconds") or None,
        accuracy=summary["test_accuracy"],
        interval=(low, high),
        memory_mb=ended.memory_mb,
        seed=seed,
        hardware=summary["hardware"],
    )


def run_classic(arrays: Path, test_pictures: int) -> WholeRun:
    """Runs the tutorial as people write it, as a process of its own.

    Args:
        arrays: what `save_for_classic` wrote.
        test_pictures: how many of them are for testing.

    Raises:
        TrainingError: when the script fails; with its last line.
    """
    ended = run_to_end([sys.executable, str(classic_script()), str(arrays)], "the classic script")
    accuracy = figure(r"accuracy: ([\d.]+) %", ended.output) / 100
    return WholeRun(
        seconds=ended.seconds,
        training_seconds=figure(r"training: ([\d.]+) s", ended.output),
        compile_seconds=None,
        accuracy=accuracy,
        interval=wilson(round(accuracy * test_pictures), test_pictures),
        memory_mb=ended.memory_mb,
    )


def classic_script() -> Path:
    """Returns the path of the tutorial as people write it, a script that runs by itself.

    A wheel carries it beside this module; a checkout has it in `benchmarks/`.

    Raises:
        DataError: when it is in neither place.
    """
    beside, checkout = (
        Path(__file__).with_name("classic_script.py"),
        Path(__file__).parents[4] / "benchmarks/classic.py",
    )
    for path in (beside, checkout):
        if path.is_file():
            return path
    raise DataError(f"the classic script is missing: expected {checkout}; run this from a checkout of Tenfold")


def save_for_classic(dataset: Dataset, path: Path) -> None:
    """Writes pictures as the classic script reads them.

    Args:
        dataset: ten classes of 32×32 pictures.
        path: of the new `.npz` file.

    Raises:
        DataError: when the script's network does not fit such pictures.
    """
    labelled = len(set(dataset.test.labels.tolist()))
    if dataset.image_size != (32, 32) or len(dataset.classes) != 10 or labelled != 10:
        height, width = dataset.image_size
        raise DataError(
            f"the classic script cannot learn {dataset.name}: found {height}×{width} pictures in "
            f"{len(dataset.classes)} classes, {labelled} of them tested; expected 32×32 in 10 classes, as in CIFAR-10"
        )
    train, test = dataset.train, dataset.test
    np.savez(
        path, train_images=train.images, train_labels=train.labels, test_images=test.images, test_labels=test.labels
    )
