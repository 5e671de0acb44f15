"""Whole trainings as commands: `tenfold train`, and the tutorial as people write it."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.errors import DataError
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.spread import spread
from tenfold.experiments.bench_process import figure, run_to_end
from tenfold.experiments.bench_timing import Measured
from tenfold.runs.folder import RunFolder

CLASSIC = "tenfold.experiments.classic"
"""Module of the tutorial as people write it; it runs by itself."""


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
    ended = run_to_end([sys.executable, "-m", CLASSIC, str(arrays)], "the classic script")
    accuracy = figure(r"accuracy: ([\d.]+) %", ended.output) / 100
    return WholeRun(
        seconds=ended.seconds,
        training_seconds=figure(r"training: ([\d.]+) s", ended.output),
        compile_seconds=None,
        accuracy=accuracy,
        interval=wilson(round(accuracy * test_pictures), test_pictures),
        memory_mb=ended.memory_mb,
    )


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
