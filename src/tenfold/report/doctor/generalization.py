"""Whether what was learnt holds for other pictures, and how far the figures can be trusted."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from tenfold.recipes.schema import Recipe
from tenfold.report.doctor.evidence import Case, Finding, counted, loss_text, noise
from tenfold.report.tables.run_tables import percent

_JUDGED_AT_LEAST = 5
"""Judgements of the validation split from which a course can be told."""

_GAP = 0.1
"""How far above the test accuracy, all doubts deducted, a training accuracy must be that counts as learnt by heart."""

_UNLIKE = 0.05
"""Difference of validation and test accuracy from which it matters."""

_WIDE = 0.05
"""Width of the test accuracy's interval from which most changes of a recipe are lost in it."""

_Z = NormalDist().inv_cdf(0.975)


class _Judgement(NamedTuple):
    """A row of the log with a validation loss, and the training loss since the judgement before."""

    epoch: int
    val_loss: float
    val_accuracy: float | None
    train_loss: float


def over_fit(case: Case) -> Finding | None:
    """The validation loss rose from its minimum while the training loss went on falling."""
    judged = _judgements(case)
    if not judged:
        return _learnt_by_heart(case)
    lowest = _turning_point(np.array([row.val_loss for row in judged]), case.number("dataset", "pictures", "val"))
    if lowest is None or judged[-1].train_loss > 0.98 * judged[lowest].train_loss:
        return None
    then, end = judged[lowest], judged[-1]
    cost, held = "", False
    if then.val_accuracy is not None and end.val_accuracy is not None:
        held = end.val_accuracy >= max(then.val_accuracy, 1.5 / case.classes)  # and not by chance
        cost = f"; its accuracy went from {percent(then.val_accuracy)} to {percent(end.val_accuracy)}"
        cost += ", so it is the probabilities that became too sure" if held else ""
    return Finding(
        "over-fit",
        f"Over-fit since epoch {then.epoch}: the validation loss rose from {loss_text(then.val_loss)} to "
        f"{loss_text(end.val_loss)} while the training loss fell from {loss_text(then.train_loss)} to "
        f"{loss_text(end.train_loss)}{cost}.",
        f"{_soften(case.recipe) if held else _stop(case.recipe, then.epoch)}{_more_variety(case.recipe)}.",
    )


def _judgements(case: Case) -> list[_Judgement]:
    judged: list[_Judgement] = []
    losses: list[float] = []
    for row in case.rows:
        losses += [] if row["train_loss"] is None else [float(row["train_loss"])]
        if row["val_loss"] is not None and losses:
            accuracy = None if row["val_accuracy"] is None else float(row["val_accuracy"])
            judged.append(_Judgement(int(row["epoch"] or 0), float(row["val_loss"]), accuracy, float(np.mean(losses))))
            losses = []
    return judged


