"""Chooses network and training length for a time budget."""

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from tenfold.api.prepare import Task
from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.calibrate import num_training_images
from tenfold.engine.head_first import HEAD_EPOCHS
from tenfold.engine.plan import make_plan
from tenfold.experiments.budget.accuracy_table import IMAGES_PER_EPOCH, Network, measured_networks
from tenfold.experiments.budget.budget_plan import (
    LOAD,
    BudgetPlan,
    Candidate,
    Cost,
    Overhead,
    parse_budget,
    plan_budget,
    plan_head,
)
from tenfold.experiments.budget.costs import calibrate, head_cost, time_checkpoint, time_setup
from tenfold.recipes.durations import Duration
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_CHARTS = 10.0
"""Time for all charts and the page of a run, as a multiple of the time for the one chart that is drawn as a probe."""

_PLANNED_KEY = "train.duration"

_MIN_EPOCHS = 3
"""Fewer epochs of all layers seldom bring more than the head alone."""

MeasureOverhead = Callable[[Recipe, Dataset], Overhead]
"""Returns the time for everything except training."""


def within_budget(
    tasks: Sequence[Task],
    budget: str,
    *,
    started: float,
    user_keys: Collection[str],
    runs: Path,
    report: bool,
    progress: Progress,
) -> tuple[Task, BudgetPlan]:
    """Returns the task that promises the best accuracy within `budget`, with its length, and the plan of the time.

    A recipe of the network `quick` without widths gets the widths, batch size and learning rates of one of the
    measured networks. Every other recipe keeps its network, and only its length is planned. Where a head is fitted to
    features, see `_head_or_all_layers`.

    Args:
        tasks: what to choose from: one, or a head alone and the same head before all layers.
        budget: e.g. `60s`.
        started: `time.perf_counter()` from which the budget counts.
        user_keys: dotted keys that the user set; they are kept.
        runs: folder for run folders.
        report: whether charts are drawn at the end.
        progress: receives the plan.

    Raises:
        UsageError: when the budget is not a time, or too short for the smallest training.
        RecipeError: when the recipe does not fit the dataset.
    """
    seconds = parse_budget(budget)
    progress.message(
        f"budget: {seconds:g} s from the start of the command to the finished run folder, including planning, "
        "compilation, evaluation, charts and page; preparing the images for the first time is not counted"
    )
    measured = partial(_overhead, runs=runs, report=report, started=started)
    if tasks[0].recipe.train.layers == "all":
        task, plan = _best_network(tasks[0], seconds, user_keys, measured)
    else:
        task, plan = _head_or_all_layers(tasks, seconds, started, measured)
    progress.message(plan.text())
    return task, plan


def _best_network(
    task: Task, seconds: float, user_keys: Collection[str], measured: MeasureOverhead
) -> tuple[Task, BudgetPlan]:
    """Returns the task with the network and the length of the highest expected accuracy."""
    dataset, recipe = task.dataset, _with_duration(task.recipe, seconds)
    options = _options(recipe, user_keys)
    costs = calibrate([option for _, option in options], dataset)
    candidates = []
    for (network, option), cost in zip(options, costs, strict=True):
        name = f"{option.model.name} as in the recipe" if network is None else f"widths {network.name}"
        candidates.append(_candidate(name, option, dataset, cost, network))
    plan = plan_budget(seconds, measured(options[-1][1], dataset), candidates)
    network = next(each.network for each in candidates if each.name == plan.network)
    settings = _settings(network, plan.epochs * len(dataset.train), user_keys)
    return task._replace(recipe=_with_duration(resolve(recipe, settings), plan.training)), plan


