"""Whole commands as separate processes, timed as a user waits for them: from start to exit."""

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
from tenfold.core.text import size_text
from tenfold.core.world import without_world
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.spread import spread
from tenfold.experiments.bench.timing import Samples
from tenfold.runs.run_folder import RunFolder


@dataclass(frozen=True)
class ProcessResult:
    """A process that exited without an error.

    Args:
        seconds: from its start to its exit.
        memory_mb: its peak memory in MB, without child processes; None if the system does not report it.
        output: what it printed.
    """

    seconds: float
    memory_mb: float | None
    output: str


def run_process(command: Sequence[str], name: str) -> ProcessResult:
    """Runs a command and waits for it. An exception in this function also ends the process and its children.

    Args:
        command: program and arguments.
        name: of the command, for messages.

    Raises:
        TrainingError: when the command fails; contains its last line of output.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        started = perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=without_world(),
        )
        try:
            memory_mb = _wait(process)
            seconds = perf_counter() - started
        except BaseException:
            _kill(process)
            raise
        file.seek(0)
        output = file.read()
    if process.returncode:
        raise TrainingError(f"{name} {_exit_text(process.returncode)}: {_last_line(output)}")
    return ProcessResult(seconds, memory_mb, output)


def parse_number(pattern: str, output: str) -> float:
    """Returns the number that the only group of `pattern` matches in the output of a process.

    Raises:
        TrainingError: when nothing matches.
    """
    match = re.search(pattern, output)
    if match is None:
        raise TrainingError(f"the process succeeded but printed no '{pattern.partition(':')[0]}'")
    return float(match[1])


@contextmanager
def sigterm_as_exception() -> Iterator[None]:
    """Turns SIGTERM into an exception, as SIGINT is, so that child processes and temporary folders are removed."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated("stopped; nothing was kept")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _wait(process: "subprocess.Popen[bytes]") -> float | None:
    """Waits for the exit of a process; returns its peak memory in MB if the system reports it."""
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
            os.killpg(process.pid, signal.SIGKILL)  # its children too: they are in its session
        else:
            process.kill()
    process.wait()


def _exit_text(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1].strip().removeprefix("tenfold: error: ") if lines else "it printed nothing"


@dataclass(frozen=True)
class TimedRun:
    """One command that trained and evaluated a network.

    Args:
        seconds: from the start of the process to its exit.
        training_seconds: time of the training alone.
        compile_seconds: time of the compilation; None if nothing was compiled or the command does not report it.
        accuracy: on the test split, in [0, 1].
        interval: 95 % interval of this run's accuracy.
        memory_mb: see `ProcessResult`.
        seed: of weights and order; None if the command draws its own.
        hardware: description of the device and its settings; None if the command does not report it.
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


def summarize_runs(runs: Sequence[TimedRun]) -> dict[str, Any]:
    """Returns statistics of at least one run, and each run; a value that is not known is None."""
    accuracy = spread([run.accuracy for run in runs])
    return {
        "seconds": _samples(run.seconds for run in runs),
        "training_seconds": _samples(run.training_seconds for run in runs),
        "compile_seconds": _samples(run.compile_seconds for run in runs),
        "accuracy": {"mean": accuracy.mean, "deviation": accuracy.std, "interval_of_first": list(runs[0].interval)},
        "peak_memory_mb": max((run.memory_mb for run in runs if run.memory_mb is not None), default=None),
        "runs": [run.to_json() for run in runs],
    }


def _samples(values: Iterable[float | None]) -> dict[str, Any] | None:
    known = tuple(value for value in values if value is not None)
    return Samples(known).to_json() if known else None


def run_tenfold(recipe: str, flags: Sequence[str], seed: int, runs: Path) -> TimedRun:
    """Runs `tenfold train` as a separate process.

    Args:
        recipe: name of a shipped recipe, or a TOML file.
        flags: further options, such as `--data`.
        seed: of the run.
        runs: folder in which the run folder is created and stays.

    Raises:
        TrainingError: when the command fails; contains its last line of output.
    """
    name = f"seed-{seed}-{len(list(runs.iterdir()))}"
    arguments = ["train", "--recipe", recipe, *flags, "--seed", str(seed), "--runs", str(runs), "--name", name]
    command = [sys.executable, "-m", "tenfold", *arguments, "--no-report"]
    result = run_process(command, f"tenfold train --recipe {recipe} --seed {seed}")
    summary = RunFolder.open(runs / name).read_summary()
    low, high = summary["test_interval"]
    return TimedRun(
        seconds=result.seconds,
        training_seconds=summary["training_seconds"],
        compile_seconds=summary.get("compile_seconds") or None,
        accuracy=summary["test_accuracy"],
        interval=(low, high),
        memory_mb=result.memory_mb,
        seed=seed,
        hardware=summary["hardware"],
    )


def run_classic(arrays: Path, num_test_images: int) -> TimedRun:
    """Runs the classic tutorial script as a separate process.

    Args:
        arrays: file that `save_classic_arrays` wrote.
        num_test_images: number of test images in it.

    Raises:
        TrainingError: when the script fails; contains its last line of output.
    """
    result = run_process([sys.executable, str(classic_script()), str(arrays)], "the classic script")
    accuracy = parse_number(r"accuracy: ([\d.]+) %", result.output) / 100
    return TimedRun(
        seconds=result.seconds,
        training_seconds=parse_number(r"training: ([\d.]+) s", result.output),
        compile_seconds=None,
        accuracy=accuracy,
        interval=wilson(round(accuracy * num_test_images), num_test_images),
        memory_mb=result.memory_mb,
    )


def classic_script() -> Path:
    """Returns the path of the classic tutorial script.

    In an installed wheel it is next to this module, in a checkout in `benchmarks/`.

    Raises:
        DataError: when it is in neither folder.
    """
    installed = Path(__file__).with_name("classic_script.py")
    checkout = Path(__file__).parents[4] / "benchmarks/classic.py"
    for path in (installed, checkout):
        if path.is_file():
            return path
    raise DataError(f"the classic script is missing: expected {checkout}; run this from a checkout of Tenfold")


def save_classic_arrays(dataset: Dataset, path: Path) -> None:
    """Writes a dataset as the `.npz` file that the classic script reads.

    Args:
        dataset: ten classes of 32×32 images.
        path: of the new file.

    Raises:
        DataError: when the images do not fit the script's network.
    """
    num_tested = len(set(dataset.test.labels.tolist()))
    if dataset.image_size != (32, 32) or len(dataset.classes) != 10 or num_tested != 10:
        raise DataError(
            f"the classic script cannot train on {dataset.name}: found {size_text(dataset.image_size)} images in "
            f"{len(dataset.classes)} classes, {num_tested} of them in the test split; "
            "expected 32×32 in 10 classes, as in CIFAR-10"
        )
    train, test = map(dataset.without_margin, (dataset.train, dataset.test))
    np.savez(
        path, train_images=train.images, train_labels=train.labels, test_images=test.images, test_labels=test.labels
    )
