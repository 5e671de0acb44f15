"""Doctor rules on generalization: overfitting, and validation against test accuracy."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from tenfold.core.text import percent, plural
from tenfold.recipes.schema import Recipe
from tenfold.report.doctor.evidence import Diagnosis, Evidence, Floats, loss_text, noise_std

_MIN_VALIDATIONS = 5
_MIN_GAP = 0.1
"""Minimum gap between training and test accuracy that counts as overfitting where no validation loss shows it."""

_MIN_DIFFERENCE = 0.05  # of validation and test accuracy

_Z = NormalDist().inv_cdf(0.975)


class _Validation(NamedTuple):
    """A row of `metrics.csv` with a validation loss, and the mean training loss since the previous one."""

    epoch: int
    val_loss: float
    val_accuracy: float | None
    train_loss: float


def over_fit(evidence: Evidence) -> Diagnosis | None:
    """The validation loss rose while the training loss kept falling, or training is far better than test accuracy."""
    validations = _validations(evidence)
    val_losses = np.array([row.val_loss for row in validations])
    lowest = _turning_point(val_losses, evidence.number("dataset", "pictures", "val"))
    if lowest is None or validations[-1].train_loss > 0.98 * validations[lowest].train_loss:
        return _far_below_training(evidence, is_validated=bool(validations))
    best, last = validations[lowest], validations[-1]
    effect, remedy = "", _stop_early(evidence, best.epoch)
    if best.val_accuracy is not None and last.val_accuracy is not None:
        effect = f"; validation accuracy went from {percent(best.val_accuracy)} to {percent(last.val_accuracy)}"
        if last.val_accuracy >= best.val_accuracy:  # stopping there would cost accuracy
            remedy = ""
            if last.val_accuracy >= 1.5 / evidence.num_classes:  # it did not hold at chance level
                effect += ", so only the probabilities became overconfident"
                remedy = _smooth_labels(evidence.recipe)
    return Diagnosis(
        "over-fit",
        f"Overfitting since epoch {best.epoch}: the validation loss rose from {loss_text(best.val_loss)} to "
        f"{loss_text(last.val_loss)} while the training loss fell from {loss_text(best.train_loss)} to "
        f"{loss_text(last.train_loss)}{effect}.",
        f"{remedy}{_augment_more(evidence.recipe)}.",
    )


def _validations(evidence: Evidence) -> list[_Validation]:
    validations: list[_Validation] = []
    train_losses: list[float] = []
    for row in evidence.rows:
        if not row["step"]:  # of a head alone, on images without augmentation
            continue
        train_losses += [] if row["train_loss"] is None else [float(row["train_loss"])]
        if row["val_loss"] is not None and train_losses:
            accuracy = None if row["val_accuracy"] is None else float(row["val_accuracy"])
            train_loss = float(np.mean(train_losses))
            validations.append(_Validation(int(row["epoch"] or 0), float(row["val_loss"]), accuracy, train_loss))
            train_losses = []
    return validations


def _turning_point(losses: Floats, num_images: float | None) -> int | None:
    """Returns the index of the lowest validation loss if the loss then rose by more than 3 % and more than noise.

    The minimum of n noisy values is about √(2 ln n) standard deviations below their mean. With few images the loss is
    noisier than its curve may show: the loss of a single image varies by about half its size.

    Args:
        losses: float64 [n].
        num_images: size of the validation split, if known.
    """
    if len(losses) < _MIN_VALIDATIONS:
        return None
    lowest = int(losses.argmin())
    after = losses[lowest + 1 :]
    if len(after) < 2:
        return None
    std = max(noise_std(losses), 0.5 * losses[lowest] / math.sqrt(num_images or math.inf))
    margin = max(0.03 * losses[lowest], (3 + math.sqrt(2 * math.log(len(losses)))) * std)
    level = after[-max(2, len(after) // 3) :].mean()
    return lowest if level > losses[lowest] + margin else None


def _far_below_training(evidence: Evidence, is_validated: bool) -> Diagnosis | None:
    """Compares training and test accuracy. A gap counts if it is large, and larger than the test split's noise."""
    accuracy, num_images = evidence.train_accuracy, evidence.number("dataset", "pictures", "train")
    if not evidence.num_test or accuracy is None or not num_images:
        return None
    margin = _Z * math.sqrt(accuracy * (1 - accuracy) / num_images)
    if accuracy - evidence.accuracy < _MIN_GAP or accuracy - margin <= evidence.interval[1]:
        return None
    timing = "the validation loss did not rise beyond its noise, so shorter training would not help"
    if not is_validated:
        timing = "to see when it starts, hold out a validation split: --set data.val_fraction=0.1"
    return Diagnosis(
        "over-fit",
        f"Overfitting: the training accuracy of epoch {evidence.evaluated_epoch} is {percent(accuracy)}, but the test "
        f"accuracy only {evidence.accuracy_text}.",
        f"{_augment_more(evidence.recipe)}; {timing}.",
    )