def _candidate(name: str, recipe: Recipe, dataset: Dataset, cost: Cost, network: Network | None = None) -> Candidate:
    plan = make_plan(recipe, dataset)
    evaluations = 0 if dataset.val is None else -(-plan.steps_per_epoch // plan.evaluate_every)
    return Candidate(name, cost, plan.steps_per_epoch, evaluations, network)


def _head_or_all_layers(
    tasks: Sequence[Task], seconds: float, started: float, measured: MeasureOverhead
) -> tuple[Task, BudgetPlan]:
    """Returns the task of all layers where at least `_MIN_EPOCHS` of them fit after their head, else the head alone."""
    by_layers = {task.recipe.train.layers: task for task in tasks}
    alone, deeper = by_layers.get("head"), by_layers.get("head-then-all")
    passes = HEAD_EPOCHS if alone is None else _passes(alone.recipe, alone.dataset)
    cost = head_cost(tasks[0].recipe, tasks[0].dataset, passes)
    if deeper is not None:
        num_images = len(deeper.dataset.train)
        head = LOAD * cost.seconds(num_images, HEAD_EPOCHS)
        least = _MIN_EPOCHS * num_images * cost.image  # a step takes longer than the features of its images
        if alone is None or perf_counter() - started + head + least < seconds:
            found = _all_layers(deeper, seconds, head, measured, alone is None)
            if found is not None:
                return found
    assert alone is not None
    plan = plan_head(seconds, measured(alone.recipe, alone.dataset), alone.name, cost, passes)
    length = {_PLANNED_KEY: Duration(plan.epochs, "epochs")}
    return alone._replace(recipe=resolve(alone.recipe, length)), plan


def _all_layers(
    task: Task, seconds: float, head: float, measured: MeasureOverhead, is_only: bool
) -> tuple[Task, BudgetPlan] | None:
    """Returns the task with the length of its steps after the head; None if they are too few and there is another."""
    recipe = _with_duration(task.recipe, seconds)
    (cost,) = calibrate([recipe], task.dataset)
    overhead = replace(measured(recipe, task.dataset), head=head)
    try:
        plan = plan_budget(seconds, overhead, [_candidate(task.name, recipe, task.dataset, cost)])
    except UsageError:
        if is_only:
            raise
        return None
    if plan.epochs < _MIN_EPOCHS and not is_only:
        return None
    return task._replace(recipe=_with_duration(recipe, plan.training)), plan


def _passes(recipe: Recipe, dataset: Dataset) -> int:
    """Returns how often a recipe shows each training image to the frozen network."""
    plan = make_plan(recipe, dataset)
    return HEAD_EPOCHS if plan.steps is None else max(1, -(-plan.steps // plan.steps_per_epoch))


def refuse_beside_budget(user_keys: Collection[str]) -> None:
    """Raises UsageError if the user has set the training length."""
    if _PLANNED_KEY in user_keys:
        raise UsageError("--budget plans the training length; leave out --epochs and train.duration, or the budget")


def _options(recipe: Recipe, user_keys: Collection[str]) -> list[tuple[Network | None, Recipe]]:
    """Returns the recipes to choose from with their measured networks, or the recipe itself if it has a network."""
    if recipe.model.name != "quick" or "widths" in recipe.model.arguments or recipe.model.starts_from_weights:
        return [(None, recipe)]
    return [
        (network, resolve(recipe, _settings(network, IMAGES_PER_EPOCH, user_keys))) for network in measured_networks()
    ]


def _settings(network: Network | None, num_images: float, user_keys: Collection[str]) -> dict[str, object]:
    """Returns the keys of a measured network for a training on `num_images`, without those that the user set."""
    settings = {} if network is None else network.settings(num_images / IMAGES_PER_EPOCH)
    return {key: value for key, value in settings.items() if key not in user_keys}


def _with_duration(recipe: Recipe, seconds: float) -> Recipe:
    """Returns the recipe with a time limit, to a hundredth of a second."""
    return resolve(recipe, {_PLANNED_KEY: Duration(max(0.01, round(seconds, 2)), "s")})


def _overhead(recipe: Recipe, dataset: Dataset, runs: Path, report: bool, started: float) -> Overhead:
    """Returns the time for everything except training; what can be tried is done once and timed."""
    disk = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=disk, prefix=".tenfold-") as folder:
        return Overhead(
            train=len(dataset.train),
            val=0 if dataset.val is None else len(dataset.val),
            test=len(dataset.test) + num_training_images(recipe, dataset),
            setup=time_setup(recipe, dataset),
            drawing=_time_charts(dataset, Path(folder)) if report else 0.0,
            checkpoint=time_checkpoint(recipe, dataset, Path(folder)),
            spent=perf_counter() - started,  # last, after the measurements
        )


def _time_charts(dataset: Dataset, folder: Path) -> float:
    """Returns the estimated seconds for charts and page: one is drawn three times, and the first is not counted."""
    from tenfold.report.plots.image_grids import plot_preview  # imports matplotlib, which a run without charts saves

    times = []
    for _ in range(3):
        started = perf_counter()
        plot_preview(dataset.train, dataset.classes, folder / "preview.png")
        times.append(perf_counter() - started)
    return _CHARTS * min(times[1:])
