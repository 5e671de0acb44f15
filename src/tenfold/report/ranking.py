"""What a sweep may claim about its best setting, in sentences for the terminal and the page."""

import math

from tenfold.core.text import percent, plural
from tenfold.evaluate.settings import USUAL_STD, image_variance, seed_variance, seeds_needed
from tenfold.report.study import SettingResult, Study

_IMAGES = {"val": "validation images", "test": "test images"}
_SMALLEST_DIFFERENCE = 0.01  # smaller differences are rarely worth the seeds that they need


def ranking_lines(study: Study) -> list[str]:
    """Returns how the best setting was chosen, and whether it is significantly better than the others.

    Args:
        study: a sweep; with fewer than two settings with a result there is nothing to say.
    """
    if study.best is None or len(study.results) < 2:
        return []
    lines = [_choice(study, study.best)]
    if list(study.keys) == ["train.seed"]:
        return [*lines, "the runs differ only in their seed, so the best one is chance"]
    if study.num_seeds < 2:
        lines.append("one run each cannot tell settings from seeds")
    elif study.comparisons:
        lines.append(_verdict(study))
    if any(pair.within_noise for pair in study.comparisons) or study.num_seeds < 2:
        lines[-1] += _advice(study, study.best)
    return lines


def _choice(study: Study, best: SettingResult) -> str:
    line = f"best by {study.metric}: {_result_text(study, best)}"
    if study.split == "val":
        return line
    return f"{line}, chosen on these test images, so its accuracy is optimistic; data.val_fraction=0.1 avoids that"


def _verdict(study: Study) -> str:
    """Returns how many settings the best one is significantly better than."""
    pairs = sorted(study.comparisons, key=lambda pair: -pair.difference)
    noisy, count = [pair for pair in pairs if pair.within_noise], len(study.results)
    test = f"(5 % level, for {study.covers}, Holm's correction for {plural(count * (count - 1) // 2, 'pair')})"
    if not noisy:
        return f"it is significantly better than {_all_text(len(pairs))} {test}"
    closest = f"{_result_text(study, study.results[noisy[0].second])}, p = {noisy[0].p_holm:.2f}"
    if len(noisy) == len(pairs):
        others = "the other setting" if len(pairs) == 1 else f"any of the {len(pairs)} other settings"
        return f"it is not significantly better than {others}; the next best is {closest} {test}"
    return (
        f"it is significantly better than {len(pairs) - len(noisy)} of the {len(pairs)} other settings, "
        f"but not than {closest}{f', and {len(noisy) - 1} more' if len(noisy) > 1 else ''} {test}"
    )


def _all_text(count: int) -> str:
    return "the other setting" if count == 1 else f"all {count} other settings"


def _advice(study: Study, best: SettingResult) -> str:
    """Returns how many seeds would find the difference to the second best, or one point if that is more."""
    others = [result for result in study.results if result is not best]
    second = max(others, key=lambda result: result.mean)
    ours, theirs = best.seed_results, second.seed_results
    if ours is None or theirs is None:
        return ""
    difference = max(best.mean - second.mean, _SMALLEST_DIFFERENCE)
    settings = [known.accuracies for result in study.results if (known := result.seed_results) is not None]
    variance = seed_variance(settings)
    std = USUAL_STD if variance is None else math.sqrt(float(variance.pooled))
    of_images, are_known = image_variance(ours, theirs), ours.correct is not None and theirs.correct is not None
    of_runs, fixed = (of_images * best.spread.count, 0.0) if are_known else (0.0, of_images)
    needed = seeds_needed(difference, std, of_runs, len(study.results), fixed_variance=fixed)
    points = f"a difference of {100 * difference:.1f} points"
    if needed is None:
        return f". To find {points}, more than 100 seeds or more {_IMAGES[study.split]} are needed"
    needed = max(needed, study.num_seeds + 1)
    seeds = f"{needed} seeds of each are" if study.kind == "search" else f"--seeds {needed} is"
    origin = "assumed" if variance is None else "found"
    return f". To find {points}, at least {seeds} needed ({origin}: a std of {100 * std:.1f} points between seeds)"


def _result_text(study: Study, result: SettingResult) -> str:
    return f"{study.setting_text(result.settings)} ({percent(result.mean)})"
