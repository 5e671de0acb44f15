"""The results of many runs and sweeps at a glance, from their small files only."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tenfold.core.disk import display_path
from tenfold.runs.folders import is_locked
from tenfold.runs.run_list import FoundFolder, newest_first

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
    read = _run_facts if found.kind == "run" else _sweep_facts
    try:
        return Overview(**common, **read(found.path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        return Overview(**common, kind=found.kind, state="damaged", error=reason)


def _run_facts(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": "run"}
    if not (path / "summary.json").is_file():
        recipe = tomllib.loads((path / "recipe.toml").read_text("utf-8"))
        facts["data"] = Path(recipe["data"]["source"]).name
        facts["recipe"] = _recipe_name(path, facts["data"])
        return facts | _unfinished_run(path, float(recipe["optim"]["lr"]))
    summary = _read(path / "summary.json")
    low, high = map(float, summary["test_interval"])
    return facts | {
        "state": "finished",
        "data": str(summary["dataset"]["name"]),
        "recipe": _recipe_name(path, str(summary["dataset"]["name"])),
        "accuracy": float(summary["test_accuracy"]),
        "interval": (low, high),
        "steps": int(summary["steps"]),
        "epochs": summary.get("epochs"),
        "training_seconds": float(summary["training_seconds"]),
    }


def _recipe_name(path: Path, data: str) -> str | None:
    """Returns the name of a run's recipe; older runs have it in the default name of their folder only."""
    env = _read(path / "env.json") if (path / "env.json").is_file() else {}
    if env.get("recipe"):
        return str(env["recipe"])
    match = re.fullmatch(rf"{re.escape(data)}-(.+)-\d{{8}}-\d{{6}}(-\d+)?", path.name)
    return match[1] if match else None


def _unfinished_run(path: Path, lr: float) -> dict[str, Any]:
    """Returns the facts of a run without results, which was trained at the learning rate `lr`."""
    checkpoints = path / "checkpoints"
    names = [each.name for each in checkpoints.iterdir()] if checkpoints.is_dir() else []
    step = max((int(match[1]) for name in names if (match := re.match(r"step-(\d+)", name))), default=0)
    log = path / "log.jsonl"
    lines = log.read_bytes().splitlines() if log.is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    facts = {"steps": step, "resume": f"tenfold train --resume {display_path(path)}"}
    if is_locked(path):
        return {"steps": step, "state": "running"}
    if last.get("event") == "loss not finite":
        reason = f"the loss was not finite at step {last['step']:,}, at a learning rate of {lr:g}"
        return facts | {"state": "failed", "error": reason, "resume": f"{facts['resume']} --lr LOWER"}
    return facts | {"state": "stopped"}


def _sweep_facts(path: Path) -> dict[str, Any]:
    plan = _read(path / "sweep.json")
    base = tomllib.loads((path / "base.toml").read_text("utf-8")) if (path / "base.toml").is_file() else {}
    facts = {
        "kind": str(plan["kind"]),
        "recipe": str(plan["recipe"]),
        "data": Path(base.get("data", {}).get("source", "")).name or None,
        "trials": int(plan["trials"]),
    }
    if (path / "summary.json").is_file():
        return facts | {"state": "finished"} | _sweep_results(_read(path / "summary.json"))
    if is_locked(path):
        return facts | {"state": "running"}
    done = sum((trial / "summary.json").is_file() for trial in (path / "trials").iterdir())
    failed = len((path / "ended.jsonl").read_bytes().splitlines()) if (path / "ended.jsonl").is_file() else 0
    return facts | {
        "state": "failed" if failed and not done else "stopped",
        "error": f"{done:,} of {facts['trials']:,} trials finished",
        "resume": f"tenfold sweep --resume {display_path(path)}",
    }


def _sweep_results(summary: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"training_seconds": summary.get("seconds")}
    if summary["kind"] == "seeds":
        accuracy = summary["test_accuracy"]
        return facts | {key: accuracy.get(name) for key, name in _SPREAD_KEYS.items()}
    best = next(outcome for outcome in summary["outcomes"] if outcome["settings"] == summary["best"])
    measured = next(value for key, value in best.items() if key != "settings" and key.endswith("accuracy"))
    return facts | {"accuracy": float(measured["mean"])}


_SPREAD_KEYS = {"accuracy": "mean", "std": "deviation", "interval": "interval"}


def _read(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_bytes())
    return value