def _stop_early(evidence: Evidence, epoch: int) -> str:
    is_on = evidence.recipe is None or evidence.recipe.train.early_stop
    options = [f"--epochs {epoch}"] * (epoch > 1 and evidence.budget is None)
    options += ["early stopping: --set train.early_stop=2"] * (not is_on)
    return f"Stop there ({', or '.join(options)}). " if options else ""


def _smooth_labels(recipe: Recipe | None) -> str:
    if recipe is None or recipe.optim.label_smoothing:
        return ""
    return "Use label smoothing: --set optim.label_smoothing=0.1. "


def _augment_more(recipe: Recipe | None) -> str:
    """Returns flags for two augmentations the recipe does not use yet."""
    flags: list[str] = []
    if recipe is not None:
        augment, is_head = recipe.data.augment, recipe.train.layers == "head"  # which takes no mixed images
        options = (
            ("--set data.augment.flip=random", augment.flip != "none"),
            ("--set data.augment.shift=2", augment.shift or augment.crop),
            ("--set data.augment.mixup=0.2", augment.mixup or augment.cutmix or is_head),
        )
        flags = [flag for flag, is_used in options if not is_used][:2]
    return f"Use more augmentation ({' '.join(flags)}), or add training images" if flags else "Add training images"


def unlike_validation(evidence: Evidence) -> Diagnosis | None:
    """Validation and test accuracy differ significantly, and by enough to matter.

    The best of several validations was selected, so the p-value is multiplied by their number (Bonferroni).
    """
    validation, num_val = evidence.number("val_accuracy"), evidence.number("dataset", "pictures", "val")
    if validation is None or not num_val or not evidence.num_test:
        return None
    p = two_proportions_p(round(validation * num_val), int(num_val), evidence.num_correct, evidence.num_test)
    p = min(1.0, max(1, len(_validations(evidence))) * p)
    if p >= 0.01 or abs(validation - evidence.accuracy) < _MIN_DIFFERENCE:
        return None
    side = "below" if evidence.accuracy < validation else "above"
    return Diagnosis(
        "unlike-validation",
        f"Test accuracy, {evidence.accuracy_text}, is far {side} the validation accuracy, {percent(validation)} of "
        f"{plural(int(num_val), 'validation image')} ({'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}): the two splits "
        "hold different kinds of images, or one of them holds duplicates of training images.",
        "Look for duplicates and for differences: tenfold check DATA. If the validation split is drawn at random, try "
        "another draw: --set data.split_seed=1.",
    )


def two_proportions_p(first: int, first_total: int, second: int, second_total: int) -> float:
    """Returns the two-sided p-value that two proportions are equal, by the z-test with pooled variance.

    Args:
        first: successes, in [0, first_total].
        first_total: at least 1.
        second: successes, in [0, second_total].
        second_total: at least 1.

    Example:
        >>> round(two_proportions_p(30, 100, 50, 100), 4)
        0.0039
    """
    pooled = (first + second) / (first_total + second_total)
    variance = pooled * (1 - pooled) * (1 / first_total + 1 / second_total)
    if variance <= 0:
        return 1.0
    z = abs(first / first_total - second / second_total) / math.sqrt(variance)
    return 2 * (1 - NormalDist().cdf(z))
