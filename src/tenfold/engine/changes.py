"""Values of a recipe that a run does not use as they were given: nothing is changed in silence."""

from tenfold.core.text import epochs_text, plural
from tenfold.data.types import Dataset
from tenfold.engine.plan import RATES, Plan, make_plan
from tenfold.recipes.durations import Duration
from tenfold.recipes.schema import Recipe
from tenfold.runs.changes import RESUMED, Change

_ARITHMETIC = ("precision", "execution")
"""Keys of `[train]` that decide how a step rounds."""


def recipe_changes(recipe: Recipe, dataset: Dataset) -> list[Change]:
    """Returns what a run of `recipe` on `dataset` does not use as given.

    Raises:
        RecipeError: see `make_plan`.
    """
    plan, train = make_plan(recipe, dataset), recipe.train
    changes = []
    if plan.batch_size != train.batch_size and train.layers != "head":  # one fit has no batches
        images = plural(len(dataset.train), "training image")
        reason = f"an epoch of {images} must have at least four batches"
        changes.append(Change("train.batch_size", train.batch_size, plan.batch_size, reason))
    if (used := length_text(recipe, plan)) != str(train.duration):
        changes.append(Change("train.duration", str(train.duration), used, f"train.min_steps = {train.min_steps}"))
    return changes + _interval_changes(recipe, dataset, plan) + _split_changes(recipe, dataset)


def length_text(recipe: Recipe, plan: Plan) -> str:
    """Returns how long a run of `recipe` is: its duration, or what `train.min_steps` makes of it."""
    if plan.steps == recipe.train.duration.steps(plan.steps_per_epoch):
        return str(recipe.train.duration)
    steps = plan.steps or 0
    return f"{epochs_text(steps / plan.steps_per_epoch)} ({plural(steps, 'step')})"


def resume_changes(before: Recipe, after: Recipe, dataset: Dataset, step: int, diverged_at: int | None) -> list[Change]:
    """Returns length, learning rates, precision and execution that a resumed run uses instead of its recipe's.

    With any of them, the steps before were taken in another way than the recipe of the finished run says.

    Args:
        before: recipe of the run.
        after: the recipe with which it resumes.
        dataset: of the run.
        step: number of steps taken before.
        diverged_at: step whose loss was not finite, or None.
    """
    old, new = make_plan(before, dataset), make_plan(after, dataset)
    lengths = (length_text(before, old), length_text(after, new)) if old.length != new.length else ("", "")
    resumed = [
        ("train.duration", *lengths),
        *((f"train.{name}", getattr(before.train, name), getattr(after.train, name)) for name in _ARITHMETIC),
    ]
    rates = [(f"optim.{name}", getattr(before.optim, name), getattr(after.optim, name)) for name in RATES]
    after_step = f"{RESUMED} after step {step:,}"
    diverged = f"the loss was not finite at step {diverged_at}"
    return [
        Change(key, asked, used, reason)
        for reason, values in ((after_step, resumed if step else []), (diverged, rates))
        for key, asked, used in values
        if used not in (asked, "auto")
    ]


def _interval_changes(recipe: Recipe, dataset: Dataset, plan: Plan) -> list[Change]:
    """Returns an evaluation interval that is longer than an epoch, at whose end an evaluation is always due.

    The same of `train.log_every` is no change: an additional row of the log changes no result.
    """
    every = recipe.train.evaluate_every
    if dataset.val is None or every.unit != "steps" or every.amount <= plan.steps_per_epoch:
        return []
    used = str(Duration(plan.steps_per_epoch, "steps"))
    reason = "the validation split is also evaluated at the end of each epoch"
    return [Change("train.evaluate_every", str(every), used, reason)]


def _split_changes(recipe: Recipe, dataset: Dataset) -> list[Change]:
    if not recipe.data.val_fraction or dataset.val is None or "val" in dataset.drawn:
        return []
    reason = "the data has a validation split of its own"
    return [Change("data.val_fraction", recipe.data.val_fraction, plural(len(dataset.val), "image"), reason)]
