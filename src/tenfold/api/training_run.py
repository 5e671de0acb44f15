"""Runs a recipe in its run folder: train, evaluate, report, resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.api.data import DataSource, dataset_of, in_memory
from tenfold.api.evaluate import load
from tenfold.core import durable
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.run import run as run_recipe
from tenfold.engine.target import target_protocol, target_text
from tenfold.evaluate.metrics import Evaluation
from tenfold.inspect.drawn_splits import drawn_leaks, leak_lines
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.folders import copy_image_lists
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
    started: float,
    report: bool,
) -> Run:
    """Trains and evaluates a recipe, and fills the run folder.

    Args:
        recipe: complete.
        dataset: to train and evaluate on.
        folder: of the run; locked, with `recipe.toml`.
        progress: receives messages.
        model: your own network, which replaces the recipe's.
        checkpoint: to resume from; None starts at step 0.
        started: see `train`.
        report: see `train`.

    Raises:
        TenfoldError: see `train`.
    """
    if recipe.train.target and dataset.val is not None:
        progress.message(target_protocol(recipe, len(dataset.val)))
    leaks = drawn_leaks(dataset, progress.prepare)
    for line in leak_lines(dataset, leaks):
        progress.message(line)
    summary = run_recipe(
        recipe,
        dataset,
        folder,
        progress,
        model=model,
        checkpoint=checkpoint,
        near_duplicates=leaks.get("test"),
        started=started,
    )
    if summary["target"] is not None:
        progress.message(target_text(summary["target"]))
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


def resume_run(
    path: Path,
    data: DataSource | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
    started: float,
    report: bool,
) -> Run:
    """Resumes a run from its newest sound checkpoint; the arguments are those of `train`.

    Raises:
        TenfoldError: see `train`.
    """
    folder = RunFolder.open(path, for_resume=True)
    with folder.lock():
        before = copy_image_lists(load_recipe(folder.recipe), folder.path)
        after = extended(before, resolve(before, overrides))
        checkpoint = newest_checkpoint(folder, progress)
        dataset = in_memory(data, after.data) or dataset_of(after.data, progress)
        if folder.is_finished and checkpoint is not None and (after == before or _is_over(after, dataset, checkpoint)):
            progress.message(
                f"{folder.path} is already finished ({before.train.duration}); "
                "to extend it, give its new total length, such as --epochs 6"
            )
            if report and not folder.report.is_file():  # the last file of a run
                write_report(folder, dataset, model)
            return read_run(folder)
        make_plan(after, dataset)  # a recipe that does not fit the data must not replace the one that did
        folder.reopen()  # before the recipe changes: a longer recipe beside the old results would look finished
        if after != before:
            durable.write_text(folder.recipe, to_toml(after))
        return execute_run(
            after, dataset, folder, progress, model=model, checkpoint=checkpoint, started=started, report=report
        )


def _is_over(recipe: Recipe, dataset: Dataset, checkpoint: Checkpoint) -> bool:
    seconds: float = checkpoint.state["seconds"]
    return make_plan(recipe, dataset).is_over(checkpoint.step, lambda: seconds)


def newest_checkpoint(folder: RunFolder, progress: Progress) -> Checkpoint | None:
    """Returns the newest sound checkpoint, or None for a run that died before its first."""
    if not folder.checkpoints.is_dir() or not any(folder.checkpoints.iterdir()):
        progress.message("there is no checkpoint yet: training restarts from step 0 with the same seed")
        return None
    checkpoint = load_checkpoint(folder.checkpoints)
    for warning in checkpoint.warnings:
        progress.warn(warning)
    progress.message(f"resuming from step {checkpoint.step:,}")
    return checkpoint
