"""From a recipe and pictures to a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tenfold.api.pictures import dataset_of
from tenfold.api.using import load
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.progress import Progress, Silent
from tenfold.engine.run import run as run_recipe
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.report.draw import draw_run
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
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


def train(
    recipe: str | Path | Recipe = "quick",
    *,
    data: str | Path | Dataset | None = None,
    model: nn.Module | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Run:
    """Trains a classifier, judges it once on the test pictures and writes a run folder.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`.
        data: what `--data` takes, or a `Dataset`; the recipe's own by default.
        model: a network of your own in the place of the recipe's: float [B, 3, H, W] → logits [B, classes].
        overrides: `"section.key=value"` each.
        name: of the run folder; made of data, recipe, date and time by default.
        runs: folder in which run folders lie.
        resume: a run folder to go on with; then only overrides of `[train]` are taken.
        progress: is told what happens; silent by default.
        command: for the record.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.

    Example:
        >>> run = tenfold.train("quick", data="shapes", overrides=["train.seed=1"])  # doctest: +SKIP
        >>> run.accuracy, run.evaluation.interval  # doctest: +SKIP
        (0.97, (0.964, 0.975))
    """
    progress = progress or Silent()
    if resume is not None:
        return _resume(Path(resume), data, model, overrides, progress)
    chosen = resolve(recipe, overrides) if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    if isinstance(data, str | Path):
        chosen = resolve(chosen, {"data.source": str(data)})
    choose_device(chosen.train.device)  # a missing one is found before any work is done
    pictures = data if isinstance(data, Dataset) else dataset_of(chosen.data, progress)
    tell(pictures, progress)
    chosen = settled(chosen, pictures)
    make_plan(chosen, pictures)  # a recipe that does not fit its data must not leave a run folder behind
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    folder = RunFolder.create(Path(runs), pictures.name, recipe_name, name)
    with folder.lock():
        durable.write_text(folder.recipe, to_toml(chosen))
        folder.write_environment(command)
        return _finish(chosen, pictures, folder, progress, model, None)


def _resume(
    path: Path,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
) -> Run:
    """Goes on with a run, from its newest sound checkpoint."""
    folder = RunFolder.open(path, for_resume=True)
    with folder.lock():
        return _go_on(folder, data, model, overrides, progress)


def _go_on(
    folder: RunFolder,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
) -> Run:
    before = load_recipe(folder.recipe)
    after = extended(before, resolve(before, overrides))
    checkpoint = newest_checkpoint(folder, progress)
    pictures = data if isinstance(data, Dataset) else dataset_of(after.data, progress)
    if folder.is_finished and checkpoint is not None and (after == before or _is_over(after, pictures, checkpoint)):
        progress.message(
            f"{folder.path} is finished already ({before.train.duration}); "
            "to go further, give its new length in all, such as --epochs 6"
        )
        if not (folder.plots / "predictions.png").is_file():  # the last to be drawn
            draw_run(folder, pictures)
        return _read_run(folder)
    folder.reopen()  # before the recipe changes: a longer recipe beside the old end would look finished
    if after != before:
        durable.write_text(folder.recipe, to_toml(after))
    return _finish(after, pictures, folder, progress, model, checkpoint)


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


def _finish(
    recipe: Recipe,
    pictures: Dataset,
    folder: RunFolder,
    progress: Progress,
    model: nn.Module | None,
    checkpoint: Checkpoint | None,
) -> Run:
    run_recipe(recipe, pictures, folder, progress, model=model, checkpoint=checkpoint)
    draw_run(folder, pictures)
    return _read_run(folder)


def _read_run(folder: RunFolder) -> Run:
    summary = folder.read_summary()
    return Run(folder.path, summary, Evaluation.from_json(summary["evaluation"]))


def tell(pictures: Dataset, progress: Progress) -> None:
    """Says what the pictures are, and what had to be left out of them."""
    counts = " · ".join(f"{len(split):,} {name}" for name, split in pictures.splits().items())
    size = "×".join(map(str, pictures.image_size))
    progress.message(f"data: {pictures.name}, {len(pictures.classes)} classes, {counts}, {size}")
    for note in pictures.notes:
        progress.message(note)
    if pictures.skipped:
        first = pictures.skipped[0]
        progress.warn(
            f"{len(pictures.skipped)} file{'s' * (len(pictures.skipped) > 1)} left out, "
            f"the first: {first.path} ({first.reason})"
        )


def settled(recipe: Recipe, pictures: Dataset) -> Recipe:
    """Returns the recipe with the source and size that were really used, so that it runs again as it is."""
    source = pictures.name if recipe.data.source == "auto" else recipe.data.source
    return resolve(recipe, {"data.source": source, "data.image_size": list(pictures.image_size)})
