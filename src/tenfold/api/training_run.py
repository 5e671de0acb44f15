"""A run carried out in its folder: trained, judged, reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.api.data import dataset_of
from tenfold.api.evaluate import load
from tenfold.core import durable
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.run import run as run_recipe
from tenfold.engine.target import target_protocol, target_text
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.folders import keep_lists
from tenfold.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        path: of the run folder.
        summary: what its `summary.json` holds.
        evaluation: of the best model on the test split.
    """

    path: Path
    summary: dict[str, Any]
    evaluation: Evaluation

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were classified rightly, in [0, 1]."""
        return self.evaluation.accuracy

    def load(self) -> Predictor:
        """Returns the trained classifier."""
        return load(self.path)


def carry_out(
    recipe: Recipe,
    pictures: Dataset,
    folder: RunFolder,
    progress: Progress,
    *,
    model: nn.Module | None,
    checkpoint: Checkpoint | None,
    began: float,
    report: bool,
) -> Run:
    """Trains and judges what `recipe` says, and fills the run folder; the other arguments are those of `train`.

    Args:
        recipe: complete.
        pictures: that it was made for.
        folder: of the run, locked, with its recipe written.
        progress: is told what happens.
        model: in the place of the recipe's.
        checkpoint: to go on from, or None to begin.
        began: see `train`.
        report: whether charts are drawn and the page is written.

    Raises:
        TenfoldError: see `train`.
    """
    if recipe.train.target and pictures.val is not None:
        progress.message(target_protocol(recipe, len(pictures.val)))
    summary = run_recipe(recipe, pictures, folder, progress, model=model, checkpoint=checkpoint, began=began)
    if summary["target"] is not None:
        progress.message(target_text(summary["target"]))
    if report:
        write_report(folder, pictures, model)
    return read_run(folder)


def write_report(folder: RunFolder, pictures: Dataset, model: nn.Module | None) -> None:
    """Draws the charts of a finished run and writes its page; see `draw_run` and `write_page`."""
    from tenfold.report.page.run_page import write_page
    from tenfold.report.plots.image_grids import (
        draw_run,  # they bring matplotlib, a third of a second that a bare run may save
    )

    draw_run(folder, pictures)
    write_page(folder, pictures, model=model)


def read_run(folder: RunFolder) -> Run:
    """Returns a finished run as its folder tells it."""
    summary = folder.read_summary()
    return Run(folder.path, summary, Evaluation.from_json(summary["evaluation"]))


def resume_run(
    path: Path,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
    began: float,
    report: bool,
) -> Run:
    """Goes on with a run, from its newest sound checkpoint; the arguments are those of `train`.

    Raises:
        TenfoldError: see `train`.
    """
    folder = RunFolder.open(path, for_resume=True)
    with folder.lock():
        before = keep_lists(load_recipe(folder.recipe), folder.path)
        after = extended(before, resolve(before, overrides))
        checkpoint = newest_checkpoint(folder, progress)
        pictures = data if isinstance(data, Dataset) else dataset_of(after.data, progress)
        if folder.is_finished and checkpoint is not None and (after == before or _is_over(after, pictures, checkpoint)):
            progress.message(
                f"{folder.path} is finished already ({before.train.duration}); "
                "to go further, give its new length in all, such as --epochs 6"
            )
            if report and not folder.report.is_file():  # written last
                write_report(folder, pictures, model)
            return read_run(folder)
        make_plan(after, pictures)  # a recipe that does not fit must not take the place of the one that did
        folder.reopen()  # before the recipe changes: a longer recipe beside the old end would look finished
        if after != before:
            durable.write_text(folder.recipe, to_toml(after))
        return carry_out(
            after, pictures, folder, progress, model=model, checkpoint=checkpoint, began=began, report=report
        )


def _is_over(recipe: Recipe, pictures: Dataset, checkpoint: Checkpoint) -> bool:
    spent: float = checkpoint.state["seconds"]
    return make_plan(recipe, pictures).over(checkpoint.step, lambda: spent)


def newest_checkpoint(folder: RunFolder, progress: Progress) -> Checkpoint | None:
    """Returns the newest sound checkpoint, or None for a run that died before its first."""
    if not folder.checkpoints.is_dir() or not any(folder.checkpoints.iterdir()):
        progress.message("no checkpoint yet: the run begins anew, from the same seed")
        return None
    checkpoint = load_checkpoint(folder.checkpoints)
    for warning in checkpoint.warnings:
        progress.warn(warning)
    progress.message(f"going on from step {checkpoint.step:,}")
    return checkpoint
