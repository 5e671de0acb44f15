"""The sweep folder: several related runs, each in an ordinary run folder.

runs/<dataset>-<recipe>-sweep-<date-time>/
  sweep.json base.toml env.json log.jsonl trials.jsonl ended.jsonl trials/<trial>/
  sweep.csv best.toml summary.json plots/ report.html study.db
  of a cross-validation: oof_predictions.csv final/

The results of a trial are in its own run folder; `sweep.csv` is derived from them. So a killed sweep loses nothing and
counts nothing twice.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.evaluate.intervals import wilson
from tenfold.runs.folders import ResultFolder, create_folder, read_json_object
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import FINAL, RunFolder
from tenfold.runs.run_list import unknown_text
from tenfold.runs.tables import write_csv

FORMAT_VERSION = 1
RESULTS = (
    *("test_accuracy", "test_low", "test_high", "val_accuracy", "val_low", "val_high"),
    *("train_images", "test_images", "val_images", "parameters", "steps", "training_seconds", "total_seconds"),
    *("batch_size", "near_duplicates", "test_accuracy_without", "target", "target_seconds", "error"),
)
"""Columns of `sweep.csv` with results; they follow those that identify the trial."""

Row = dict[str, Any]
"""A row of `sweep.csv`: trial, status, seed, the varied keys, then `RESULTS`; None for unknown values."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Args:
        name: unique name of its run folder.
        settings: changes to the base recipe, by dotted key.
        seed: seed of the run.
        number: index in the sweep, from 0.
    """

    name: str
    settings: Mapping[str, Any]
    seed: int
    number: int


@dataclass(frozen=True)
class SweepFolder(ResultFolder):
    """A sweep on disk. Use `create` or `open` to get one.

    Args:
        path: the folder.

    Example:
        >>> sweep = SweepFolder.open(Path("runs/cifar10-wide-sweep-20260101-120000"))  # doctest: +SKIP
        >>> [row["test_accuracy"] for row in sweep.rows()]  # doctest: +SKIP
        [0.71, 0.72]
    """

    @classmethod
    def create(
        cls,
        root: Path,
        parts: Sequence[str],
        plan: Mapping[str, Any],
        base: str,
        trials: Sequence[Trial],
        name: str | None = None,
    ) -> "SweepFolder":
        """Creates a new sweep folder and writes its plan. Never reuses an existing folder.

        Args:
            root: parent of the run folders; created if missing.
            parts: parts of the default folder name: dataset, recipe and kind of sweep.
            plan: content of `sweep.json`.
            base: the base recipe, as TOML.
            trials: the trials known at the start.
            name: folder name (default: from `parts`, date and time).

        Raises:
            RunError: when `name` exists or is not a plain folder name.
            StorageError: when writing fails.
        """
        sweep = cls(create_folder(root, *parts, name=name))
        durable.make_folder(sweep.trials_folder)
        durable.write_text(sweep.base, base)
        durable.write_text(sweep.path / "trials.jsonl", "".join(f"{_line(trial)}\n" for trial in trials))
        durable.write_json(sweep.plan_file, {"format_version": FORMAT_VERSION, **plan})  # last: marks a sweep folder
        return sweep

    @classmethod
    def open(cls, path: Path) -> "SweepFolder":
        """Opens an existing sweep.

        Raises:
            RunError: when `path` is not a sweep folder.
        """
        if not cls.is_sweep(path):
            if not path.exists():
                raise RunError(unknown_text(path, "sweep"))
            found = "a sweep folder: sweep.json is missing" if path.is_dir() else "a folder"
            raise RunError(
                f"{display_path(path)} is not {found}; expected a folder made by `tenfold sweep` or `train --seeds`"
            )
        return cls(path)

    @staticmethod
    def is_sweep(path: Path) -> bool:
        """Returns whether `path` is a sweep folder."""
        return (path / "sweep.json").is_file()

    @property
    def plan_file(self) -> Path:
        """`sweep.json`: the plan of the sweep."""
        return self.path / "sweep.json"

    @property
    def base(self) -> Path:
        """`base.toml`: the base recipe, which the settings of each trial change."""
        return self.path / "base.toml"

    @property
    def trials_folder(self) -> Path:
        """`trials/`: one run folder per trial."""
        return self.path / "trials"

    @property
    def table(self) -> Path:
        """`sweep.csv`: one row per trial."""
        return self.path / "sweep.csv"

    @property
    def best(self) -> Path:
        """`best.toml`: the recipe of the best trial."""
        return self.path / "best.toml"

    @property
    def out_of_fold(self) -> Path:
        """`oof_predictions.csv`: the prediction for each image of a cross-validation, by the fold that tested it."""
        return self.path / "oof_predictions.csv"

    @property
    def final(self) -> Path:
        """`final/`: run folder of the model that a cross-validation trains on all folds at the end."""
        return self.path / FINAL

    @property
    def worker_log(self) -> Path:
        """`workers.log`: standard error of the worker processes."""
        return self.path / "workers.log"

    def plan(self) -> dict[str, Any]:
        """Returns the content of `sweep.json`.

        Raises:
            RunError: when it is damaged or has another format version.
        """
        plan = read_json_object(self.plan_file, "restore it from a copy")
        if plan.get("format_version") != FORMAT_VERSION:
            raise RunError(
                f"{display_path(self.plan_file)} has format version {plan.get('format_version')}, "
                f"expected {FORMAT_VERSION}; use the version of tenfold that wrote it"
            )
        return plan

    def trials(self) -> list[Trial]:
        """Returns the trials known so far, in order. Raises RunError when the list is damaged."""
        return [Trial(**entry) for entry in read_log(self.path / "trials.jsonl")]

    def add(self, trial: Trial) -> None:
        """Adds a trial to the list durably, unless it is in it. Raises StorageError."""
        if trial.name not in {known.name for known in self.trials()}:
            durable.append_line(self.path / "trials.jsonl", _line(trial))

    def run_path(self, trial: Trial) -> Path:
        """Returns the path of the run folder of `trial`, which may not exist yet."""
        return self.trials_folder / trial.name

    def record_end(self, trial: Trial, status: str, error: str | None, **results: float | int | None) -> None:
        """Records that a trial ended without a result: `failed` or `pruned`. Raises StorageError."""
        entry = {"name": trial.name, "status": status, "error": error, **results}
        durable.append_line(self.path / "ended.jsonl", json.dumps(entry, ensure_ascii=True))

    def is_finished(self, trial: Trial) -> bool:
        """Returns whether a trial has a result."""
        return RunFolder(self.run_path(trial)).is_finished

    def unfinished_trials(self) -> list[Trial]:
        """Returns the known trials that have no result and were not pruned."""
        ended = self._ended()
        return [
            trial
            for trial in self.trials()
            if not self.is_finished(trial) and ended.get(trial.name, {}).get("status") != "pruned"
        ]

    def rows(self) -> list[Row]:
        """Returns one row per known trial, from its run folder.

        Raises:
            RunError: when a file is damaged.
        """
        ended = self._ended()
        return [self._row(trial, ended.get(trial.name)) for trial in self.trials()]

    def row(self, trial: Trial) -> Row:
        """Returns the row of one trial; see `rows`."""
        return self._row(trial, self._ended().get(trial.name))

    def write_table(self, rows: Iterable[Row]) -> None:
        """Writes all of `sweep.csv` durably. Raises StorageError."""
        rows = list(rows)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        results = [name for name in columns if name in RESULTS]
        columns = [name for name in columns if name not in RESULTS] + results
        write_csv(self.table, [columns, *([row.get(name) for name in columns] for row in rows)])

    def _row(self, trial: Trial, ended: Mapping[str, Any] | None) -> Row:
        row: Row = {"trial": trial.name, "status": "waiting", "seed": trial.seed, **trial.settings}
        row |= dict.fromkeys(RESULTS)
        run = RunFolder(self.run_path(trial))
        if run.is_finished:
            return row | {"status": "finished"} | _results(run.read_summary())
        return row | {name: value for name, value in (ended or {}).items() if name != "name"}

    def _ended(self) -> dict[str, dict[str, Any]]:
        """Returns the last record of each trial that ended without a result, by name."""
        path = self.path / "ended.jsonl"
        return {entry["name"]: entry for entry in read_log(path)} if path.exists() else {}


def _results(summary: Mapping[str, Any]) -> Row:
    copied = ("test_accuracy", "val_accuracy", "parameters", "steps", "training_seconds", "total_seconds")
    bounds = dict(zip(("test_low", "test_high"), summary["test_interval"], strict=True))
    images = summary.get("dataset", {}).get("pictures", {})
    if summary["val_accuracy"] is not None:
        count = images["val"]
        bounds |= dict(zip(("val_low", "val_high"), wilson(round(summary["val_accuracy"] * count), count), strict=True))
    counts = {f"{split}_images": images.get(split) for split in ("train", "test", "val")}
    results = {name: summary[name] for name in copied} | {"batch_size": summary.get("batch_size")} | bounds | counts
    return results | _without_duplicates(summary.get("near_duplicates")) | _target(summary.get("target"))


def _without_duplicates(found: Mapping[str, Any] | None) -> Row:
    """Returns how many test images have a near duplicate in train, and the accuracy on the others, None without any."""
    if found is None:
        return {}
    return {"near_duplicates": found["pictures"] - found["left"], "test_accuracy_without": found["test_accuracy"]}


def _target(target: Mapping[str, Any] | None) -> Row:
    """Returns the target accuracy and the time to it, which is None where it was not reached."""
    if target is None:
        return {}
    return {"target": target["accuracy"], "target_seconds": target["run_seconds"]}


def _line(trial: Trial) -> str:
    return json.dumps(asdict(trial), ensure_ascii=True)
