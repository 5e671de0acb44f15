"""How long a run takes and what is due at which step, decided before the first one."""

from collections.abc import Callable
from dataclasses import dataclass

from tenfold.core.errors import RecipeError
from tenfold.data.resizing import SizeSchedule, shrink, size_fraction
from tenfold.data.sampling import Order
from tenfold.data.types import Batch, Dataset
from tenfold.engine.loss import class_weights
from tenfold.optim.schedules import Schedule, build_schedule
from tenfold.recipes.durations import Duration
from tenfold.recipes.schema import Recipe

_MIN_BATCHES_PER_EPOCH = 4
"""A small dataset gets smaller batches instead of one step per epoch."""

_FREE = (
    *("duration", "min_steps", "device", "log_every", "checkpoint_every", "early_stop"),
    *("execution", "precision", "evaluate_every", "target"),
)
"""Keys of `[train]` that a resumed run may change."""

RATES = ("lr", "muon_lr", "warmup")
"""Keys of `[optim]` that a run may change when its loss was not finite."""


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Args:
        batch_size: number of images in a step.
        steps_per_epoch: at least 1.
        steps: in the whole run, or None where the time decides.
        seconds: of training in the whole run, or None where the steps decide.
        log_every: steps between two rows of the log.
        checkpoint_every: steps or seconds between two checkpoints.
        schedule: fraction of the run that is done → factor on the learning rates.
        patience: epochs without a better `train.monitor` that end the run; 0 for no early stopping.
        evaluate_every: steps, counted from the start of each epoch, after which the validation split is evaluated;
            it is always evaluated at the end of an epoch.
        target: validation accuracy that ends the run; 0 for none.
        class_weights: see `class_weights` of `loss.py`.
        progressive: see `SizeSchedule`; empty where images keep their size throughout.
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
    progressive: SizeSchedule = ()
    class_weights: tuple[float, ...] | None = None

    @property
    def length(self) -> tuple[int | None, float | None]:
        """Steps and seconds of the whole run; one of them is None."""
        return self.steps, self.seconds

    def fraction_done(self, step: int, elapsed: Callable[[], float]) -> float:
        """Returns the fraction of the run that is done after `step` steps, in [0, 1].

        Args:
            step: number of steps taken.
            elapsed: returns the training time so far in seconds; called only where the time decides.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, elapsed() / (self.seconds or 1.0))

    def resized(self, batch: Batch, fraction_done: float) -> Batch:
        """Returns `batch` with its images at the size due at this fraction of the run."""
        fraction = size_fraction(self.progressive, fraction_done)
        return batch if fraction == 1.0 else batch._replace(images=shrink(batch.images, fraction))

    def is_over(self, step: int, elapsed: Callable[[], float]) -> bool:
        """Returns whether the run ends after `step` steps; for `elapsed` see `fraction_done`."""
        return self.fraction_done(step, elapsed) >= 1.0

    def epoch_of(self, step: int) -> int:
        """Returns the epoch, from 1, of the step numbered `step` (from 1); 0 before the first step."""
        return -(-step // self.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Returns whether an epoch ends with the step numbered `step` (from 1)."""
        return step % self.steps_per_epoch == 0

    def log_due(self, step: int) -> bool:
        """Returns whether a row of the log is due after `step` steps."""
        return step % self.steps_per_epoch % self.log_every == 0

    def evaluation_due(self, step: int) -> bool:
        """Returns whether the validation split is evaluated after `step` steps."""
        return self.ends_epoch(step) or step % self.steps_per_epoch % self.evaluate_every == 0

    def checkpoint_due(self, step: int, seconds_since_last: float) -> bool:
        """Returns whether a checkpoint is due in the middle of an epoch."""
        every = self.checkpoint_every
        if every.unit == "s":
            return seconds_since_last >= every.amount
        return step % (every.steps(self.steps_per_epoch) or 1) == 0

    def target_reached(self, best_accuracy: float) -> bool:
        """Returns whether a validation accuracy reaches the target, where there is one."""
        return bool(self.target and best_accuracy >= self.target)

    def patience_exceeded(self, step: int, best_epoch: int) -> bool:
        """Returns whether `train.monitor` has not improved for `patience` whole epochs."""
        whole_epochs = step // self.steps_per_epoch  # without the epoch that a resumed run is in
        return bool(self.patience and whole_epochs - best_epoch >= self.patience)


