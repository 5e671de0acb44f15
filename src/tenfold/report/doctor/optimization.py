"""Doctor rules on optimization: whether training worked, and whether the learning rate is to blame if not."""

import math

import numpy as np

from tenfold.core.text import percent, plural
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.schema import Recipe
from tenfold.report.doctor.evidence import (
    Diagnosis,
    Evidence,
    Floats,
    first_part,
    last_part,
    loss_text,
    noise_std,
    quoted,
)

_ALWAYS = 0.9
"""A class counts as always predicted if this fraction of the images of other classes is predicted as it."""

_MIN_OTHER_IMAGES = 5

_USUAL_RATES = {"sgd": (1e-3, 1.0), "muon": (1e-3, 1.0)}
_USUAL_ADAPTIVE_RATES = (3e-4, 3e-3)


def not_finite(evidence: Evidence) -> Diagnosis | None:
    """The loss became NaN or infinite, which stopped the training."""
    names = [event.get("event") for event in evidence.events]
    if evidence.is_finished or evidence.recipe is None or names[-1:] != ["loss not finite"]:
        return None
    return Diagnosis(
        "not-finite",
        f"The loss became NaN or infinite at step {evidence.events[-1].get('step')}, which stopped the training: "
        f"the learning rate, {evidence.recipe.optim.lr:g}, is too high.",
        f"Go on with a lower one: tenfold train --resume RUN --lr {evidence.recipe.optim.lower_lr:.2g}. It starts from "
        "the last checkpoint that has not diverged, else from the beginning.",
    )


def one_class(evidence: Evidence) -> Diagnosis | None:
    """Nearly all images are predicted as one class, also those of other classes."""
    top = always_predicted(evidence)
    if top is None:
        return None
    predicted = evidence.predicted_counts[top] / evidence.num_test
    true = evidence.true_counts[top] / evidence.num_test
    trained = evidence.train_counts.get(top, 0) / max(1, sum(evidence.train_counts.values()))
    if trained >= 2 / evidence.num_classes or (evidence.num_classes == 2 and trained >= 0.75):
        remedy = (
            f"It makes up {percent(trained)} of the training images: add images of the other classes, or remove some "
            "of its own."
        )
    else:
        remedy = f"{_rate_advice(evidence)}; if that does not help, check labels and images: tenfold check DATA."
    return Diagnosis(
        "one-class",
        f"{percent(predicted)} of {plural(evidence.num_test, 'test image')} are predicted as {quoted(top)}, but only "
        f"{percent(true)} belong to it: the network does not separate the classes.",
        remedy,
    )


def always_predicted(evidence: Evidence) -> str | None:
    """Returns the class that nearly all test images of other classes are predicted as, or None."""
    if not evidence.num_test:
        return None
    top = max(evidence.predicted_counts, key=evidence.predicted_counts.__getitem__)
    num_others = evidence.num_test - evidence.true_counts[top]
    num_wrong = sum(row.predicted == top != row.true for row in evidence.predictions)
    return top if num_others >= _MIN_OTHER_IMAGES and num_wrong >= _ALWAYS * num_others else None


def chance(evidence: Evidence) -> Diagnosis | None:
    """The test accuracy is not better than guessing, or than always predicting the most frequent class."""
    if not evidence.num_test:
        return None
    most_frequent, count = evidence.true_counts.most_common(1)[0]
    guessing, baseline = 1 / evidence.num_classes, count / evidence.num_test
    if evidence.interval[0] > baseline:
        return None
    text = f"guessing among {evidence.num_classes} classes ({percent(guessing)})"
    if count * evidence.num_classes > evidence.num_test:
        text = f"always predicting {quoted(most_frequent)}, the most frequent class ({percent(baseline)})"
    if wilson(evidence.num_test, evidence.num_test)[0] <= baseline:
        found = f"Test accuracy, {evidence.accuracy_text}, says nothing: even if all were right, it would not be "
        return Diagnosis("chance", f"{found}significantly better than {text}.", "Use more test images of every class.")
    verdict = "is no better than" if evidence.accuracy <= baseline else "is not significantly better than"
    curve = evidence.loss_curve
    trend = "" if len(curve) < 2 else f"; the training loss went from {loss_text(curve[0])} to {loss_text(curve[-1])}"
    return Diagnosis(
        "chance",
        f"Test accuracy, {evidence.accuracy_text}, {verdict} {text}{trend}.",
        _chance_remedy(evidence, baseline),
    )


def _chance_remedy(evidence: Evidence, baseline: float) -> str:
    accuracy = evidence.train_accuracy
    if accuracy is not None and accuracy > baseline + 0.2:
        return (
            f"The training accuracy is {percent(accuracy)}, so check that the test labels mean the same and "
            "that there are enough training images: tenfold check DATA."
        )
    return f"{_rate_advice(evidence)}; if that does not help, check labels and images: tenfold check DATA."


