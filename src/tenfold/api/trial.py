"""A trial of a sweep, in a worker process: an ordinary run that reports to the sweep."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tenfold.api.data import request_of
from tenfold.api.resume import newest_checkpoint
from tenfold.core import durable
from tenfold.core.progress import SilentProgress
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.types import Dataset, no_progress
from tenfold.engine.run import run
from tenfold.experiments.sweep.trials import PRUNED
from tenfold.inspect.drawn_splits import drawn_leaks
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.runs.run_folder import RunFolder

Report = Callable[[Mapping[str, Any]], bool]


class _PrunedError(Exception):
    """The sweep pruned this trial."""


class _TrialProgress(SilentProgress):
    """Passes the log of a run to the sweep, and ends the run if the sweep prunes it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps_per_epoch = 1

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        self._steps_per_epoch = steps_per_epoch

    def warn(self, text: str) -> None:
        self._report({"warning": text})

    def log(self, row: Mapping[str, float | int | None]) -> None:
        if self._report({**row, "ends_epoch": row["batch"] == self._steps_per_epoch}):
            raise _PrunedError


def run_trial(payload: tuple[str, Mapping[str, Any]], report: Report) -> str | None:
    """Trains a trial, or resumes one that was interrupted; its run folder holds the result.

    Args:
        payload: path of the run folder, and the complete recipe as plain tables.
        report: receives each row of the log plus `ends_epoch`; returns True to prune the trial.

    Returns:
        `PRUNED` if the trial was pruned, else None.

    Raises:
        TenfoldError: see `engine.run.run`; everything saved before stays.
    """
    path, tables = payload
    folder = RunFolder(Path(path))
    durable.make_folder(folder.path)
    progress = _TrialProgress(report)
    with folder.lock():
        recipe, checkpoint = resolve(tables), None
        if folder.recipe.is_file():  # an earlier worker was killed during this trial; the images may have moved since
            recipe = load_recipe(folder.recipe).model_copy(update={"data": recipe.data})
            checkpoint = newest_checkpoint(folder, progress)
        else:
            durable.write_text(folder.recipe, to_toml(recipe))
            folder.write_environment(["tenfold", "sweep"], recipe.train.threads or None)
        try:
            dataset = _dataset(request_of(recipe.data))
            leak = drawn_leaks(dataset, no_progress).get("test")
            run(recipe, dataset, folder, progress, checkpoint=checkpoint, near_duplicates=leak)
        except _PrunedError:
            return PRUNED
    return None


@lru_cache(maxsize=2)
def _dataset(request: DataRequest) -> Dataset:
    """Opens the dataset that the sweep has prepared, once for all trials of this worker."""
    return build_dataset(request, no_progress)
