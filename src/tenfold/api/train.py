"""From a recipe and pictures to a finished run."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from torch import nn

from tenfold.api.budget import refuse_beside_budget, within_budget
from tenfold.api.data import request_of
from tenfold.api.training_run import Run, carry_out, resume_run
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset
from tenfold.engine import preflight
from tenfold.engine.plan import make_plan
from tenfold.engine.target import settings_for_target
from tenfold.inspect.balance import first_glance
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import keep_lists
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


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
        report: whether charts are drawn and `report.html` is written at the end; seconds that a short run may save.
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
        return resume_run(Path(resume), data, model, overrides, progress, began, report)
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
            chosen,
            pictures,
            budget,
            began=began + preparing,
            chosen=given,
            runs=Path(runs),
            report=report,
            progress=progress,
        )
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    folder = RunFolder.create(Path(runs), pictures.name, recipe_name, name)
    with folder.lock():
        chosen = keep_lists(chosen, folder.path)
        durable.write_text(folder.recipe, to_toml(chosen))
        folder.write_environment(command)
        if plan is not None:
            Log(folder.log).write("planned", plan=asdict(plan))
        run = carry_out(chosen, pictures, folder, progress, model=model, checkpoint=None, began=began, report=report)
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


def tell(pictures: Dataset, progress: Progress) -> None:
    """Says what the pictures are, and what had to be left out of them."""
    counts = " · ".join(f"{len(split):,} {name}" for name, split in pictures.splits().items())
    size = "×".join(map(str, pictures.image_size))
    progress.message(f"data: {pictures.name}, {len(pictures.classes)} classes, {counts}, {size}")
    for note in (*pictures.notes, *first_glance(pictures)):
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