def rate_too_high(evidence: Evidence) -> Diagnosis | None:
    """The training loss ended no lower than that of a uniform prediction, or jumped up during training."""
    recipe, curve = evidence.recipe, evidence.loss_curve
    if recipe is None or evidence.num_classes < 2:
        return None
    rate = recipe.optim.lr
    if _ended_high(curve, evidence.uniform_loss):
        return Diagnosis(
            "rate-too-high",
            f"The training loss peaked at {loss_text(curve.max())} and ended at "
            f"{loss_text(last_part(curve, 0.25).mean())}, while a uniform prediction has "
            f"{loss_text(evidence.uniform_loss)}: the learning rate, {rate:g}, is too high.",
            f"Lower it: {_lower_rate(recipe)}{_or_warmup(recipe)}.",
        )
    point = _loss_jump(curve, evidence.uniform_loss)
    if point is None or recipe.data.pruning:  # pruning moves on to harder images, which raises the loss
        return None
    return Diagnosis(
        "rate-too-high",
        f"The training loss jumped from {loss_text(curve[:point].min())} to {loss_text(curve[point])} in epoch "
        f"{evidence.epoch_at((point + 0.5) / len(curve))}: the peak learning rate, {rate:g}, is too high.",
        f"Lower it: {_rate_flags(recipe, 1 / 3)}{_or_warmup(recipe)}.",
    )


def _ended_high(curve: Floats, uniform_loss: float) -> bool:
    """Returns whether the loss was far above `uniform_loss` and ended no lower.

    A loss that never moved, or was still falling, does not count: badly scaled initial weights start far above
    `uniform_loss` too, and stay there if the learning rate is too low.
    """
    if len(curve) < 2:
        return False
    end = last_part(curve, 0.25)
    before = curve[: -len(end)][-len(end) :].mean()
    last, has_moved = end.mean(), np.ptp(curve) > 0.02 * curve[0]
    is_high = last > 1.1 * uniform_loss or (curve.max() > 1.5 * uniform_loss and last > 0.95 * uniform_loss)
    return bool(is_high and has_moved and last > 0.9 * before)


