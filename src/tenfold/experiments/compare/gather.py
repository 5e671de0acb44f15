"""Finished runs, read from their folders for a comparison. N test pictures."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.disk import shown
from tenfold.core.errors import RunError
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

_LONG_NAME = 24  # from here on names lose the beginning that all share
_LONG_BEGINNING = 6


@dataclass(frozen=True, eq=False)  # two of them are compared by what they hold, see compare.py
class ComparedRun:
    """What a comparison knows of a finished run.

    Args:
        name: short, and different from that of the others.
        path: of the run folder.
        recipe: complete.
        evaluation: of its best model on the test split.
        data: name of its pictures.
        fingerprint: of its pictures.
        val_accuracy: best one on the validation split, or None without one.
        parameters: of its network.
        steps: taken.
        training_seconds: spent on them.
        total_seconds: from start to end.
        metrics: rows of `metrics.csv`.
        pictures: N paths or places, in the order of the test split.
        true: N names of classes.
        predicted: N names of classes.
    """

    name: str
    path: Path
    recipe: Recipe
    evaluation: Evaluation
    data: str
    fingerprint: str
    val_accuracy: float | None
    parameters: int
    steps: int
    training_seconds: float
    total_seconds: float
    metrics: Sequence[Mapping[str, float | int | None]]
    pictures: tuple[str, ...]
    true: tuple[str, ...]
    predicted: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were recognised, in [0, 1]."""
        return self.evaluation.accuracy

    @property
    def seed(self) -> int:
        """Seed of weights, order and augmentation."""
        return self.recipe.train.seed

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which test pictures were recognised, bool [N]."""
        return np.array([true == guess for true, guess in zip(self.true, self.predicted, strict=True)], bool)

    @property
    def settings(self) -> dict[str, object]:
        """The recipe by dotted key."""
        return _flat(self.recipe.model_dump())


def gather(paths: Iterable[str | Path]) -> tuple[list[ComparedRun], list[str]]:
    """Reads the finished runs that folders stand for; a sweep stands for all its runs.

    Args:
        paths: run folders, and folders of `tenfold sweep` or `tenfold train --seeds`.

    Returns:
        The runs in the order given, and a sentence about each that was left out.

    Raises:
        RunError: when a folder holds no run, a file is damaged, or fewer than two finished runs are left.
        RecipeError: when a recipe is damaged.
        StorageError: when the disk cannot be read.
    """
    folders, warnings = _finished(list(map(Path, paths)))
    if len(folders) < 2:
        found = f"1 finished run, {shown(folders[0].path)}" if folders else "no finished run"
        left_out = f" ({'; '.join(warnings)})" if warnings else ""
        raise RunError(f"{found}{left_out}; a comparison needs two or more: name another run folder or a sweep")
    names = short_names([folder.path for folder in folders])
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)], warnings


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns a name for each run, all different; of long ones the beginning that all share is left out.

    Args:
        paths: of run folders, all different.

    Example:
        >>> short_names([Path(f"runs/cifar10-quick-20260101-{hour}0000") for hour in (12, 13)])
        ['…120000', '…130000']
        >>> short_names([Path("runs/mlp"), Path("runs/wide")])
        ['mlp', 'wide']
    """
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        # trials of two sweeps are often called the same
        homes = [path.parents[1] if path.parent.name == "trials" else path.parent for path in paths]
        names = [f"{home.name}/{name}" for home, name in zip(homes, names, strict=True)]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    parts = [re.split(r"(?<=[-_ /])", name) for name in names]
    beginning = sum(len(same[0]) for same in takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)))
    if max(map(len, names)) <= _LONG_NAME or beginning < _LONG_BEGINNING:
        return names
    return [f"…{name[beginning:]}" for name in names]


def _finished(paths: Sequence[Path]) -> tuple[list[RunFolder], list[str]]:
    """Returns each finished run once, and what to say of the others."""
    found: dict[Path, RunFolder] = {}
    warnings = []
    for path in paths:
        folders = _runs_of(path)
        finished = [folder for folder in folders if folder.is_finished]
        if len(finished) < len(folders):
            warnings.append(_left_out(path, len(folders) - len(finished), len(folders)))
        again = [folder for folder in finished if found.setdefault(folder.path.resolve(), folder) is not folder]
        warnings += [f"{shown(folder.path)} was named twice" for folder in again]
    return list(found.values()), warnings


def _runs_of(path: Path) -> list[RunFolder]:
    if not SweepFolder.is_sweep(path):
        folder = RunFolder.open(path)
        # of a path such as `.` only the full one has a name
        return [folder if folder.path.name not in ("", "..") else RunFolder(folder.path.resolve())]
    sweep = SweepFolder.open(path)
    return [RunFolder(sweep.run_path(trial)) for trial in sweep.trials()]


def _left_out(path: Path, missing: int, count: int) -> str:
    if SweepFolder.is_sweep(path):
        return f"{missing} of the {count} trials of {shown(path)} have no result and are left out"
    return f"{shown(path)} is not finished and left out; finish it: tenfold train --resume {shown(path)}"


def _read(folder: RunFolder, name: str) -> ComparedRun:
    recipe, summary = load_recipe(folder.recipe), folder.read_summary()
    metrics, rows = folder.read_metrics(), folder.read_predictions()
    try:
        evaluation = Evaluation.from_json(summary["evaluation"])
        run = ComparedRun(
            name=name,
            path=folder.path,
            recipe=recipe,
            evaluation=evaluation,
            data=str(summary["dataset"]["name"]),
            fingerprint=str(summary["dataset"]["fingerprint"]),
            val_accuracy=summary["val_accuracy"],
            parameters=int(summary["parameters"]),
            steps=int(summary["steps"]),
            training_seconds=float(summary["training_seconds"]),
            total_seconds=float(summary["total_seconds"]),
            metrics=metrics,
            # the runs of a sweep share these texts: kept once, they fit into memory
            pictures=tuple(intern(row.picture) for row in rows),
            true=tuple(intern(row.true) for row in rows),
            predicted=tuple(intern(row.predicted) for row in rows),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{shown(folder.summary)} is damaged: found {type(error).__name__} {error}, expected what training "
            "writes; restore it from a copy"
        ) from error
    _check(run, folder)
    return run


def _check(run: ComparedRun, folder: RunFolder) -> None:
    """Raises RunError where predictions and summary tell of different results."""
    correct, total = int(np.count_nonzero(run.right)), len(run.pictures)
    expected = run.evaluation
    if (correct, total) != (expected.correct, expected.total):
        raise RunError(
            f"{shown(folder.predictions)} has {correct:,} of {total:,} pictures right, expected {expected.correct:,} "
            f"of {expected.total:,} as summary.json says: one of them is damaged; restore it from a copy"
        )


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tables.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
