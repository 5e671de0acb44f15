"""Chooses network and training length for a time budget."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from time import perf_counter

from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.calibrate import num_training_images
from tenfold.engine.plan import make_plan
from tenfold.experiments.budget.accuracy_table import IMAGES_PER_EPOCH, Network, measured_networks
from tenfold.experiments.budget.budget_plan import BudgetPlan, Candidate, Overhead, parse_budget, plan_budget
from tenfold.experiments.budget.costs import calibrate, time_checkpoint, time_setup
from tenfold.recipes.durations import Duration
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_CHARTS = 10.0
"""Time for all charts and the page of a run, as a multiple of the time for the one chart that is drawn as a probe."""

_PLANNED_KEY = "train.duration"


def within_budget(
    recipe: Recipe,
    dataset: Dataset,
    budget: str,
    *,
    started: float,
    user_keys: Collection[str],
    runs: Path,
    report: bool,
    progress: Progress,
) -> tuple[Recipe, BudgetPlan]:
    """Returns the recipe that promises the best accuracy within `budget`, and the plan of the time.

    A recipe of the network `quick` without widths gets the widths, batch size and learning rates of one of the
    measured networks. Every other recipe keeps its network, and only its length is planned.

    Args:
        recipe: complete except for its length.
        dataset: to train on.
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
    recipe = _with_duration(recipe, seconds)
    options = _options(recipe, user_keys)
    costs = calibrate([option for _, option in options], dataset)
    candidates = []
    for (network, option), cost in zip(options, costs, strict=True):
        plan = make_plan(option, dataset)
        evaluations = 0 if dataset.val is None else -(-plan.steps_per_epoch // plan.evaluate_every)
        name = f"{option.model.name} as in the recipe" if network is None else f"widths {network.name}"
        candidates.append(Candidate(name, cost, plan.steps_per_epoch, evaluations, network))
    overhead = _overhead(options[-1][1], dataset, runs, report, started)
    budget_plan = plan_budget(seconds, overhead, candidates)
    progress.message(budget_plan.text())
    network = next(each.network for each in candidates if each.name == budget_plan.network)
    settings = _settings(network, budget_plan.epochs * len(dataset.train), user_keys)
    return _with_duration(resolve(recipe, settings), budget_plan.training), budget_plan


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
    """Returns the estimated seconds for charts and page: one chart is drawn twice, and the second time counts."""
    from tenfold.report.plots.image_grids import plot_preview  # imports matplotlib, which a run without charts saves

    for _ in range(2):
        started = perf_counter()
        plot_preview(dataset.train, dataset.classes, folder / "preview.png")
    return _CHARTS * (perf_counter() - started)