def _loss_jump(curve: Floats, uniform_loss: float) -> int | None:
    """Returns the first point where the loss is far above its previous minimum, beyond noise; None if there is none.

    Progressive resizing, and augmentation that starts in the second epoch, raise the loss by a few percent. A short
    curve does not show its noise, so there only a loss far above `uniform_loss` counts.
    """
    lowest = np.minimum.accumulate(curve)[:-1]  # [n - 1], before each point
    later = curve[1:]  # [n - 1]
    jumps = (later > 1.5 * lowest) & (later > 1.5 * uniform_loss)
    if len(curve) >= 10:
        # the minimum of n noisy values is about √(2 ln n) standard deviations below their mean
        margin = (6 + math.sqrt(2 * math.log(len(curve)))) * noise_std(curve)
        jumps |= later > lowest + np.maximum(0.5 * lowest, max(margin, 0.1 * uniform_loss))
    has_recovered = curve[-1:] < lowest  # a small jump on the way to a lower loss did no harm
    jumps &= ~(has_recovered & (later < 0.5 * uniform_loss))
    points = np.flatnonzero(jumps) + 1
    points = points[points >= len(curve) // 5]
    return int(points[0]) if len(points) else None


def rate_too_low(evidence: Evidence) -> Diagnosis | None:
    """The training loss hardly moved, or was still falling steadily at the end without learning rate decay."""
    recipe, curve = evidence.recipe, evidence.loss_curve
    if recipe is None or evidence.num_classes < 2 or len(curve) < 2 or rate_too_high(evidence):
        return None
    rate = recipe.optim.lr
    first, last = first_part(curve, 0.1).mean(), last_part(curve, 0.1).mean()
    is_flat = abs(first - last) < 0.02 * first and last > 0.8 * evidence.uniform_loss
    if is_flat and evidence.num_steps >= 50 and _is_low(recipe):
        return _flat_loss(evidence, recipe, first, last)
    is_pruned = recipe.data.pruning > 0  # the loss falls at the end because the last images are easier
    is_low = last < 0.25 * evidence.uniform_loss
    if is_flat or is_pruned or is_low or not _falls_steadily(curve) or not _can_continue(evidence):
        return None
    quarters = [part.mean() for part in np.array_split(curve, 4)]
    return Diagnosis(
        "rate-too-low",
        f"The training loss was still falling steadily at the end: {loss_text(quarters[2])} in the third quarter of "
        f"the run, {loss_text(quarters[3])} in the last, at a learning rate of {rate:g}.",
        f"Train longer ({_twice_as_long(evidence, recipe)}), or raise the learning rate: {_rate_flags(recipe, 3)}.",
    )


def _flat_loss(evidence: Evidence, recipe: Recipe, first: float, last: float) -> Diagnosis:
    """Blames the learning rate alone only below the usual range: images of noise have a flat loss too."""
    cause, remedy = "is too low", f"Raise it: {_higher_rate(recipe)}."
    if _is_usual(recipe):
        cause += " for so few steps, or the images say nothing about their labels"
        remedy = (
            f"Train longer ({_twice_as_long(evidence, recipe)}), or raise the learning rate: {_rate_flags(recipe, 3)}; "
            "if neither helps, check labels and images: tenfold check DATA."
        )
    return Diagnosis(
        "rate-too-low",
        f"The training loss hardly moved in {plural(evidence.num_steps, 'step')}, from {first:.4g} to {last:.4g}: "
        f"the learning rate, {recipe.optim.lr:g}, {cause}.",
        remedy,
    )


def _falls_steadily(curve: Floats) -> bool:
    """Returns whether the loss fell in the last quarter at least half as fast as before, and beyond noise."""
    is_short = len(curve) < 8  # too short to show its noise
    if len(curve) < 4 or (is_short and np.diff(last_part(curve, 0.5)).max() >= 0):
        return False
    quarters = [part.mean() for part in np.array_split(curve, 4)]
    before, fall = quarters[1] - quarters[2], quarters[2] - quarters[3]
    error = noise_std(curve) * math.sqrt(8 / len(curve))  # of the difference of two means
    return bool(fall > max(0.03 * quarters[3], 4 * error, 0.5 * before))


def _can_continue(evidence: Evidence) -> bool:
    """Returns whether longer training may help: no learning rate decay, no reached target, no overfitting."""
    rates = [float(rate) for row in evidence.rows if (rate := row["lr"]) is not None]
    is_overfit = bool(evidence.num_test and (evidence.train_accuracy or 0.0) > evidence.interval[1] + 0.02)
    return bool(rates) and rates[-1] >= 0.5 * max(rates) and not evidence.stopped_itself and not is_overfit


def _usual_rates(recipe: Recipe) -> tuple[float, float]:
    return _USUAL_RATES.get(recipe.optim.name, _USUAL_ADAPTIVE_RATES)


def _is_usual(recipe: Recipe) -> bool:
    low, high = _usual_rates(recipe)
    return low <= recipe.optim.lr <= high


def _is_low(recipe: Recipe) -> bool:
    """Returns whether the learning rate is below the (logarithmic) middle of the usual range."""
    low, high = _usual_rates(recipe)
    return recipe.optim.lr < math.sqrt(low * high)


def _rate_advice(evidence: Evidence) -> str:
    if evidence.recipe is None:
        return "Try another learning rate (--lr)"
    if rate_too_high(evidence):
        return "Change the learning rate first"
    if rate_too_low(evidence):
        return f"{'Train longer, or change' if _is_usual(evidence.recipe) else 'Change'} the learning rate first"
    low, high = _usual_rates(evidence.recipe)
    higher = [_higher_rate(evidence.recipe)] * (evidence.recipe.optim.lr < high)
    lower = [_lower_rate(evidence.recipe)] * (evidence.recipe.optim.lr > low)
    options = [*higher, *lower] if _is_low(evidence.recipe) else [*lower, *higher]
    return f"Try another learning rate: {', or else '.join(options)}"


def _higher_rate(recipe: Recipe) -> str:
    """Returns the flags for ten times the learning rate, and at least the lowest usual one."""
    return _rate_flags(recipe, max(10.0, _usual_rates(recipe)[0] / recipe.optim.lr))


def _lower_rate(recipe: Recipe) -> str:
    """Returns the flags for a tenth of the learning rate, and at most a tenth of the highest usual one."""
    return _rate_flags(recipe, min(0.1, 0.1 * _usual_rates(recipe)[1] / recipe.optim.lr))


def _rate_flags(recipe: Recipe, factor: float) -> str:
    """Returns the flags for the learning rate times `factor`, such as `--lr 0.01 (now 0.1)`.

    The rate of Muon changes with it, unless `lr` is so unusual that it alone must be to blame.
    """
    optim = recipe.optim
    flags = f"--lr {optim.lr * factor:.2g}"
    if optim.name == "muon" and _is_usual(recipe):
        return f"{flags} --set optim.muon_lr={optim.muon_lr * factor:.2g} (now {optim.lr:g} and {optim.muon_lr:g})"
    return f"{flags} (now {optim.lr:g})"


def _or_warmup(recipe: Recipe) -> str:
    return "" if recipe.optim.warmup else ", or add warmup: --set optim.warmup=0.1"


def _twice_as_long(evidence: Evidence, recipe: Recipe) -> str:
    """Returns the flag for twice the duration; `train.min_steps` may have made the run longer than its duration."""
    if evidence.budget is not None:
        return f"a larger --budget, now {evidence.budget}"
    amount, unit = recipe.train.duration.amount, recipe.train.duration.unit
    if unit == "epochs":
        is_longer = recipe.train.min_steps and evidence.num_epochs > amount + 1
        amount = evidence.num_epochs if is_longer else amount
        return f"--epochs {2 * amount:g}, now {amount:g}"
    return f'--set train.duration="{2 * amount:g} {unit}", now {amount:g}'
