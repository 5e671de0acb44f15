"""How long a run lasts, and what is due at which step: decided once, before the first."""

from collections.abc import Callable
from dataclasses import dataclass

from tenfold.core.errors import RecipeError
from tenfold.data.loader import Order
from tenfold.data.resizing import Course, share_at, shrink
from tenfold.data.types import Batch, Dataset
from tenfold.optim.schedules import Schedule, build_schedule
from tenfold.recipes.durations import Duration
from tenfold.recipes.schema import Recipe

_BATCHES_AT_LEAST = 4
"""Batches an epoch has at least: a small set gets smaller batches instead of one step an epoch."""


@dataclass(frozen=True)
class Plan:
    """The course of a run.

    Args:
        batch_size: pictures in a step.
        steps_per_epoch: at least 1.
        steps: in the whole run, or None where a clock decides.
        seconds: of training in the whole run, or None where steps decide.
        log_every: steps between two rows of the log.
        checkpoint_every: steps or seconds between two checkpoints.
        schedule: share of the run that is done → factor on the learning rates.
        patience: epochs without a better validation accuracy that end the run; 0 for never.
        evaluate_every: steps, counted from the start of each epoch, after which the validation split is judged; it is
            judged at the end of an epoch in any case.
        target: validation accuracy that ends the run; 0 for none.
        progressive: see `Course`; empty where pictures are learnt from at their own size throughout.
    """

    batch_size: int
    steps_per_epoch: int
    steps: int | None
    seconds: float | None
    log_every: int
    checkpoint_every: Duration
    schedule: Schedule
    patience: int = 0
    evaluate_every: int = 1
    target: float = 0.0
    progressive: Course = ()

    def done(self, step: int, seconds: Callable[[], float]) -> float:
        """Returns the share of the run that is done after `step` steps, in [0, 1].

        Args:
            step: steps taken.
            seconds: tells the training time so far; only asked where a clock decides.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, seconds() / (self.seconds or 1.0))

    def resized(self, batch: Batch, done: float) -> Batch:
        """Returns `batch` with its pictures at the size that is due when `done` of the run is done."""
        share = share_at(self.progressive, done)
        return batch if share == 1.0 else batch._replace(images=shrink(batch.images, share))

    def over(self, step: int, seconds: Callable[[], float]) -> bool:
        """Returns whether the run is at its end after `step` steps; for `seconds` see `done`."""
        return self.done(step, seconds) >= 1.0

    def epoch_of(self, step: int) -> int:
        """Returns the epoch, from 1, to which the step numbered `step` (from 1) belongs."""
        return (max(step, 1) - 1) // self.steps_per_epoch + 1

    def ends_epoch(self, step: int) -> bool:
        """Returns whether an epoch ends with the step numbered `step` (from 1)."""
        return step % self.steps_per_epoch == 0

    def evaluation_due(self, step: int) -> bool:
        """Returns whether the validation split is judged after `step` steps; the end of an epoch always counts."""
        return self.ends_epoch(step) or step % self.steps_per_epoch % self.evaluate_every == 0

    def checkpoint_due(self, step: int, seconds_since_last: float) -> bool:
        """Returns whether a checkpoint is due in the middle of an epoch."""
        every = self.checkpoint_every
        if every.unit == "s":
            return seconds_since_last >= every.amount
        return step % (every.steps(self.steps_per_epoch) or 1) == 0


def make_plan(recipe: Recipe, dataset: Dataset) -> Plan:
    """Returns the course that `recipe` takes on `dataset`.

    Raises:
        RecipeError: when early stopping or a target is asked for without a validation split to judge by, or
            `train.evaluate_every` is no part of an epoch.
    """
    train, optim = recipe.train, recipe.optim
    for key, value in (("early_stop", train.early_stop), ("target", train.target)):
        if value and dataset.val is None:
            raise RecipeError(f"train.{key} needs validation pictures to judge by: set data.val_fraction, e.g. 0.1")
    batch_size = batch_size_for(train.batch_size, len(dataset.train))
    per_epoch = Order(len(dataset.train), batch_size, train.seed, drop_last=train.drop_last).batches
    steps = train.duration.steps(per_epoch)
    judged = _evaluate_every(train.evaluate_every, per_epoch)  # refused also where there is nothing to judge
    return Plan(
        batch_size=batch_size,
        steps_per_epoch=per_epoch,
        steps=None if steps is None else max(steps, train.min_steps),
        seconds=train.duration.amount if steps is None else None,
        log_every=train.log_every or max(1, per_epoch // 10),
        checkpoint_every=train.checkpoint_every,
        schedule=build_schedule(
            optim.schedule,
            warmup=optim.warmup,
            final=optim.final_lr,
            milestones=optim.milestones,
            step_factor=optim.step_factor,
            peak=optim.peak,
        ),
        progressive=train.progressive,
        patience=train.early_stop,
        evaluate_every=per_epoch if dataset.val is None else judged,
        target=train.target,
    )


def _evaluate_every(every: Duration, per_epoch: int) -> int:
    """Returns the steps between two judgements; more of them than an epoch has mean each epoch's end.

    A clock would judge after other steps in every run, and so keep another model as the best.
    """
    steps = every.steps(per_epoch)
    if steps is None or (every.unit == "epochs" and every.amount > 1):
        raise RecipeError(
            f'train.evaluate_every is {every}; expected steps or at most an epoch, e.g. "100 steps" or "0.1 epochs"'
        )
    return min(steps, per_epoch)


def batch_size_for(wanted: int, pictures: int) -> int:
    """Returns `wanted`, or less where an epoch would have fewer than four batches; never below 2.

    Example:
        >>> batch_size_for(500, 50_000), batch_size_for(500, 160)
        (500, 40)
    """
    return min(wanted, max(2, pictures // _BATCHES_AT_LEAST)) if wanted > 1 else 1


def extended(before: Recipe, after: Recipe) -> Recipe:
    """Returns the recipe with which a run that began with `before` goes on when `after` is asked for.

    The rule for a run that goes on for longer: it takes up the longer run's schedule at the step that it has reached.
    With a constant learning rate it thus ends bit for bit where a run planned that long from the start ends.

    Raises:
        RecipeError: when something else than the length, the device and what is written down would change.
    """
    free = (
        *("duration", "device", "log_every", "checkpoint_every", "early_stop"),
        *("execution", "evaluate_every", "target"),
    )
    kept = {name: getattr(before.train, name) for name in free}
    if after.model_copy(update={"train": after.train.model_copy(update=kept)}) != before:
        raise RecipeError(
            "a run that is resumed keeps its recipe; only "
            f"{', '.join(f'train.{name}' for name in free)} may change: start a new run for the rest"
        )
    if (after.train.duration.unit == "s") != (before.train.duration.unit == "s"):
        raise RecipeError(
            f"a run of {before.train.duration} cannot go on for {after.train.duration}; "
            "give the new length in the same unit"
        )
    return after