def make_plan(recipe: Recipe, dataset: Dataset) -> Plan:
    """Returns the plan of `recipe` on `dataset`.

    Raises:
        RecipeError: when early stopping, a target, a monitor or a head before all layers is set without a validation
            split, a target beside another monitor than the accuracy, `data.balance` without shuffling,
            `train.evaluate_every` is more than an epoch, an area under the curve is monitored on images of one class,
            or a weight is that of a class that does not exist.
    """
    train, optim = recipe.train, recipe.optim
    other, first = train.monitor != "accuracy", train.layers == "head-then-all"
    needs = {
        "layers = 'head-then-all'": first,
        "early_stop": train.early_stop and train.layers != "head",  # which is evaluated once
        "target": train.target,
        "monitor": other,
    }
    for key, value in needs.items():
        if value and dataset.val is None:
            raise RecipeError(f"train.{key} needs a validation split: set data.val_fraction, e.g. 0.1")
    if train.monitor == "roc_auc_ovr" and dataset.val is not None and len(set(dataset.val.labels.tolist())) < 2:
        raise RecipeError(
            "train.monitor = 'roc_auc_ovr' needs validation images of two classes or more, and all are of one; set a "
            "larger data.val_fraction, or another monitor"
        )
    if train.target and other:
        raise RecipeError(
            f"train.target is an accuracy, and train.monitor is {train.monitor}, which would choose another model than "
            "the one that reaches it; expected one of them"
        )
    if recipe.data.balance and not train.shuffle:
        raise RecipeError(
            f"data.balance = {recipe.data.balance:g} needs shuffled epochs, and train.shuffle is false; set "
            "train.shuffle=true"
        )
    batch_size = effective_batch_size(train.batch_size, len(dataset.train))
    steps_per_epoch = Order(len(dataset.train), batch_size, train.seed, drop_last=train.drop_last).num_batches
    steps = train.duration.steps(steps_per_epoch)
    evaluate_every = _evaluate_every(train.evaluate_every, steps_per_epoch)  # checked even without a validation split
    return Plan(
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        steps=None if steps is None else max(steps, train.min_steps),
        seconds=train.duration.amount if steps is None else None,
        log_every=train.log_every or max(1, steps_per_epoch // 10),
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
        class_weights=class_weights(optim.class_weights, dataset, recipe.data.balance),
        patience=train.early_stop,
        evaluate_every=steps_per_epoch if dataset.val is None else evaluate_every,
        target=train.target,
    )


def _evaluate_every(every: Duration, steps_per_epoch: int) -> int:
    """Returns the steps between two evaluations, at most an epoch.

    Seconds are refused: each run would evaluate after other steps, and so keep another model as the best.
    """
    steps = every.steps(steps_per_epoch)
    if steps is None or (every.unit == "epochs" and every.amount > 1):
        raise RecipeError(
            f'train.evaluate_every is {every}; expected steps or at most an epoch, e.g. "100 steps" or "0.1 epochs"'
        )
    return min(steps, steps_per_epoch)


def effective_batch_size(requested: int, num_images: int) -> int:
    """Returns the requested batch size, or less where an epoch would have fewer than four batches; at least 2.

    Example:
        >>> effective_batch_size(500, 50_000), effective_batch_size(500, 160)
        (500, 40)
    """
    return min(requested, max(2, num_images // _MIN_BATCHES_PER_EPOCH)) if requested > 1 else 1


def extended(before: Recipe, after: Recipe, *, diverged: bool = False) -> Recipe:
    """Returns the recipe with which a run that started with `before` resumes when `after` is asked for.

    A longer run follows the longer run's schedule from the step that it has reached. With a constant learning rate it
    ends bit-identical to a run planned that long from the start.

    Args:
        before: recipe of the run.
        after: with what is asked for.
        diverged: whether the run ended with a loss that was not finite; only then may its learning rates change.

    Raises:
        RecipeError: when a key outside of `_FREE` (and of `RATES` after a divergence) would change.
    """
    kept = {name: getattr(before.train, name) for name in _FREE}
    rates = {name: getattr(before.optim, name) for name in RATES if diverged}
    sections = {"train": after.train.model_copy(update=kept), "optim": after.optim.model_copy(update=rates)}
    if after.model_copy(update=sections) != before:
        free, rates_free = (
            ", ".join(f"{section}.{name}" for name in names) for section, names in (("train", _FREE), ("optim", RATES))
        )
        raise RecipeError(
            f"a resumed run keeps its recipe; only {free} may change, and after a loss that was not finite "
            f"{rates_free}; start a new run for other changes"
        )
    if (after.train.duration.unit == "s") != (before.train.duration.unit == "s"):
        raise RecipeError(
            f"a run of {before.train.duration} cannot be extended to {after.train.duration}; "
            "give the new length in the same unit"
        )
    return after
