"""Trains a recipe on a dataset."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, TypedDict, Unpack, overload

from torch import nn

from tenfold.api.auto_recipe import chosen_recipe
from tenfold.api.budget import within_budget
from tenfold.api.data import DataSource
from tenfold.api.folds import cross_validate
from tenfold.api.follower import follow, settings_text
from tenfold.api.followers import Followers
from tenfold.api.prepare import OnlyPreparation, Task, check_early, prepared_task, recipe_with_target
from tenfold.api.resume import resume_run
from tenfold.api.runs import RunSource, path_of
from tenfold.api.sweep import sweep
from tenfold.api.sweep_results import Sweep
from tenfold.api.train_checks import check_folds, check_seeds, refuse_in_several, refuse_to_plan
from tenfold.api.training_run import Run, execute_run
from tenfold.api.weights import starting_from
from tenfold.core import durable
from tenfold.core.devices import meeting_device
from tenfold.core.errors import TenfoldError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.world import count_training, current_world
from tenfold.engine.distributed import joined
from tenfold.recipes.auto import AUTO, LARGE, TUNED
from tenfold.recipes.keywords import keyword_lines
from tenfold.recipes.load import key_of, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import copy_image_lists
from tenfold.runs.launched import previous_attempt
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


class TrainSettings(TypedDict, total=False):
    """The other arguments of `train`, for type checkers."""

    data: DataSource | None
    epochs: float | None
    batch_size: int | None
    lr: float | None
    seed: int | None
    resplit: bool
    target: float | None
    model: nn.Module | None
    overrides: Sequence[str]
    name: str | None
    runs: str | Path
    resume: RunSource | None
    start_from: RunSource | None
    budget: str | None
    report: bool
    progress: Progress | None
    command: Sequence[str]
    started: float | None


@overload
def train(recipe: str | Path | Recipe = ..., *, seeds: None = ..., **settings: Unpack[TrainSettings]) -> Run: ...
@overload
def train(
    recipe: str | Path | Recipe = ..., *, seeds: int | Sequence[int], **settings: Unpack[TrainSettings]
) -> Sweep: ...
@overload
def train(recipe: str | Path | Recipe = ..., *, folds: int, **settings: Unpack[TrainSettings]) -> Sweep: ...
def train(
    recipe: str | Path | Recipe = AUTO,
    *,
    data: DataSource | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    resplit: bool = False,
    folds: int | None = None,
    target: float | None = None,
    model: nn.Module | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    resume: RunSource | None = None,
    start_from: RunSource | None = None,
    budget: str | None = None,
    report: bool = True,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    started: float | None = None,
) -> Run | Sweep:
    """Trains a classifier, evaluates it once on the test split and writes a run folder.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`; `auto` is one for small images or one for photos.
        data: a dataset's name or path, as for `--data`, a `Dataset`, or images and labels in memory, see
            `DataSource`; the recipe's by default.
        epochs: training length in epochs; the recipe's by default.
        batch_size: images per training step; the recipe's by default.
        lr: learning rate; the recipe's by default.
        seed: random seed; the recipe's by default.
        seeds: number of runs that differ in the seed, or the seeds themselves: the same as `sweep(seeds=…)`. The
            processes of several runs cannot read data in memory.
        resplit: with `seeds`, whether each seed also draws test and validation images of its own.
        folds: number of folds of a cross-validation: each run is tested on its fold, and a final model is trained on
            all images. Needs a source to read, as `seeds` does.
        target: validation accuracy in (0, 1) that ends the training.
        model: your own network, which replaces the recipe's: float [B, 3, H, W] → logits [B, C].
        overrides: `"section.key=value"` each.
        name: run folder name; dataset, recipe, date and time by default.
        runs: folder for run folders.
        resume: a run, or its folder, to resume; only overrides of `[train]` are allowed then, and after a loss that
            was not finite also lower learning rates. `data` says where the same images are now.
        start_from: a run, its folder or a model file whose network and weights are taken over; the head is new where
            the classes are others.
        budget: `"60s"` or `"2 min"`: time for the whole run, without preparing images for the first time. Network
            and length are chosen to fit it.
        report: whether to draw charts and write `report.html` at the end, which takes seconds.
        progress: receives messages; a bar in a notebook and silent elsewhere by default.
        command: command line, for `env.json`.
        started: `time.perf_counter()` at the start of the command; the budget, the time to a target and
            `total_seconds` count from it. This call's start by default.

    Returns:
        The run; with `seeds` or `folds` a `Sweep` of all runs.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.

    Example:
        >>> run = tenfold.train("quick", data="shapes", epochs=3, seed=1)  # doctest: +SKIP
        >>> run.accuracy, run.evaluation.interval  # doctest: +SKIP
        (0.97, (0.964, 0.975))
        >>> tenfold.train("quick", data="shapes", seeds=5).accuracy.mean  # doctest: +SKIP
        0.968
    """
    overrides = keyword_lines(overrides, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, target=target)
    check_seeds(seeds, resplit, model=model, resume=resume, budget=budget)
    check_folds(folds, seeds=seeds, model=model, resume=resume, budget=budget)
    world = current_world()
    count_training()
    refuse_in_several(world, seeds=seeds, folds=folds, budget=budget)
    places: dict[str, Any] = {"data": data, "resume": resume, "start_from": start_from}
    others: dict[str, Any] = {"model": model, "name": name, "runs": runs, "budget": budget, "report": report}
    others |= {"seeds": seeds, "resplit": resplit, "folds": folds, "command": command}
    others["started"] = perf_counter() if started is None else started
    with joined(world, meeting_device(world)) as processes:
        settings: str | None = settings_text(recipe, overrides)
        if not processes.is_main:
            return follow(processes, data, model, overrides, settings)
        if resume is None and (attempt := previous_attempt(Path(runs))) is not None:
            overrides, settings = [], None
            places = {"data": None if isinstance(data, str | Path) else data, "resume": attempt, "start_from": None}
        with Followers(processes, settings) as followers:
            shown = progress or default_progress()
            run = _train(recipe, followers, overrides=overrides, progress=shown, **places, **others)
            followers.dismiss(run)
    return run


def _train(
    recipe: str | Path | Recipe,
    followers: Followers,
    *,
    data: DataSource | None,
    seeds: int | Sequence[int] | None,
    resplit: bool,
    folds: int | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    name: str | None,
    runs: str | Path,
    resume: RunSource | None,
    start_from: RunSource | None,
    budget: str | None,
    report: bool,
    progress: Progress,
    command: Sequence[str],
    started: float,
) -> Run | Sweep:
    """Trains, as rank 0 where there are several processes; the arguments are those of `train`."""
    user_keys = frozenset(key_of(line) for line in overrides)
    if budget is not None:
        refuse_to_plan(resume, model, user_keys)
    decided = resume is not None or model is not None
    asked = recipe
    recipe, recipe_name, fetching = chosen_recipe(
        asked, data, overrides, progress, runs=runs, name=name, has_network=decided
    )
    if start_from is not None:
        recipe, overrides = _started(start_from, recipe, overrides, resume=resume, model=model)
    if seeds is not None or folds is not None:
        given: dict[str, Any] = {"data": data, "name": name, "runs": runs, "report": report, "progress": progress}
        return _several(recipe, seeds, resplit, folds, overrides=overrides, command=command, **given)
    if resume is not None:
        return resume_run(path_of(resume, "run"), data, model, overrides, progress, started, report, followers)
    chosen, _ = recipe_with_target(recipe, overrides, progress)
    check_early(chosen, Path(runs), name, check_network=model is None)
    task, plan = prepared_task(recipe_name, chosen, data, progress, is_own=model is not None), None
    tasks = [task, *_with_all_layers(asked, task.name, data, overrides, progress)] if budget is not None else [task]
    preparing = fetching + sum(each.seconds for each in tasks)
    if budget is not None:
        task, plan = within_budget(
            tasks,
            budget,
            started=started + preparing,
            user_keys=user_keys,
            runs=Path(runs),
            report=report,
            progress=progress,
        )
    folder = RunFolder.create(Path(runs), task.dataset.name, task.name, name)
    with folder.lock():
        chosen = copy_image_lists(task.recipe, folder.path)
        durable.write_text(folder.recipe, to_toml(chosen))
        folder.write_environment(command, recipe=task.name)
        if plan is not None:
            Log(folder.log).write("planned", plan=asdict(plan))
        run = execute_run(
            chosen,
            task.dataset,
            folder,
            progress,
            model=model,
            checkpoint=None,
            leaks=task.leaks,
            started=started,
            report=report,
            followers=followers,
        )
    if plan is not None:
        spent = perf_counter() - started - preparing
        extra = f", plus {preparing:.1f} s to prepare the images" if preparing else ""
        progress.message(f"budget: {spent:.1f} of {plan.budget:g} s spent{extra}")
    return run


def _with_all_layers(
    asked: object, chosen: str, data: DataSource | None, overrides: Sequence[str], progress: Progress
) -> Iterator[Task]:
    """Yields the task of all layers after the head, where a budget may choose between the two."""
    if asked == AUTO and chosen == LARGE:
        with suppress(TenfoldError):  # such as too few images for a validation split: then it is no choice
            recipe, _ = recipe_with_target(TUNED, overrides, SilentProgress())
            yield prepared_task(TUNED, recipe, data, OnlyPreparation(progress))


def _several(
    recipe: str | Path | Recipe, seeds: int | Sequence[int] | None, resplit: bool, folds: int | None, **shared: Any
) -> Sweep:
    if folds is not None:
        return cross_validate(recipe, folds, **shared)
    return sweep(recipe, seeds=seeds, resplit=resplit, **shared)


def _started(
    source: RunSource, recipe: str | Path | Recipe, overrides: Sequence[str], **others: object
) -> tuple[Recipe, list[str]]:
    """Returns what `starting_from` returns; raises UsageError if there is a network or a run to resume already."""
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"{name} and a model to start from were both given; expected one of them")
    return starting_from(source, recipe, overrides)
