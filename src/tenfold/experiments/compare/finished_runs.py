"""Reads finished runs for a comparison. N test images."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError, TenfoldError
from tenfold.core.text import plural
from tenfold.data.build import BUILT_IN
from tenfold.data.labels import read_list
from tenfold.evaluate.metrics import Evaluation
from tenfold.experiments.compare.compared_run import ComparedRun as ComparedRun
from tenfold.experiments.compare.compared_run import pooled
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import source_places
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

BOOKKEEPING_KEYS = frozenset(
    f"train.{name}" for name in ("threads", "execution", "device", "log_every", "checkpoint_every")
)
"""Keys that say where and how a run is executed and recorded; runs that differ only in them have the same settings."""

_MAX_FULL_NAME = 24  # longer names lose their common prefix
_MIN_PREFIX = 6


def read_finished_runs(paths: Iterable[str | Path]) -> tuple[list[ComparedRun], list[str]]:
    """Reads the finished runs in folders; the folder of a sweep stands for all its runs, a cross-validation is one.

    Args:
        paths: run folders, and folders of `tenfold sweep` or `tenfold train --seeds`.

    Returns:
        The runs in the given order, and a sentence about each path that was left out.

    Raises:
        RunError: when a folder holds no run, a file is damaged, or there are fewer than two finished runs.
        RecipeError: when a recipe is damaged.
        StorageError: when a file cannot be read.
    """
    folders, warnings = _finished_folders(list(map(Path, paths)))
    if len(folders) < 2:
        found = f"1 finished run, {display_path(folders[0].path)}" if folders else "no finished run"
        left_out = f" ({'; '.join(warnings)})" if warnings else ""
        raise RunError(f"{found}{left_out}; a comparison needs two or more: name another run folder or a sweep")
    names = short_names([folder.path for folder in folders])
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)], warnings


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns a different name for each run; long names lose the prefix that all share.

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
        # Trials of two sweeps often have the same names.
        parents = [path.parents[1] if path.parent.name == "trials" else path.parent for path in paths]
        names = [f"{parent.name}/{name}" for parent, name in zip(parents, names, strict=True)]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    parts = [re.split(r"(?<=[-_ /])", name) for name in names]
    prefix = sum(len(same[0]) for same in takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)))
    if max(map(len, names)) <= _MAX_FULL_NAME or prefix < _MIN_PREFIX:
        return names
    return [f"…{name[prefix:]}" for name in names]


def _finished_folders(paths: Sequence[Path]) -> tuple[list[RunFolder], list[str]]:
    """Returns each finished run once, and a sentence about each path that was left out."""
    unique: dict[Path, RunFolder] = {}
    warnings = []
    for path in paths:
        folders = _run_folders(path)
        finished = [folder for folder in folders if folder.is_finished]
        if len(finished) < len(folders):
            warnings.append(_unfinished_text(path, len(folders) - len(finished), len(folders)))
        if SweepFolder.is_sweep(path) and SweepFolder.open(path).plan().get("resplit"):
            shown = display_path(path)
            warnings.append(
                f"the runs of {shown} have splits of their own, so they are compared one by one; "
                f"their mean and interval: tenfold report {shown}"
            )
        repeated = [folder for folder in finished if unique.setdefault(folder.path.resolve(), folder) is not folder]
        warnings += [f"{display_path(folder.path)} was given twice" for folder in repeated]
    return list(unique.values()), warnings


def _run_folders(path: Path) -> list[RunFolder]:
    if not SweepFolder.is_sweep(path):
        folder = RunFolder.open(path)
        # A path such as `.` has no name of its own.
        return [folder if folder.path.name not in ("", "..") else RunFolder(folder.path.resolve())]
    sweep = SweepFolder.open(path)
    if sweep.plan().get("folds"):
        return [RunFolder(path)]  # pooled: see `_read`
    return [RunFolder(sweep.run_path(trial)) for trial in sweep.trials()]


def _unfinished_text(path: Path, num_unfinished: int, count: int) -> str:
    shown = display_path(path)
    if SweepFolder.is_sweep(path) and SweepFolder(path).plan().get("folds"):
        return f"{shown} is not finished and left out; finish it: tenfold sweep --resume {shown}"
    if SweepFolder.is_sweep(path):
        return f"{num_unfinished} of the {count} trials of {shown} have no result and are left out"
    return f"{shown} is not finished and left out; finish it: tenfold train --resume {shown}"


def _read(folder: RunFolder, name: str) -> ComparedRun:
    """Reads a run, or a cross-validation as one run whose test images are those of all folds."""
    if not SweepFolder.is_sweep(folder.path):
        return _read_run(folder, name)
    sweep = SweepFolder(folder.path)
    folds = [_read_run(RunFolder(sweep.run_path(trial)), trial.name) for trial in sweep.trials()]
    low, high = map(float, folder.read_summary()["out_of_fold_interval"])
    return pooled(folds, name, folder.path, (low, high))


def _read_run(folder: RunFolder, name: str) -> ComparedRun:
    recipe, summary = load_recipe(folder.recipe), folder.read_summary()
    metrics, rows = folder.read_metrics(), folder.read_predictions()
    try:
        run = ComparedRun(
            name=name,
            path=folder.path,
            recipe=recipe,
            settings=_settings(recipe, folder, int(summary["steps"])),
            evaluation=Evaluation.from_json(summary["evaluation"]),
            dataset=str(summary["dataset"]["name"]),
            fingerprint=str(summary["dataset"]["fingerprint"]),
            grouped_by=_grouped_by(summary["dataset"].get("groups")),
            test_digest=str(summary["dataset"].get("test_digest", "")),
            val_accuracy=summary["val_accuracy"],
            parameters=int(summary["parameters"]),
            steps=int(summary["steps"]),
            training_seconds=float(summary["training_seconds"]),
            total_seconds=float(summary["total_seconds"]),
            metrics=metrics,
            # The runs of a sweep share these strings: interned, a large sweep fits into memory.
            image_names=tuple(intern(row.path) for row in rows),
            true=tuple(intern(row.true) for row in rows),
            predicted=tuple(intern(row.predicted) for row in rows),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{display_path(folder.summary)} is damaged: found {type(error).__name__} {error}, expected what training "
            "writes; restore it from a copy"
        ) from error
    _check_predictions(run, folder)
    return run


def _grouped_by(groups: Mapping[str, Any] | None) -> str:
    """Returns what the groups of a run are, and how many test images share one with train."""
    if not groups:
        return ""
    shared = groups["shared"]["test"]
    return str(groups["by"]) + (f" ({plural(shared, 'test image')} with a group in train)" if shared else "")


def _check_predictions(run: ComparedRun, folder: RunFolder) -> None:
    """Raises RunError when `predictions.csv` and `summary.json` contradict each other."""
    correct, total = int(np.count_nonzero(run.correct)), len(run.true)
    expected = run.evaluation
    if (correct, total) != (expected.correct, expected.total):
        raise RunError(
            f"{display_path(folder.predictions)} has {correct:,} of {plural(total, 'image')} correct, "
            f"expected {expected.correct:,} of {expected.total:,} as in summary.json: one of the two is damaged; "
            "restore it from a copy"
        )


def _settings(recipe: Recipe, folder: RunFolder, steps: int) -> dict[str, object]:
    """Returns the keys of a recipe that can change the result, in one form for runs of all versions.

    Image lists are named by their content, as each run has a copy, and a relative source by its absolute path. A
    minimum number of steps is 0 where the run is longer, or is measured in seconds.
    """
    settings = {key: value for key, value in _flatten(recipe.model_dump()).items() if key not in BOOKKEEPING_KEYS}
    for key in ("data.exclude", "data.relabel"):
        if settings[key]:
            settings[key] = _list_text(Path(str(settings[key])))
    settings["data.source"] = _source(recipe.data.source, folder.path)
    if steps > recipe.train.min_steps or recipe.train.duration.unit == "s":
        settings["train.min_steps"] = 0
    return settings


def _source(source: str, folder: Path) -> str:
    """Returns the absolute path of a run's data, looked for where a resumed run looks; as recorded if it is gone."""
    if source in BUILT_IN:
        return source
    return next((str(place.resolve()) for place in source_places(source, folder)), source)


def _list_text(path: Path) -> str:
    """Returns a name for the content of an image list, or its path if it cannot be read."""
    try:
        content = path.read_bytes()
        rows = read_list(path, "path")
    except (OSError, TenfoldError):
        return str(path)
    return f"{plural(len(rows), 'image')} ({hashlib.sha256(content).hexdigest()[:4]})"


def _flatten(tables: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tables.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
