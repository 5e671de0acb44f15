"""Trains a recipe on a dataset."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from torch import nn

from tenfold.api.budget import refuse_beside_budget, within_budget
from tenfold.api.data import DataSource, in_memory, request_of
from tenfold.api.training_run import Run, execute_run, resume_run
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.text import plural
from tenfold.data.build import build_dataset
from tenfold.data.types import Dataset
from tenfold.engine import preflight
from tenfold.engine.plan import make_plan
from tenfold.engine.target import settings_for_target
from tenfold.inspect.balance import label_warnings
from tenfold.inspect.drawn_splits import drawn_leaks
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import copy_image_lists
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


def train(
    recipe: str | Path | Recipe = "quick",
    *,
    data: DataSource | None = None,
    model: nn.Module | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
    budget: str | None = None,
    report: bool = True,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    started: float | None = None,
) -> Run:
    """Trains a classifier, evaluates it once on the test split and writes a run folder.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`.
        data: a dataset's name or path, as for `--data`, a `Dataset`, or images and labels in memory, see
            `DataSource`; the recipe's by default.
        model: your own network, which replaces the recipe's: float [B, 3, H, W] → logits [B, C].
        overrides: `"section.key=value"` each.
        name: run folder name; dataset, recipe, date and time by default.
        runs: folder for run folders.
        resume: a run folder to resume; only overrides of `[train]` are allowed then.
        budget: `"60s"` or `"2 min"`: time for the whole run, without preparing images for the first time. Network
            and length are chosen to fit it.
        report: whether to draw charts and write `report.html` at the end, which takes seconds.
        progress: receives messages; silent by default.
        command: command line, for `env.json`.
        started: `time.perf_counter()` at the start of the command; the budget, the time to a target and
            `total_seconds` count from it. This call's start by default.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.

    Example:
        >>> run = tenfold.train("quick", data="shapes", overrides=["train.seed=1"])  # doctest: +SKIP
        >>> run.accuracy, run.evaluation.interval  # doctest: +SKIP
        (0.97, (0.964, 0.975))
    """
    started = perf_counter() if started is None else started
    progress = progress or SilentProgress()
    user_keys = frozenset(line.partition("=")[0].strip() for line in overrides)
    if budget is not None:
        _refuse_beside_budget(resume, model, user_keys)
    if resume is not None:
        return resume_run(Path(resume), data, model, overrides, progress, started, report)
    chosen, _ = recipe_with_target(recipe, overrides, progress)
    given = in_memory(data, chosen.data)
    if data is not None and not isinstance(data, Dataset):
        chosen = resolve(chosen, {"data.source": str(data) if given is None else given.name})
    choose_device(chosen.train.device)  # reports a missing device before any work is done
    dataset, preparing = _timed_dataset(chosen, progress) if given is None else (given, 0.0)
    report_dataset(dataset, progress)
    chosen, plan = with_actual_data(chosen, dataset), None
    make_plan(chosen, dataset)  # a recipe that does not fit its data must not leave a run folder
    if model is None:
        preflight.check_network(chosen, dataset)
    if budget is not None:
        chosen, plan = within_budget(
            chosen,
            dataset,
            budget,
            started=started + preparing,
            user_keys=user_keys,
            runs=Path(runs),
            report=report,
            progress=progress,
        )
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    folder = RunFolder.create(Path(runs), dataset.name, recipe_name, name)
    with folder.lock():
        chosen = copy_image_lists(chosen, folder.path)
        durable.write_text(folder.recipe, to_toml(chosen))
        folder.write_environment(command)
        if plan is not None:
            Log(folder.log).write("planned", plan=asdict(plan))
        run = execute_run(
            chosen, dataset, folder, progress, model=model, checkpoint=None, started=started, report=report
        )
    if plan is not None:
        spent = perf_counter() - started - preparing
        extra = f", plus {preparing:.1f} s to prepare the images" if preparing else ""
        progress.message(f"budget: {spent:.1f} of {plan.budget:g} s spent{extra}")
    return run


def _refuse_beside_budget(resume: object, model: object, user_keys: Collection[str]) -> None:
    """Raises UsageError if a budget cannot be planned."""
    if resume is not None:
        raise UsageError("--budget plans a whole run and cannot plan the rest of one; resume without it")
    if model is not None:
        raise UsageError("a budget plans the recipe's networks; for your own network, set train.duration in seconds")
    refuse_beside_budget(user_keys)


def recipe_with_target(
    recipe: str | Path | Recipe, overrides: Sequence[str], progress: Progress
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with overrides and what its target needs, and both as `section.key=value` lines.

    What a target needs is reported.
    """
    if isinstance(recipe, Recipe):  # keeps apart what was set and what is a default
        chosen = resolve(recipe.model_dump(exclude_unset=True), overrides)
    else:
        chosen = load_recipe(recipe, overrides)
    evaluate_every_set = "evaluate_every" in chosen.train.model_fields_set
    settings = settings_for_target(chosen, evaluate_every_set=evaluate_every_set)
    if settings:
        listed = ", ".join(f"{key} = {value}" for key, value in settings.items())
        progress.message(f"target: {listed} (defaults)")
    return resolve(chosen, settings), [*overrides, *(f"{key}={value}" for key, value in settings.items())]


def _timed_dataset(recipe: Recipe, progress: Progress) -> tuple[Dataset, float]:
    """Returns a recipe's dataset, and the seconds that preparing it took: 0 if it was prepared before.

    Preparing includes the search for near duplicates, whose result is remembered.
    """
    prepared_now = False

    def note(description: str, done: int, total: int) -> None:
        nonlocal prepared_now
        prepared_now = True
        progress.prepare(description, done, total)

    began = perf_counter()
    dataset = build_dataset(request_of(recipe.data), note)
    drawn_leaks(dataset, note)
    return dataset, perf_counter() - began if prepared_now else 0.0


def report_dataset(dataset: Dataset, progress: Progress) -> None:
    """Reports name and size of a dataset, its notes, and the files that were left out."""
    counts = " · ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    size = "×".join(map(str, dataset.image_size))
    progress.message(f"data: {dataset.name}, {len(dataset.classes)} classes, {counts}, {size}")
    for note in (*dataset.notes, *label_warnings(dataset)):
        progress.message(note)
    if dataset.skipped:
        first = dataset.skipped[0]
        progress.warn(f"{plural(len(dataset.skipped), 'file')} left out, the first: {first.path} ({first.reason})")


def with_actual_data(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Returns the recipe with the source and image size that `auto` became, so that it repeats the run."""
    source = dataset.name if recipe.data.source == "auto" else recipe.data.source
    return resolve(recipe, {"data.source": source, "data.image_size": list(dataset.image_size)})
