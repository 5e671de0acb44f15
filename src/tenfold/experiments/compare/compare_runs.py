"""Compares finished runs: where their recipes differ, and whether their results differ significantly.

Two runs are compared on the same test images by McNemar's exact test; several tests are corrected by Holm's method.
Recipes that were run with several seeds are compared by their means, with Welch's interval.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np

from tenfold.evaluate.intervals import mean_and_std
from tenfold.evaluate.paired import holm, paired_difference
from tenfold.evaluate.spread import Estimate, difference_margin
from tenfold.experiments.compare.comparison import (
    ClassDifference,
    Comparison,
    Disagreements,
    GroupPair,
    RunPair,
    SeedGroup,
    json_value,
)
from tenfold.experiments.compare.finished_runs import ComparedRun

_MAX_ALL_PAIRS = 6  # of more runs, each is compared with the first only
_MAX_SETTINGS_LENGTH = 32
_SEED_KEY = "train.seed"


def compare_runs(runs: Sequence[ComparedRun], warnings: Sequence[str] = ()) -> Comparison:
    """Compares finished runs; see `Comparison`.

    Args:
        runs: two or more, with different names.
        warnings: to be part of the result.
    """
    differences = _recipe_differences(runs)
    same_test_sets = _group_by_test_set(runs)
    groups = _seed_groups(runs, differences)
    others = same_test_sets[0][1:]  # runs with the test images of the first run
    return Comparison(
        runs=tuple(runs),
        differences=differences,
        pairs=tuple(_run_pairs(same_test_sets, all_pairs=len(runs) <= _MAX_ALL_PAIRS)),
        unpaired=_unpaired_reason(same_test_sets),
        groups=tuple(groups),
        group_pairs=tuple(_group_pairs(groups)),
        classes=tuple(_class_differences(runs[0], others)),
        disagreements=_disagreements(*runs) if len(runs) == 2 and others else None,
        warnings=tuple(warnings),
    )


def _recipe_differences(runs: Sequence[ComparedRun]) -> dict[str, tuple[object, ...]]:
    """Returns the dotted keys in which recipes differ, with one value per run; None for a missing key."""
    recipes = [run.settings for run in runs]
    keys = sorted({key for recipe in recipes for key in recipe})
    rows = {key: tuple(recipe.get(key) for recipe in recipes) for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _seed_groups(runs: Sequence[ComparedRun], differences: dict[str, tuple[object, ...]]) -> list[SeedGroup]:
    """Groups runs with the same recipe, network and data, which differ only in their seed."""
    keys = [key for key in differences if key != _SEED_KEY]
    members: dict[object, list[int]] = {}
    for index, run in enumerate(runs):
        values = tuple(repr(differences[key][index]) for key in keys)
        members.setdefault((values, run.fingerprint, run.parameters), []).append(index)
    settings = [_settings_text(differences, keys, indices[0]) for indices in members.values()]
    if None in settings or len(set(settings)) < len(settings):
        settings = [None] * len(settings)
    return [
        _seed_group(text, [runs[index] for index in indices])
        for text, indices in zip(settings, members.values(), strict=True)
    ]


def _settings_text(differences: dict[str, tuple[object, ...]], keys: Sequence[str], index: int) -> str | None:
    """Returns the settings that distinguish a run, or None if the text would be empty or long."""
    text = " ".join(f"{key.rpartition('.')[2]}={json_value(differences[key][index])}" for key in keys)
    return text if 0 < len(text) <= _MAX_SETTINGS_LENGTH else None


def _seed_group(name: str | None, runs: Sequence[ComparedRun]) -> SeedGroup:
    accuracies: dict[int, float] = {}  # by seed
    for run in runs:
        accuracies.setdefault(run.seed, run.accuracy)
    mean, std = mean_and_std(list(accuracies.values()))
    if name is None:
        name = runs[0].name if std is None else f"{runs[0].name} ({len(accuracies)} seeds)"
    return SeedGroup(name, tuple(run.name for run in runs), tuple(accuracies), mean, std)


def _group_pairs(groups: Sequence[SeedGroup]) -> list[GroupPair]:
    estimates = [
        (group.name, Estimate(group.mean, group.std / math.sqrt(len(group.seeds)), len(group.seeds) - 1))
        for group in groups
        if group.std is not None
    ]
    all_pairs = len(estimates) <= _MAX_ALL_PAIRS
    pairs = combinations(estimates, 2) if all_pairs else ((estimates[0], other) for other in estimates[1:])
    group_pairs = []
    for (first, a), (second, b) in pairs:
        difference, margin = b.value - a.value, difference_margin(a, b)
        interval = (difference - margin, difference + margin) if margin else None
        group_pairs.append(GroupPair(first, second, difference, interval))
    return group_pairs


def _group_by_test_set(runs: Sequence[ComparedRun]) -> list[list[ComparedRun]]:
    """Groups runs with the same test images, in order; the group of the first run comes first."""
    groups: dict[object, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault((run.fingerprint, run.image_names, run.true), []).append(run)
    return list(groups.values())


def _unpaired_reason(same_test_sets: Sequence[Sequence[ComparedRun]]) -> str | None:
    if len(same_test_sets) == 1:
        return None
    groups = [
        f"{_names_text([run.name for run in runs])} on {len(runs[0].true):,} of {runs[0].dataset} "
        f"({runs[0].fingerprint[:8]})"
        for runs in same_test_sets
    ]
    return f"not paired because the test images or their splits differ: {'; '.join(groups)}"


def _names_text(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _run_pairs(same_test_sets: Sequence[Sequence[ComparedRun]], *, all_pairs: bool) -> list[RunPair]:
    pairs = [
        pair
        for runs in same_test_sets
        for pair in (combinations(runs, 2) if all_pairs else ((runs[0], other) for other in runs[1:]))
    ]
    correct = {run.name: run.correct for runs in same_test_sets for run in runs}
    results = [paired_difference(correct[first.name], correct[second.name]) for first, second in pairs]
    corrected = holm([result.p for result in results])
    return [
        RunPair(**asdict(result), first=first.name, second=second.name, p_holm=p)
        for (first, second), result, p in zip(pairs, results, corrected, strict=True)
    ]


def _class_differences(first: ComparedRun, others: Sequence[ComparedRun]) -> list[ClassDifference]:
    true, first_correct = np.array(first.true), first.correct
    differences = []
    for run in others:
        correct = run.correct
        for name in sorted(set(first.true)):
            in_class = true == name
            result = paired_difference(first_correct[in_class], correct[in_class])
            differences.append(
                ClassDifference(
                    run=run.name,
                    name=name,
                    num_images=result.total,
                    first_accuracy=float(first_correct[in_class].mean()),
                    accuracy=float(correct[in_class].mean()),
                    difference=result.difference,
                    interval=result.interval,
                )
            )
    return sorted(differences, key=lambda row: -abs(row.difference))


def _disagreements(first: ComparedRun, second: ComparedRun) -> Disagreements:
    return Disagreements(
        tuple(np.flatnonzero(first.correct & ~second.correct).tolist()),
        tuple(np.flatnonzero(second.correct & ~first.correct).tolist()),
    )
