"""The run folder: everything that training writes, and the input of all other commands.

runs/<dataset>-<recipe>-<date-time>/
  recipe.toml env.json log.jsonl metrics.csv checkpoints/ last.safetensors best.safetensors
  summary.json predictions.csv [val_predictions.csv] plots/ report.html
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import RunError
from tenfold.recipes.load import load_recipe
from tenfold.runs import tables
from tenfold.runs.folders import ResultFolder, create_folder, read_json_object
from tenfold.runs.log import read_log
from tenfold.runs.run_list import names_in, unknown_text
from tenfold.runs.tables import Number, PredictionRow

FINAL = "final"
"""Name of the run folder of the model that a cross-validation trains at the end."""

_RUNS_NAMED = 3


@dataclass(frozen=True)
class RunFolder(ResultFolder):
    """A run on disk. Use `create` or `open` to get one.

    Args:
        path: the folder.

    Example:
        >>> run = RunFolder.open(Path("runs/shapes-quick-20250101-120000"))  # doctest: +SKIP
        >>> run.read_metrics()[-1]["train_loss"]  # doctest: +SKIP
        0.41
    """

    @classmethod
    def create(cls, root: Path, dataset: str, recipe: str, name: str | None = None) -> "RunFolder":
        """Creates a new run folder. Never reuses an existing one, even if two processes start at once.

        Args:
            root: parent of the run folders; created if missing.
            dataset: dataset name, the first part of the default folder name.
            recipe: recipe name, the second part.
            name: run folder name (default: dataset-recipe-date).

        Raises:
            RunError: when `name` exists or is not a plain folder name.
            StorageError: when writing fails.
        """
        return cls(create_folder(root, dataset, recipe, name=name))

    @classmethod
    def open(cls, path: Path, *, for_resume: bool = False) -> "RunFolder":
        """Opens an existing run.

        Args:
            path: the run folder, or anything in it, such as `last.safetensors`.
            for_resume: whether to remove temporary files of a killed process.

        Raises:
            RunError: when there is no such run; the message suggests a similar name.
            StorageError: when writing fails.
        """
        with storage_errors("read", path):
            folder = _enclosing_run(path)
            if folder is None:
                raise RunError(_not_a_run(path))
        run = cls(folder)
        if for_resume:
            for temporary_parent in (run.path, run.checkpoints, run.plots):
                durable.remove_leftovers(temporary_parent)
        return run

    @property
    def recipe(self) -> Path:
        """`recipe.toml`: the complete recipe, which can be run again."""
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        """`metrics.csv`: one row per logging step."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/`: the last two checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """`last.safetensors`: the model at the end of training."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """`best.safetensors`: the model with the best validation accuracy, if there is a validation split."""
        return self.path / "best.safetensors"

    @property
    def predictions(self) -> Path:
        """`predictions.csv`: the prediction for each test image."""
        return self.path / "predictions.csv"

    @property
    def val_predictions(self) -> Path:
        """`val_predictions.csv`: the prediction for each validation image, if there is a validation split."""
        return self.path / "val_predictions.csv"

    @property
    def is_finished(self) -> bool:
        """Whether the run is complete: `summary.json` exists."""
        return self.summary.is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, sound or not."""
        return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    def diverged_at(self) -> int | None:
        """Returns the step whose loss was not finite and ended the last session, or None.

        Raises:
            RunError: when the log is damaged.
        """
        step = None
        for entry in read_log(self.log) if self.log.is_file() else ():
            if entry["event"] in ("started", "resumed"):
                step = None
            elif entry["event"] == "loss not finite":
                step = int(entry["step"])
        return step

    def resume_command(self) -> str:
        """Returns the command that continues the run, with a lower learning rate after a loss that was not finite."""
        command = ["tenfold", "train", "--resume", display_path(self.path), *self._launch_words()]
        if self.diverged_at() is not None:
            command += ["--lr", f"{load_recipe(self.recipe).optim.lower_lr:.2g}"]
        return shlex.join(command)

    def _launch_words(self) -> list[str]:
        """Returns how many processes the command of the run has started, as words of a command on one machine."""
        words: list[str] = []
        with suppress(RunError):  # a damaged description must not hide how to go on
            command = self.read_environment().get("command") or ()
            words = [part for word in map(str, command) for part in word.split("=", 1)]
        if "--nodes" in words or "--processes" not in words[:-1]:
            return []
        return ["--processes", words[words.index("--processes") + 1]]

    def way_on(self) -> str:
        """Returns what to do with an unfinished run, for messages."""
        step, command = self.diverged_at(), self.resume_command()
        if step is None:
            return f"finish the run: {command}"
        return f"its loss was not finite at step {step:,}; go on with a lower learning rate: {command}"

    def write_environment(self, command: Sequence[str], threads: int | None = None, recipe: str | None = None) -> None:
        """Writes `env.json`.

        Args:
            command: the command line, as a list of arguments.
            threads: CPU threads of the run (default: PyTorch's current number).
            recipe: name of the recipe.

        Raises:
            StorageError: when writing fails.
        """
        from tenfold.runs.environment import describe_environment

        durable.write_json(self.env, {**describe_environment(command, threads), "recipe": recipe})

    def read_environment(self) -> dict[str, Any]:
        """Returns the content of `env.json`. Raises RunError when it is missing or damaged."""
        return read_json_object(self.env, "restore it from a copy")

    def write_metrics(self, rows: Sequence[Mapping[str, Number]]) -> None:
        """Writes all of `metrics.csv`; see `tables.write_metrics`. Raises StorageError and ValueError."""
        tables.write_metrics(self.metrics, rows)

    def read_metrics(self) -> list[dict[str, Number]]:
        """Returns the rows of `metrics.csv`; see `tables.read_metrics`. Raises RunError."""
        return tables.read_metrics(self.metrics)

    def write_predictions(self, rows: Sequence[PredictionRow], split: str = "test") -> None:
        """Writes `predictions.csv`, or `val_predictions.csv`; see `tables.write_predictions`. Raises StorageError."""
        tables.write_predictions(self.predictions if split == "test" else self.val_predictions, rows)

    def read_predictions(self, split: str = "test") -> list[PredictionRow]:
        """Returns the rows of `predictions.csv`, or `val_predictions.csv`. Raises RunError if missing or damaged."""
        return tables.read_predictions(self.predictions if split == "test" else self.val_predictions)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, which marks the run as finished.

        Raises:
            StorageError: when writing fails.
            ValueError: when it contains NaN or infinity.
        """
        durable.write_json(self.summary, dict(summary))

    def read_summary(self) -> dict[str, Any]:
        """Returns the content of `summary.json`.

        Raises:
            RunError: when the run is not finished, or the file is damaged.
        """
        return read_json_object(self.summary, "restore it from a copy" if self.is_finished else self.way_on())

    def reopen(self) -> None:
        """Removes page and summary of a finished run that is trained further, so that it counts as unfinished.

        Raises:
            StorageError: when writing fails.
        """
        for file in (self.report, self.summary):
            if file.is_file():
                with storage_errors("remove", file):
                    durable.disk.remove(file)
                    durable.disk.sync_folder(self.path)


def _is_run(path: Path) -> bool:
    return (path / "recipe.toml").is_file()


def _enclosing_run(path: Path) -> Path | None:
    """Returns the run folder that `path` is, or is in; of a cross-validation, that of its final model."""
    if not path.exists():
        return None
    if _is_run(path):
        return path
    if _is_run(path / FINAL):
        return path / FINAL
    # The deepest files are in checkpoints/step-…/, three levels down.
    return next((folder for folder in path.absolute().parents[:3] if _is_run(folder)), None)


def _not_a_run(path: Path) -> str:
    """Returns the message for a path that is not in a run folder."""
    shown = display_path(path)
    if (path / "sweep.json").is_file():
        return (
            f"{shown} is a sweep of several runs; choose one of the runs in {display_path(path / 'trials')}, "
            f"or resume the sweep: tenfold sweep --resume {shown}"
        )
    if path.is_dir():
        runs = names_in(path)
        hint = f"; it contains runs, choose one: {', '.join(runs[:_RUNS_NAMED])}" if runs else ""
        return f"{shown} is not a run folder: recipe.toml is missing, expected a folder made by `tenfold train`{hint}"
    if path.exists():
        return f"{shown} is not in a run folder; expected a folder made by `tenfold train`"
    return unknown_text(path, "run")
