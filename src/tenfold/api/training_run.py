"""Runs a recipe in its run folder: train, evaluate, report, resume."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.api.evaluate import load
from tenfold.api.followers import Followers
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset, Leak
from tenfold.deploy.predictor import Predictor
from tenfold.engine.run import run as run_recipe
from tenfold.engine.target import target_protocol, target_text
from tenfold.evaluate.metrics import Evaluation
from tenfold.inspect.drawn_splits import drawn_leaks, leak_lines
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        path: of the run folder.
        summary: content of its `summary.json`.
        evaluation: of the best model on the test split.
    """

    path: Path
    summary: dict[str, Any]
    evaluation: Evaluation

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.evaluation.sentence('test image')})"

    @property
    def accuracy(self) -> float:
        """Test accuracy, in [0, 1]."""
        return self.evaluation.accuracy

    def load(self) -> Predictor:
        """Returns the trained classifier."""
        return load(self.path)


def execute_run(
    recipe: Recipe,
    dataset: Dataset,
    folder: RunFolder,
    progress: Progress,
    *,
    model: nn.Module | None,
    checkpoint: Checkpoint | None,
    leaks: Mapping[str, Leak] | None = None,
    started: float,
    report: bool,
    followers: Followers,
) -> Run:
    """Trains and evaluates a recipe, and fills the run folder.

    Args:
        recipe: complete.
        dataset: to train and evaluate on.
        folder: of the run; locked, with `recipe.toml`.
        progress: receives messages.
        model: your own network, which replaces the recipe's.
        checkpoint: to resume from; None starts at step 0.
        leaks: near duplicates in `dataset`, see `drawn_leaks`; None looks for them.
        started: see `train`.
        report: see `train`.
        followers: the other processes that train this run.

    Raises:
        TenfoldError: see `train`.
    """
    if recipe.train.target and dataset.val is not None:
        progress.message(target_protocol(recipe, len(dataset.val)))
    leaks = drawn_leaks(dataset, progress.prepare) if leaks is None else leaks
    for line in leak_lines(dataset, leaks):
        progress.message(line)
    followers.start(recipe, dataset, folder, checkpoint, progress)
    summary = run_recipe(
        recipe,
        dataset,
        folder,
        progress,
        model=model,
        checkpoint=checkpoint,
        near_duplicates=leaks.get("test"),
        started=started,
        processes=followers.processes,
    )
    if summary["target"] is not None:
        progress.message(target_text(summary["target"], recipe.train.layers))
    if report:
        write_report(folder, dataset, model)
    return read_run(folder)


def write_report(folder: RunFolder, dataset: Dataset, model: nn.Module | None) -> None:
    """Draws the charts of a finished run and writes its page; see `plot_run` and `write_page`."""
    # matplotlib takes a third of a second to import, which a run without a report saves
    from tenfold.report.page.run_page import write_page
    from tenfold.report.plots.run_charts import plot_run

    plot_run(folder, dataset)
    write_page(folder, dataset, model=model)


def read_run(folder: RunFolder) -> Run:
    """Returns the finished run of a run folder."""
    summary = folder.read_summary()
    return Run(folder.path, summary, Evaluation.from_json(summary["evaluation"]))
