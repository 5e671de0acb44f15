"""The run folder: the contract between training and everything that comes after it.

runs/<dataset>-<recipe>-<date-time>/
  recipe.toml env.json log.jsonl metrics.csv checkpoints/ last.safetensors best.safetensors
  summary.json predictions.csv plots/ report.html
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown, translated
from tenfold.core.errors import RunError
from tenfold.core.registry import did_you_mean
from tenfold.runs import tables
from tenfold.runs.folders import check_name, claim_dated_folder, exclusive, read_json_object
from tenfold.runs.tables import Number
from tenfold.runs.tables import Prediction as Prediction


@dataclass(frozen=True)
class RunFolder:
    """A run on disk; get one from `create` or `open`.

    Args:
        path: the folder.

    Example:
        >>> run = RunFolder.open(Path("runs/shapes-quick-20250101-120000"))  # doctest: +SKIP
        >>> run.read_metrics()[-1]["train_loss"]  # doctest: +SKIP
        0.41
    """

    path: Path

    @classmethod
    def create(cls, root: Path, dataset: str, recipe: str, name: str | None = None) -> "RunFolder":
        """Makes a new run folder; never takes one that exists, also when two processes start at once.

        Args:
            root: where runs lie; created if missing.
            dataset: its name becomes the first part of the folder's.
            recipe: its name becomes the second.
            name: the folder's whole name, in the place of dataset, recipe and time.

        Raises:
            RunError: when a run called `name` exists, or `name` is no plain folder name.
            StorageError: when the disk refuses.
        """
        if name is not None:
            check_name(name)
        durable.make_folder(root)
        if name is not None:
            if not durable.claim_folder(root / name):
                path = shown(root / name)
                way_on = f", or go on with it: --resume {path}" if _is_run(root / name) else ""
                raise RunError(f"{path} exists already, and a run is never overwritten; choose another --name{way_on}")
            return cls(root / name)
        return cls(claim_dated_folder(root, dataset, recipe))

    @classmethod
    def open(cls, path: Path, *, for_resume: bool = False) -> "RunFolder":
        """Opens an existing run.

        Args:
            path: the run folder, or anything inside it, such as its `last.safetensors`.
            for_resume: whether to remove what a killed process left half-written.

        Raises:
            RunError: when there is no run, with the name that was probably meant.
            StorageError: when the disk refuses.
        """
        with translated("read", path):
            found = _run_around(path)
            if found is None:
                raise RunError(_why_no_run(path))
        run = cls(found)
        if for_resume:
            for folder in (run.path, run.checkpoints, run.plots):
                durable.remove_leftovers(folder)
        return run

    @property
    def recipe(self) -> Path:
        """`recipe.toml`: complete, and runs again as it is."""
        return self.path / "recipe.toml"

    @property
    def env(self) -> Path:
        """`env.json`: versions, hardware, code, command."""
        return self.path / "env.json"

    @property
    def log(self) -> Path:
        """`log.jsonl`: what happened, line by line."""
        return self.path / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """`metrics.csv`: one row a logging step."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/`: the last two."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """`last.safetensors`: the model at the end of training."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """`best.safetensors`: the model that was best on the validation split, where there is one."""
        return self.path / "best.safetensors"

    @property
    def summary(self) -> Path:
        """`summary.json`: the result; written last."""
        return self.path / "summary.json"

    @property
    def predictions(self) -> Path:
        """`predictions.csv`: what was predicted for each test picture."""
        return self.path / "predictions.csv"

    @property
    def plots(self) -> Path:
        """`plots/`: figures as PNG."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """`report.html`: everything on one page."""
        return self.path / "report.html"

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end: `summary.json` exists."""
        return self.summary.is_file()

    def write_environment(self, command: Sequence[str], threads: int | None = None) -> None:
        """Writes `env.json`.

        Args:
            command: the command line, word by word.
            threads: CPU threads of the run; PyTorch's own number where None.

        Raises:
            StorageError: when the disk refuses.
        """
        from tenfold.runs.environment import describe_environment

        durable.write_json(self.env, describe_environment(command, threads))

    def write_metrics(self, rows: Sequence[Mapping[str, Number]]) -> None:
        """Writes `metrics.csv` anew; see `tables.write_metrics`. Raises StorageError and ValueError."""
        tables.write_metrics(self.metrics, rows)

    def read_metrics(self) -> list[dict[str, Number]]:
        """Returns the rows of `metrics.csv`; see `tables.read_metrics`. Raises RunError."""
        return tables.read_metrics(self.metrics)

    def write_predictions(self, rows: Sequence[Prediction]) -> None:
        """Writes `predictions.csv`; see `tables.write_predictions`. Raises StorageError."""
        tables.write_predictions(self.predictions, rows)

    def read_predictions(self) -> list[Prediction]:
        """Returns the rows of `predictions.csv`. Raises RunError when it is missing or damaged."""
        return tables.read_predictions(self.predictions)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, which makes the run a finished one.

        Raises:
            StorageError: when the disk refuses.
            ValueError: when it holds NaN or infinity.
        """
        durable.write_json(self.summary, dict(summary))

    def read_summary(self) -> dict[str, Any]:
        """Returns `summary.json`.

        Raises:
            RunError: when the run is not finished, or the file is damaged.
        """
        return read_json_object(self.summary, f"finish the run with --resume {shown(self.path)}")

    def reopen(self) -> None:
        """Removes a former end's page and summary: killed before its new end, a run must not look finished.

        Raises:
            StorageError: when the disk refuses.
        """
        for file in (self.report, self.summary):
            if file.is_file():
                with translated("remove", file):
                    durable.disk.remove(file)
                    durable.disk.sync_folder(self.path)

    def read_environment(self) -> dict[str, Any]:
        """Returns `env.json`; raises RunError when it is missing or damaged."""
        return read_json_object(self.env, "restore it from a copy")

    def lock(self) -> AbstractContextManager[None]:
        """Keeps other processes from training in this run for the time of a `with` block; see `exclusive`."""
        return exclusive(self.path)


def _is_run(path: Path) -> bool:
    return (path / "recipe.toml").is_file()


def _run_around(path: Path) -> Path | None:
    """Returns the run folder that `path` is or lies in."""
    if not path.exists():
        return None
    if _is_run(path):
        return path
    inside = path.absolute()
    # The deepest file lies in checkpoints/step-…/, three levels down.
    return next((folder for folder in inside.parents[:3] if _is_run(folder)), None)


def _why_no_run(path: Path) -> str:
    if (path / "sweep.json").is_file():
        return (
            f"{shown(path)} is a sweep of several runs; name one of those in {shown(path / 'trials')}, "
            f"or go on with all: tenfold sweep --resume {shown(path)}"
        )
    if path.is_dir():
        runs = _runs_in(path)
        hint = f"; it holds runs, name one: {', '.join(runs[-3:])}" if runs else ""
        return (
            f"{shown(path)} is no run folder: recipe.toml is missing, expected a folder that `tenfold train` made{hint}"
        )
    if path.exists():
        return f"{shown(path)} does not lie in a run folder; expected a folder that `tenfold train` made"
    runs = _runs_in(path.parent)
    known = f" (runs there: {', '.join(runs[-5:])})" if runs else f"; no runs in {shown(path.parent)}"
    return f"no run {shown(path)}{did_you_mean(path.name, runs)}{known}"


def _runs_in(folder: Path) -> list[str]:
    return sorted(shown(Path(path.name)) for path in folder.iterdir() if _is_run(path)) if folder.is_dir() else []
