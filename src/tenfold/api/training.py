"""From a recipe and pictures to a finished run."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import nn

from tenfold.api.budget import refuse_beside_budget, within_budget
from tenfold.api.pictures import dataset_of, request_of
from tenfold.api.using import load
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import UsageError
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.plan import extended, make_plan
from tenfold.engine.progress import Progress, Silent
from tenfold.engine.run import run as run_recipe
from tenfold.engine.target import settings_for_target, target_protocol, target_text
from tenfold.evaluate.metrics import Evaluation
from tenfold.experiments import preflight
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.folder import RunFolder
from tenfold.runs.log import Log


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
    budget: str | None = None,
    report: bool = True,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    began: float | None = None,
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
        budget: `"60s"` or `"2 min"` for everything up to the finished run folder, the first preparing of pictures
            excepted: network and length are then planned to make the best of it.
        report: whether charts are drawn at the end; a second or so that a short run may save.
        progress: is told what happens; silent by default.
        command: for the record.
        began: reading of `time.perf_counter` from which the budget, the time to a target and `total_seconds` count;
            this call's by default.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.

    Example:
        >>> run = tenfold.train("quick", data="shapes", overrides=["train.seed=1"])  # doctest: +SKIP
        >>> run.accuracy, run.evaluation.interval  # doctest: +SKIP
        (0.97, (0.964, 0.975))
    """
    began = perf_counter() if began is None else began
    progress = progress or Silent()
    given = _keys(overrides)
    if budget is not None:
        _refuse_beside_budget(resume, model, given)
    if resume is not None:
        return _resume(Path(resume), data, model, overrides, progress, began, report)
    chosen = _chosen(recipe, overrides, progress)
    if isinstance(data, str | Path):
        chosen = resolve(chosen, {"data.source": str(data)})
    choose_device(chosen.train.device)  # a missing one is found before any work is done
    pictures, preparing = (data, 0.0) if isinstance(data, Dataset) else _opened(chosen, progress)
    tell(pictures, progress)
    chosen, plan = settled(chosen, pictures), None
    make_plan(chosen, pictures)  # a recipe that does not fit its data must not leave a run folder behind
    if model is None:
        preflight.check_network(chosen, pictures)
    if budget is not None:
        chosen, plan = within_budget(
            chosen, pictures, budget, began=began + preparing, chosen=given, runs=Path(runs), progress=progress
        )
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    folder = RunFolder.create(Path(runs), pictures.name, recipe_name, name)
    with folder.lock():
        durable.write_text(folder.recipe, to_toml(chosen))
        folder.write_environment(command)
        if plan is not None:
            Log(folder.log).write("planned", plan=asdict(plan))
        run = _finish(chosen, pictures, folder, progress, model, None, began, report)
    if plan is not None:
        spent = perf_counter() - began - preparing
        apart = f", {preparing:.1f} s for preparing the pictures apart" if preparing else ""
        progress.message(f"budget: {spent:.1f} of {plan.budget:g} s spent{apart}")
    return run


def _refuse_beside_budget(resume: object, model: object, given: Collection[str]) -> None:
    """Raises UsageError where a budget makes no sense."""
    if resume is not None:
        raise UsageError("--budget plans a whole run, and cannot plan the rest of one; resume without it")
    if model is not None:
        raise UsageError(
            "a budget plans networks that it may build and time; for one of your own, give train.duration in seconds"
        )
    refuse_beside_budget(given)


def _keys(overrides: Sequence[str]) -> frozenset[str]:
    """Returns the dotted keys of `section.key=value` lines."""
    return frozenset(line.partition("=")[0].strip() for line in overrides)


def _chosen(recipe: str | Path | Recipe, overrides: Sequence[str], progress: Progress) -> Recipe:
    """Returns the recipe with overrides, and with what its target needs; says what that is."""
    if isinstance(recipe, Recipe):  # what nobody set is to be told from what somebody did
        chosen = resolve(recipe.model_dump(exclude_unset=True), overrides)
    else:
        chosen = load_recipe(recipe, overrides)
    chose_when = "evaluate_every" in chosen.train.model_fields_set
    settings = settings_for_target(chosen, chose_when=chose_when)
    if settings:
        listed = ", ".join(f"{key} = {value}" for key, value in settings.items())
        progress.message(f"target: {listed}, as nothing else was said")
    return resolve(chosen, settings)


def _opened(recipe: Recipe, progress: Progress) -> tuple[Dataset, float]:
    """Returns a recipe's pictures, and the seconds that preparing them took: 0 where that was done before."""
    told = False

    def note(description: str, done: int, total: int) -> None:
        nonlocal told
        told = True
        progress.prepare(description, done, total)

    began = perf_counter()
    pictures = build_dataset(request_of(recipe.data), note)
    return pictures, perf_counter() - began if told else 0.0


def _resume(
    path: Path,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
    began: float,
    report: bool,
) -> Run:
    """Goes on with a run, from its newest sound checkpoint."""
    folder = RunFolder.open(path, for_resume=True)
    with folder.lock():
        return _go_on(folder, data, model, overrides, progress, began, report)


def _go_on(
    folder: RunFolder,
    data: str | Path | Dataset | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
    began: float,
    report: bool,
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
        if report and not (folder.plots / "predictions.png").is_file():  # the last to be drawn
            _draw(folder, pictures)
        return _read_run(folder)
    make_plan(after, pictures)  # a recipe that does not fit must not take the place of the one that did
    folder.reopen()  # before the recipe changes: a longer recipe beside the old end would look finished
    if after != before:
        durable.write_text(folder.recipe, to_toml(after))
    return _finish(after, pictures, folder, progress, model, checkpoint, began, report)


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
    began: float,
    report: bool,
) -> Run:
    if recipe.train.target and pictures.val is not None:
        progress.message(target_protocol(recipe, len(pictures.val)))
    summary = run_recipe(recipe, pictures, folder, progress, model=model, checkpoint=checkpoint, began=began)
    if summary["target"] is not None:
        progress.message(target_text(summary["target"]))
    if report:
        _draw(folder, pictures)
    return _read_run(folder)


def _draw(folder: RunFolder, pictures: Dataset) -> None:
    from tenfold.report.draw import draw_run  # it brings matplotlib, a third of a second that a bare run may save

    draw_run(folder, pictures)


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
