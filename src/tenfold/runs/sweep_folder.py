"""The sweep folder: several runs that belong together, each an ordinary run folder.

runs/<dataset>-<recipe>-sweep-<date-time>/
  sweep.json base.toml env.json log.jsonl trials.jsonl ended.jsonl trials/<trial>/
  sweep.csv best.toml summary.json plots/ report.html study.db

What is known of a trial lies in its own run folder; `sweep.csv` only gathers it, so that nothing is lost or
counted twice, whenever the sweep is killed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import RunError
from tenfold.evaluate.intervals import wilson
from tenfold.runs.folders import check_name, claim_dated_folder, exclusive, read_json_object
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import write_csv

FORMAT_VERSION = 1
RESULTS = (
    *("test_accuracy", "test_low", "test_high", "val_accuracy", "val_low", "val_high"),
    *("parameters", "steps", "training_seconds", "total_seconds", "error"),
)
"""Columns of `sweep.csv` after those that tell which trial it was."""

Row = dict[str, Any]
"""A row of `sweep.csv`: trial, status, seed, the varied keys, then `RESULTS`; None where something is not known."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Args:
        name: of its run folder; no two trials share one.
        settings: what it changes in the base recipe, by dotted key.
        seed: of the run.
        number: its place in the sweep, from 0.
    """

    name: str
    settings: Mapping[str, Any]
    seed: int
    number: int


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk; get one from `create` or `open`.

    Args:
        path: the folder.

    Example:
        >>> sweep = SweepFolder.open(Path("runs/cifar10-wide-sweep-20260101-120000"))  # doctest: +SKIP
        >>> [row["test_accuracy"] for row in sweep.rows()]  # doctest: +SKIP
        [0.71, 0.72]
    """

    path: Path

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
        """Makes a new sweep folder with its plan in it; never takes one that exists.

        Args:
            root: where runs lie; created if missing.
            parts: of the folder's name: dataset, recipe and what the sweep does.
            plan: what `sweep.json` holds.
            base: the base recipe, as TOML.
            trials: those known from the start.
            name: the folder's whole name, in the place of `parts` and the time.

        Raises:
            RunError: when something called `name` exists, or `name` is no plain folder name.
            StorageError: when the disk refuses.
        """
        if name is not None:
            check_name(name)
        durable.make_folder(root)
        if name is None:
            sweep = cls(claim_dated_folder(root, *parts))
        elif durable.claim_folder(root / name):
            sweep = cls(root / name)
        else:
            path = shown(root / name)
            way_on = f", or go on with it: tenfold sweep --resume {path}" if cls.is_sweep(root / name) else ""
            raise RunError(f"{path} exists already, and nothing is overwritten; choose another --name{way_on}")
        durable.make_folder(sweep.trials_folder)
        durable.write_text(sweep.base, base)
        durable.write_text(sweep.path / "trials.jsonl", "".join(f"{_line(trial)}\n" for trial in trials))
        durable.write_json(sweep.plan_file, {"format_version": FORMAT_VERSION, **plan})  # last: it marks the folder
        return sweep

    @classmethod
    def open(cls, path: Path) -> "SweepFolder":
        """Opens an existing sweep.

        Raises:
            RunError: when `path` is no sweep folder.
        """
        if not cls.is_sweep(path):
            found = "no sweep folder: sweep.json is missing" if path.is_dir() else "no folder"
            raise RunError(f"{shown(path)} is {found}; expected one that `tenfold sweep` or `train --seeds` made")
        return cls(path)

    @staticmethod
    def is_sweep(path: Path) -> bool:
        """Returns whether `path` is a sweep folder."""
        return (path / "sweep.json").is_file()

    @property
    def plan_file(self) -> Path:
        """`sweep.json`: what was asked for."""
        return self.path / "sweep.json"

    @property
    def base(self) -> Path:
        """`base.toml`: the recipe that all trials share but for their settings."""
        return self.path / "base.toml"

    @property
    def trials_folder(self) -> Path:
        """`trials/`: a run folder each."""
        return self.path / "trials"

    @property
    def table(self) -> Path:
        """`sweep.csv`: one row a trial."""
        return self.path / "sweep.csv"

    @property
    def best(self) -> Path:
        """`best.toml`: the recipe of the best trial."""
        return self.path / "best.toml"

    @property
    def summary(self) -> Path:
        """`summary.json`: what the sweep came to."""
        return self.path / "summary.json"

    @property
    def plots(self) -> Path:
        """`plots/`: charts as PNG."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """`report.html`: everything on one page."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """`log.jsonl`: when trials ended; its `time_s` counts over all sessions."""
        return self.path / "log.jsonl"

    @property
    def worker_log(self) -> Path:
        """`workers.log`: what worker processes wrote on standard error."""
        return self.path / "workers.log"

    def lock(self) -> AbstractContextManager[None]:
        """Keeps other processes from working on this sweep for the time of a `with` block; see `exclusive`."""
        return exclusive(self.path)

    def plan(self) -> dict[str, Any]:
        """Returns what `sweep.json` holds.

        Raises:
            RunError: when it is damaged or of another version.
        """
        plan = read_json_object(self.plan_file, "restore it from a copy")
        if plan.get("format_version") != FORMAT_VERSION:
            raise RunError(
                f"{shown(self.plan_file)} has format version {plan.get('format_version')}, expected {FORMAT_VERSION}; "
                "use the version of tenfold that wrote it"
            )
        return plan

    def trials(self) -> list[Trial]:
        """Returns the trials known so far, in order. Raises RunError where the list is damaged."""
        return [Trial(**entry) for entry in read_log(self.path / "trials.jsonl")]

    def add(self, trial: Trial) -> None:
        """Adds a trial to the list, durably, unless it is there. Raises StorageError."""
        if trial.name not in {known.name for known in self.trials()}:
            durable.append_line(self.path / "trials.jsonl", _line(trial))

    def run_path(self, trial: Trial) -> Path:
        """Returns where the run folder of `trial` is or will be."""
        return self.trials_folder / trial.name

    def note_end(self, trial: Trial, status: str, error: str | None, **known: float | int | None) -> None:
        """Writes down that a trial ended without a result: `failed` or `pruned`. Raises StorageError."""
        entry = {"name": trial.name, "status": status, "error": error, **known}
        durable.append_line(self.path / "ended.jsonl", json.dumps(entry, ensure_ascii=True))

    def is_finished(self, trial: Trial) -> bool:
        """Returns whether a trial has its result."""
        return RunFolder(self.run_path(trial)).is_finished

    def missing(self) -> list[Trial]:
        """Returns the known trials without a result, pruned ones excepted."""
        ended = self._ended()
        return [
            trial
            for trial in self.trials()
            if not self.is_finished(trial) and ended.get(trial.name, {}).get("status") != "pruned"
        ]

    def rows(self) -> list[Row]:
        """Returns one row for each known trial, from what lies in its run folder.

        Raises:
            RunError: when a file is damaged.
        """
        ended = self._ended()
        return [self._row(trial, ended.get(trial.name)) for trial in self.trials()]

    def row(self, trial: Trial) -> Row:
        """Returns the row of one trial; see `rows`."""
        return self._row(trial, self._ended().get(trial.name))

    def write_table(self, rows: Iterable[Row]) -> None:
        """Writes `sweep.csv` anew, durably. Raises StorageError."""
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
        """Returns the last word on trials that ended without a result, by name."""
        path = self.path / "ended.jsonl"
        return {entry["name"]: entry for entry in read_log(path)} if path.exists() else {}


def _results(summary: Mapping[str, Any]) -> Row:
    kept = ("test_accuracy", "val_accuracy", "parameters", "steps", "training_seconds", "total_seconds")
    ends = dict(zip(("test_low", "test_high"), summary["test_interval"], strict=True))
    if summary["val_accuracy"] is not None:
        count = summary["dataset"]["pictures"]["val"]
        ends |= dict(zip(("val_low", "val_high"), wilson(round(summary["val_accuracy"] * count), count), strict=True))
    return {name: summary[name] for name in kept} | ends


def _line(trial: Trial) -> str:
    return json.dumps(asdict(trial), ensure_ascii=True)
