"""From a time to a recipe that fits into it."""

import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.plan import make_plan
from tenfold.experiments.budget.budget_plan import BudgetPlan, Candidate, Surroundings, parse_budget, plan_budget
from tenfold.experiments.budget.costs import calibrate, time_checkpoint, time_setup
from tenfold.experiments.budget.measured import EPOCH, Network, measured_networks
from tenfold.recipes.durations import Duration
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_CHARTS = 10.0
"""So many times as long as the one chart that is drawn to see do all charts of a run and its page take."""

PLANNED = "train.duration"
"""The key that a budget always decides."""


def within_budget(
    recipe: Recipe,
    pictures: Dataset,
    budget: str,
    *,
    began: float,
    chosen: Collection[str],
    runs: Path,
    report: bool,
    progress: Progress,
) -> tuple[Recipe, BudgetPlan]:
    """Returns the recipe that makes the best of `budget`, and how it is spent.

    A recipe of the network `quick` that names no widths gets those of the measured network that promises most, with the
    batch size and learning rates measured; every other recipe keeps its network, and only its length is planned.

    Args:
        recipe: complete but for its length.
        pictures: to be trained with.
        budget: e.g. `60s`.
        began: reading of `perf_counter` from which the budget counts.
        chosen: dotted keys that the user gave; these are kept.
        runs: where the run's folder will lie.
        report: whether charts are to be drawn at the end.
        progress: is told the plan, and what is timed.

    Raises:
        UsageError: when the budget is no time, or too short for even the smallest training.
        RecipeError: when the recipe does not fit the pictures.
    """
    seconds = parse_budget(budget)
    progress.message(
        f"budget: {seconds:g} s from the command's start to the finished run folder, with planning, compiling, "
        "judging, charts and page; only the preparing of pictures, the first time, does not count"
    )
    recipe = _by_the_clock(recipe, seconds)
    offers = _offers(recipe, chosen)
    costs = calibrate([offer for _, offer in offers], pictures)
    candidates = []
    for (network, offer), cost in zip(offers, costs, strict=True):
        course = make_plan(offer, pictures)
        judgements = 0 if pictures.val is None else -(-course.steps_per_epoch // course.evaluate_every)
        name = f"{offer.model.name} as the recipe has it" if network is None else f"widths {network.name}"
        candidates.append(Candidate(name, cost, course.steps_per_epoch, judgements, network))
    around = _surroundings(offers[-1][1], pictures, runs, report)
    around = replace(around, spent=perf_counter() - began)
    plan = plan_budget(seconds, around, candidates)
    progress.message(plan.text())
    network = next(each.network for each in candidates if each.name == plan.network)
    settings = _settings(network, plan.epochs * len(pictures.train), chosen)
    return _by_the_clock(resolve(recipe, settings), plan.training), plan


def refuse_beside_budget(chosen: Collection[str]) -> None:
    """Raises UsageError where the user has said himself how long the training is."""
    if PLANNED in chosen:
        raise UsageError(
            "--budget plans how long the training is; leave out --epochs and train.duration, or the budget"
        )


def _offers(recipe: Recipe, chosen: Collection[str]) -> list[tuple[Network | None, Recipe]]:
    """Returns the recipes to choose from, each with its measured network; the recipe itself where that is settled."""
    if recipe.model.name != "quick" or "widths" in recipe.model.arguments:
        return [(None, recipe)]
    return [(network, resolve(recipe, _settings(network, EPOCH, chosen))) for network in measured_networks()]


def _settings(network: Network | None, pictures: float, chosen: Collection[str]) -> dict[str, object]:
    """Returns the keys that make a measured network, for a training on so many pictures, less what the user chose."""
    settings = {} if network is None else network.settings(pictures / EPOCH)
    return {key: value for key, value in settings.items() if key not in chosen}


def _by_the_clock(recipe: Recipe, seconds: float) -> Recipe:
    """Returns the recipe with a training that a clock ends, to a hundredth of a second."""
    return resolve(recipe, {PLANNED: Duration(max(0.01, round(seconds, 2)), "s")})


def _surroundings(recipe: Recipe, pictures: Dataset, runs: Path, report: bool) -> Surroundings:
    """Returns what there is beside the network: everything that can be is done once to see how long it takes."""
    disk = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=disk, prefix=".tenfold-") as folder:
        return Surroundings(
            train=len(pictures.train),
            val=0 if pictures.val is None else len(pictures.val),
            test=len(pictures.test),
            spent=0.0,
            setup=time_setup(recipe, pictures),
            drawing=_time_of_charts(pictures, Path(folder)) if report else 0.0,
            checkpoint=time_checkpoint(recipe, pictures, Path(folder)),
        )


def _time_of_charts(pictures: Dataset, folder: Path) -> float:
    """Returns the seconds that charts and page will take at the end: one chart is drawn to see, after a warm-up."""
    from tenfold.report.plots.image_grids import (
        draw_preview,  # it brings matplotlib, which a run without charts need not load
    )

    for _ in range(2):
        began = perf_counter()
        draw_preview(pictures.train, pictures.classes, folder / "preview.png")
    return _CHARTS * (perf_counter() - began)
