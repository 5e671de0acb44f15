"""Doctor rules on the test split: whether it holds enough images, and images that training has not seen."""

import math
from statistics import NormalDist

from tenfold.core.text import interval, percent, plural
from tenfold.report.doctor.evidence import Diagnosis, Evidence

_MAX_WIDTH = 0.05  # of the 95 % interval of the test accuracy
_FEWEST_IMAGES = 6
"""Images that a paired test needs: 6 that only one of two runs predicts correctly give p = 0.03 (McNemar, exact)."""

_FEW_IMAGES = 500
"""Fewer images are better cross-validated than split once."""

_MIN_DUPLICATES = 0.01  # of the test images
_MOST = 0.5

_Z = NormalDist().inv_cdf(0.975)


def near_duplicates(evidence: Evidence) -> Diagnosis | None:
    """Test images have a near duplicate in train, so the accuracy measures memory as well."""
    total, left = evidence.number("near_duplicates", "pictures"), evidence.number("near_duplicates", "left")
    if not total or left is None or total - left < _MIN_DUPLICATES * total:
        return None
    num_found = int(total - left)
    found = f"{num_found:,} of {plural(int(total), 'test image')} {'has' if num_found == 1 else 'have'}"
    sentence = f"{found} a near duplicate in train ({percent(num_found / total)}): {_without(evidence, int(left))}."
    if num_found > _MOST * total:
        sentence = (
            f"The test accuracy says little about new images: {found} a near duplicate in train, so it measures what "
            f"the network remembers; {_without(evidence, int(left))}."
        )
    return Diagnosis(
        "near-duplicates",
        sentence,
        "Keep images of one scene, person or video in one split: --group duplicates, or --group '(patient[0-9]+)' "
        "where file names say what belongs together. To see the pairs: tenfold check DATA.",
    )


def _without(evidence: Evidence, num_left: int) -> str:
    accuracy, found = evidence.number("near_duplicates", "test_accuracy"), evidence.summary["near_duplicates"]
    if not num_left or accuracy is None:
        return "no test image is left without them"
    bounds = interval(tuple(found["test_interval"]))
    return f"without them the accuracy is {percent(accuracy)} (95 % interval {bounds}) on {plural(num_left, 'image')}"


def wide_interval(evidence: Evidence) -> Diagnosis | None:
    """The test split is too small to know the accuracy well, or whether the target is reached."""
    if not evidence.num_test:
        return None
    low, high = evidence.interval
    target = evidence.number("target", "accuracy")
    if target is not None and low < target < high:
        return Diagnosis(
            "wide-interval",
            f"The target, {percent(target)}, lies within the 95 % interval of the test accuracy, "
            f"{interval(evidence.interval)}: {plural(evidence.num_test, 'test image')} cannot show whether it is "
            "reached.",
            f"Aim higher (--target {min(0.999, target + (high - low) / 2):.3g}), or use more test images: about "
            f"{_images_needed_text(evidence, 0.01)} for ±1 point.",
        )
    if high - low < _MAX_WIDTH:
        return None
    return Diagnosis(
        "wide-interval",
        f"With {plural(evidence.num_test, 'test image')} the 95 % interval of the accuracy is {100 * (high - low):.0f} "
        f"points wide ({interval(evidence.interval)}). {_smallest_difference(evidence.num_test)}",
        f"{_cross_validation(evidence)}Use about {_images_needed_text(evidence, 0.02)} test images for ±2 points, "
        f"{_images_needed_text(evidence, 0.01)} for ±1 point.{_larger_split(evidence)}",
    )


def _cross_validation(evidence: Evidence) -> str:
    """Returns the advice to cross-validate a small dataset, as a sentence; nothing for a large one or for a fold."""
    num_images = sum(evidence.number("dataset", "pictures", split) or 0 for split in ("train", "val", "test"))
    if not 0 < num_images < _FEW_IMAGES or (evidence.recipe is not None and evidence.recipe.data.folds):
        return ""
    counts = evidence.summary.get("dataset", {}).get("train_counts") or {}
    folds = min([5, *counts.values()])  # each fold needs an image of each class
    if folds < 2:
        return ""
    return (
        f"With {num_images:,.0f} images in all, let each of them be tested once: --folds {folds} (cross-validation). "
    )


def _smallest_difference(num_test: int) -> str:
    """Returns the smallest difference of two runs that can be significant, as a sentence."""
    if num_test < _FEWEST_IMAGES:
        return f"With fewer than {_FEWEST_IMAGES} test images no difference of two runs can be significant."
    points = f"{100 * _FEWEST_IMAGES / num_test:.1f}".removesuffix(".0")
    return (
        f"A difference of two runs on these images can be significant from {points} "
        f"points ({_FEWEST_IMAGES} images) on, as tenfold compare pairs them image by image."
    )


def _larger_split(evidence: Evidence) -> str:
    """Returns how to draw a larger test split; nothing where the source has one of its own."""
    if "near_duplicates" not in evidence.summary or evidence.recipe is None:  # unknown whether it was drawn
        return " If the test split is drawn at random, --set data.test_fraction makes it larger."
    found, fraction = evidence.summary["near_duplicates"], evidence.recipe.data.test_fraction
    if not found or not found.get("drawn"):
        return ""
    return f" A larger fraction can be drawn: --set data.test_fraction={min(0.5, 2 * fraction):g} (now {fraction:g})."


def _images_needed_text(evidence: Evidence, half_width: float) -> str:
    """Returns the number of test images for an interval of ± `half_width`, rounded up to two digits: `1,500`."""
    count = images_needed(sum(evidence.interval) / 2, half_width)
    digits = max(0, len(str(count)) - 2)
    return f"{-(-count // 10**digits) * 10**digits:,}"


def images_needed(accuracy: float, half_width: float) -> int:
    """Returns the number of test images that make a 95 % interval no wider than ± `half_width`.

    Args:
        accuracy: expected, in (0, 1).
        half_width: in (0, 1).

    Example:
        >>> images_needed(0.5, 0.02)
        2401
    """
    return math.ceil(accuracy * (1 - accuracy) * (_Z / half_width) ** 2)
