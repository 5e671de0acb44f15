"""One trial of a sweep, in a worker process: an ordinary run that reports to the sweep."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tenfold.api.data import request_of
from tenfold.api.training_run import newest_checkpoint
from tenfold.core import durable
from tenfold.core.progress import Silent
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.types import Dataset
from tenfold.engine.run import run
from tenfold.experiments.sweep.trials import PRUNED
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.runs.run_folder import RunFolder

Report = Callable[[Mapping[str, Any]], bool]


class _GivenUpError(Exception):
    """The sweep has given this trial up."""


class _Reporting(Silent):
    """Tells the sweep what happens in a run, and ends it where the sweep has given it up."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps_per_epoch = 1

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        self._steps_per_epoch = steps_per_epoch

    def warn(self, text: str) -> None:
        self._report({"warning": text})

    def log(self, row: Mapping[str, float | int | None]) -> None:
        if self._report({**row, "ends_epoch": row["batch"] == self._steps_per_epoch}):
            raise _GivenUpError


def run_trial(payload: tuple[str, Mapping[str, Any]], report: Report) -> str | None:
    """Trains one trial, or goes on with one that was interrupted; its run folder holds the result.

    Args:
        payload: path of the run folder, and the complete recipe as plain tables.
        report: is told each row of the log, with `ends_epoch` beside its columns; returns True to give the trial up.

    Returns:
        `PRUNED` where the trial was given up, else None.

    Raises:
        TenfoldError: see `engine.run.run`; whatever was saved before stays.
    """
    path, tables = payload
    folder = RunFolder(Path(path))
    durable.make_folder(folder.path)
    progress = _Reporting(report)
    with folder.lock():
        if folder.recipe.is_file():  # a sweep or a worker was killed here before
            recipe, checkpoint = load_recipe(folder.recipe), newest_checkpoint(folder, progress)
        else:
            recipe, checkpoint = resolve(tables), None
            durable.write_text(folder.recipe, to_toml(recipe))
            folder.write_environment(["tenfold", "sweep"])
        try:
            run(recipe, _pictures(request_of(recipe.data)), folder, progress, checkpoint=checkpoint)
        except _GivenUpError:
            return PRUNED
    return None


@lru_cache(maxsize=2)
def _pictures(request: DataRequest) -> Dataset:
    """Opens what the sweep has prepared, once for all trials of this worker."""
    return build_dataset(request, lambda *_: None)