def _turning_point(losses: np.ndarray, pictures: float | None) -> int | None:
    """Returns where the validation loss was lowest, if it rose from there by more than noise and 3 %.

    The lowest of n noisy values lies about √(2 ln n) deviations below their mean, which is allowed for. Few pictures
    make the loss noisier than its own course may show: a picture's loss changes by about half its size.

    Args:
        losses: float [n].
        pictures: in the validation split, where known.
    """
    lowest = int(losses.argmin())
    after = losses[lowest + 1 :]
    if len(losses) < _JUDGED_AT_LEAST or len(after) < 2:
        return None
    deviation = max(noise(losses), 0.5 * losses[lowest] / math.sqrt(pictures or math.inf))
    margin = max(0.03 * losses[lowest], (3 + math.sqrt(2 * math.log(len(losses)))) * deviation)
    level = after[-max(2, len(after) // 3) :].mean()
    return lowest if level > losses[lowest] + margin else None


def _learnt_by_heart(case: Case) -> Finding | None:
    """Judges by the test pictures where there are no validation pictures."""
    learnt, pictures = case.train_accuracy, case.number("dataset", "pictures", "train")
    if not case.total or learnt is None or not pictures:
        return None
    doubt = _Z * math.sqrt(learnt * (1 - learnt) / pictures)
    if learnt - doubt < case.interval[1] + _GAP:
        return None
    return Finding(
        "over-fit",
        f"Over-fit: {percent(learnt)} of the training pictures were right in the last epoch, but only {case.test}.",
        f"{_more_variety(case.recipe)}; to see since when, set some apart: --set data.val_fraction=0.1.",
    )


def _stop(recipe: Recipe | None, epoch: int) -> str:
    """Returns how to stop before the accuracy falls."""
    by_itself = (
        "" if recipe is None or recipe.train.early_stop else " or let it stop by itself (--set train.early_stop=2)"
    )
    return f"Stop there (--epochs {epoch}){by_itself}. " if epoch > 1 else ""


def _soften(recipe: Recipe | None) -> str:
    """Returns how to keep probabilities from becoming too sure."""
    if recipe is None or recipe.optim.label_smoothing:
        return ""
    return "Ask for less certainty: --set optim.label_smoothing=0.1. "


def _more_variety(recipe: Recipe | None) -> str:
    """Returns how to make the training pictures harder to learn by heart, by what is not done yet."""
    augment = None if recipe is None else recipe.data.augment
    ways = (
        []
        if augment is None
        else [
            flag
            for flag, used in (
                ("data.augment.flip=random", augment.flip != "none"),
                ("data.augment.shift=2", augment.shift),
                ("data.augment.mixup=0.2", augment.mixup or augment.cutmix),
            )
            if not used
        ]
    )
    flags = " ".join(f"--set {flag}" for flag in ways[:2])
    return (
        f"Vary the training pictures more ({flags}), or bring more of them" if flags else "Bring more training pictures"
    )


def unlike_validation(case: Case) -> Finding | None:
    """Validation and test accuracy differ by more than chance, and by enough to matter.

    The best of several judgements was picked, so the p-value is multiplied by their number (Bonferroni).
    """
    validation, pictures = case.number("val_accuracy"), case.number("dataset", "pictures", "val")
    if validation is None or not pictures or not case.total:
        return None
    judged = max(1, len(_judgements(case)))
    p = min(1.0, judged * two_shares(round(validation * pictures), int(pictures), case.correct, case.total))
    if p >= 0.01 or abs(validation - case.accuracy) < _UNLIKE:
        return None
    side = "below" if case.accuracy < validation else "above"
    certainty = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return Finding(
        "unlike-validation",
        f"Accuracy, {case.test}, is far {side} the {percent(validation)} of "
        f"{counted(int(pictures), 'validation picture')} ({certainty}): the two splits hold different kinds of "
        "pictures, or one of them holds copies of training pictures.",
        "Look for copies, and for what differs: tenfold check DATA; where the validation split was drawn, try another "
        "draw: --set data.split_seed=1.",
    )


def two_shares(first: int, total_first: int, second: int, total_second: int) -> float:
    """Returns the two-sided p-value that two shares are equal, by the z-test with a pooled variance.

    Args:
        first: successes, in [0, total_first].
        total_first: at least 1.
        second: successes, in [0, total_second].
        total_second: at least 1.

    Example:
        >>> round(two_shares(30, 100, 50, 100), 4)
        0.0039
    """
    pooled = (first + second) / (total_first + total_second)
    variance = pooled * (1 - pooled) * (1 / total_first + 1 / total_second)
    if variance <= 0:
        return 1.0
    z = abs(first / total_first - second / total_second) / math.sqrt(variance)
    return 2 * (1 - NormalDist().cdf(z))


def wide_interval(case: Case) -> Finding | None:
    """Few test pictures leave the accuracy so uncertain that most gains, or reaching a target, cannot be seen."""
    if not case.total:
        return None
    low, high = case.interval
    target = case.number("target", "accuracy")
    if target is not None and low < target < high:
        return Finding(
            "wide-interval",
            f"The target, {percent(target)}, lies within the 95 % interval of the test accuracy, {100 * low:.1f}–"
            f"{100 * high:.1f} %: {counted(case.total, 'test picture')} cannot tell whether it is really reached.",
            f"To be sure of it aim higher (--target {min(0.999, target + (high - low) / 2):.3g}), "
            f"or judge by more pictures: about {_needed(case, 0.01)} tell it to ±1 point.",
        )
    if high - low < _WIDE:
        return None
    points = 100 * (high - low)
    return Finding(
        "wide-interval",
        f"With {counted(case.total, 'test picture')} the 95 % interval is {points:.0f} points wide ({100 * low:.1f}–"
        f"{100 * high:.1f} %): improvements of less than that cannot be seen.",
        f"For ±2 points about {_needed(case, 0.02)} test pictures are needed, for ±1 point {_needed(case, 0.01)}; "
        "where the test split is drawn, --set data.test_fraction takes a larger share.",
    )


def _needed(case: Case, half: float) -> str:
    """Returns how many pictures make the interval ±`half`, in two significant digits: `about 1,500`."""
    count = pictures_needed(sum(case.interval) / 2, half)
    digits = max(0, len(str(count)) - 2)
    return f"{-(-count // 10**digits) * 10**digits:,}"


def pictures_needed(share: float, half: float) -> int:
    """Returns how many pictures make a 95 % interval about `share` no wider than ± `half`.

    Args:
        share: expected accuracy, in (0, 1).
        half: of the width, in (0, 1).

    Example:
        >>> pictures_needed(0.5, 0.02)
        2401
    """
    return math.ceil(share * (1 - share) * (_Z / half) ** 2)
