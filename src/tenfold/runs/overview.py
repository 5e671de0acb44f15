"""The results of many runs and sweeps at a glance, from their small files only."""

import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError, TenfoldError
from tenfold.recipes.load import load_recipe
from tenfold.runs.folders import is_locked, read_json_object
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.run_list import FoundFolder, newest_first
from tenfold.runs.sweep_folder import SweepFolder

State = Literal["finished", "running", "stopped", "failed", "damaged"]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A run or a sweep in a list; None for what is unknown.

    Args:
        name: of its folder.
        path: of its folder.
        kind: `run`, or `seeds`, `grid` or `search` for a sweep.
        started: when it was started, UTC, in ISO format.
        state: `damaged` if a file cannot be read.
        data: name of its dataset.
        recipe: name of its recipe.
        accuracy: on the test split, or on the validation split for a search; the mean of several seeds, the best of
            another sweep; in [0, 1].
        interval: 95 % interval of the accuracy of a run or of the mean of several seeds.
        chosen_on_test: whether the best setting of a sweep was chosen by this test accuracy, which is optimistic then.
        std: standard deviation over several seeds.
        steps: number of training steps of a run, so far.
        epochs: number of epochs of a finished run.
        trials: number of trials of a sweep.
        training_seconds: time of the training steps of a run; time of a sweep.
        error: what is damaged or went wrong.
        resume: command that continues what is not finished.
    """

    name: str
    path: Path
    kind: str
    started: str
    state: State
    data: str | None = None
    recipe: str | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    chosen_on_test: bool = False
    std: float | None = None
    steps: int | None = None
    epochs: int | None = None
    trials: int | None = None
    training_seconds: float | None = None
    error: str | None = None
    resume: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self) | {"path": str(self.path)}


def overviews(folder: Path) -> list[Overview]:
    """Returns the runs and sweeps directly in a folder, newest first.

    Raises:
        StorageError: when the folder cannot be read.
    """
    return [_overview(found) for found in newest_first(folder)]


def _overview(found: FoundFolder) -> Overview:
    common: dict[str, Any] = {"name": found.path.name, "path": found.path, "started": found.started.isoformat()}
    try:
        is_run = found.kind == "run"
        facts = _run_facts(RunFolder(found.path)) if is_run else _sweep_facts(SweepFolder(found.path))
        return Overview(**common, **facts)
    except TenfoldError as error:
        reason = str(error)
    except (OSError, *_DAMAGE) as error:
        reason = str(error) or "a file cannot be read"
    return Overview(**common, kind=found.kind, state="damaged", error=reason)


_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration)
"""What reading values raises that are not there, or not as expected."""


@contextmanager
def _values_of(file: Path) -> Iterator[None]:
    """Raises RunError with the file's name where its values are not as expected.

    Example:
        >>> with _values_of(Path("summary.json")):
        ...     {}["steps"]
        Traceback (most recent call last):
        tenfold.core.errors.RunError: summary.json is damaged: 'steps' is missing; restore it from a copy
    """
    try:
        yield
    except _DAMAGE as error:
        found = f"{error} is missing" if isinstance(error, KeyError) else "a value is not as expected"
        raise RunError(f"{display_path(file)} is damaged: {found}; restore it from a copy") from error


def _run_facts(folder: RunFolder) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": "run"}
    if not folder.recipe.is_file():
        raise RunError(f"{display_path(folder.recipe)} is missing; restore it from a copy")
    if not folder.is_finished:
        data = _source_name(folder.recipe)
        return facts | {"data": data, "recipe": _recipe_name(folder, data)} | _unfinished_run(folder)
    summary = folder.read_summary()
    with _values_of(folder.summary):
        low, high = map(float, summary["test_interval"])
        return facts | {
            "state": "finished",
            "data": str(summary["dataset"]["name"]),
            "recipe": _recipe_name(folder, str(summary["dataset"]["name"])),
            "accuracy": float(summary["test_accuracy"]),
            "interval": (low, high),
            "steps": int(summary["steps"]),
            "epochs": summary.get("epochs"),
            "training_seconds": float(summary["training_seconds"]),
        }


def _source_name(recipe: Path) -> str:
    """Returns the name of the data in a recipe, which may be one of another version."""
    with _values_of(recipe):
        return Path(tomllib.loads(recipe.read_text("utf-8"))["data"]["source"]).name


def _recipe_name(folder: RunFolder, data: str) -> str | None:
    """Returns the name of a run's recipe; older runs have it in the default name of their folder only."""
    env = folder.read_environment() if folder.env.is_file() else {}
    if env.get("recipe"):
        return str(env["recipe"])
    match = re.fullmatch(rf"{re.escape(data)}-(.+)-\d{{8}}-\d{{6}}(-\d+)?", folder.path.name)
    return match[1] if match else None


def _unfinished_run(folder: RunFolder) -> dict[str, Any]:
    """Returns the facts of a run without results."""
    names = [each.name for each in folder.checkpoints.iterdir()] if folder.checkpoints.is_dir() else []
    step = max((int(match[1]) for name in names if (match := re.match(r"step-(\d+)", name))), default=0)
    if is_locked(folder.path):
        return {"steps": step, "state": "running"}
    facts = {"steps": step, "state": "stopped", "resume": folder.resume_command()}
    diverged_at = folder.diverged_at()
    if diverged_at is None:
        return facts
    lr = load_recipe(folder.recipe).optim.lr
    reason = f"the loss was not finite at step {diverged_at:,}, at a learning rate of {lr:g}"
    return facts | {"state": "failed", "error": reason}


def _sweep_facts(folder: SweepFolder) -> dict[str, Any]:
    plan = folder.plan()
    with _values_of(folder.path / "sweep.json"):
        facts: dict[str, Any] = {
            "kind": str(plan["kind"]),
            "recipe": str(plan["recipe"]),
            "trials": int(plan["trials"]),
        }
    facts["data"] = _source_name(folder.base) if folder.base.is_file() else None
    if folder.summary.is_file():
        with _values_of(folder.summary):
            results = _sweep_results(read_json_object(folder.summary, "restore it from a copy"))
        return facts | {"state": "finished"} | results
    if is_locked(folder.path):
        return facts | {"state": "running"}
    statuses = Counter(row["status"] for row in folder.rows())
    return facts | {
        "state": "failed" if statuses["failed"] and not statuses["finished"] else "stopped",
        "error": f"{statuses['finished']:,} of {facts['trials']:,} trials finished",
        "resume": shlex.join(["tenfold", "sweep", "--resume", display_path(folder.path)]),
    }


def _sweep_results(summary: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"training_seconds": summary.get("seconds")}
    if summary["kind"] == "folds":
        low, high = map(float, summary["out_of_fold_interval"])
        return facts | {"accuracy": float(summary["out_of_fold_accuracy"]), "interval": (low, high)}
    if summary["kind"] == "seeds":
        accuracy = summary["test_accuracy"]
        return facts | {key: accuracy.get(name) for key, name in _SPREAD_KEYS.items()}
    best = next(outcome for outcome in summary["outcomes"] if outcome["settings"] == summary["best"])
    name, measured = next((key, value) for key, value in best.items() if key.endswith("accuracy"))
    chosen_by = summary.get("chosen_by", name.partition("_")[0])
    return facts | {"accuracy": float(measured["mean"]), "chosen_on_test": chosen_by == "test"}


_SPREAD_KEYS = {"accuracy": "mean", "std": "deviation", "interval": "interval"}
