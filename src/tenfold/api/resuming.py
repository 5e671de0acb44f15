"""Going on with a run that was interrupted, or that is to go further."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from tenfold.api.pictures import dataset_of
from tenfold.api.running import Run, carry_out, read_run, write_report
from tenfold.core import durable
from tenfold.data.types import Dataset
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.progress import Progress
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.folder import RunFolder
from tenfold.runs.lists import keep_lists


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
