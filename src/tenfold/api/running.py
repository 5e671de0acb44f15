"""A run carried out in its folder: trained, judged, reported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.api.using import load
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.progress import Progress
from tenfold.engine.run import run as run_recipe
from tenfold.engine.target import target_protocol, target_text
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.folder import RunFolder


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
    from tenfold.report.draw import draw_run  # they bring matplotlib, a third of a second that a bare run may save
    from tenfold.report.page.page import write_page

    draw_run(folder, pictures)
    write_page(folder, pictures, model=model)


def read_run(folder: RunFolder) -> Run:
    """Returns a finished run as its folder tells it."""
    summary = folder.read_summary()
    return Run(folder.path, summary, Evaluation.from_json(summary["evaluation"]))
