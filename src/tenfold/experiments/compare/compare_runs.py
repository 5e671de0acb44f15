"""Finished runs side by side: in what their recipes differ, and whether their results do.

Two runs are compared on the same test pictures by McNemar's exact test, several tests with Holm's correction.
Recipes that were run with several seeds are compared by their means, with Welch's interval.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np

from tenfold.evaluate.intervals import mean_and_deviation
from tenfold.evaluate.paired import holm, paired_difference
from tenfold.evaluate.spread import Estimate, difference_margin
from tenfold.experiments.compare.comparison import (
    ClassDifference,
    Comparison,
    Disagreements,
    Group,
    GroupPair,
    Pair,
    plain,
)
from tenfold.experiments.compare.gather import ComparedRun

_ALL_PAIRS = 6  # with more runs each is compared with the first only
_LONGEST_LABEL = 32
_SEED = "train.seed"


def compare(runs: Sequence[ComparedRun], warnings: Sequence[str] = ()) -> Comparison:
    """Compares finished runs; see `Comparison`.

    Args:
        runs: two or more, with different names.
        warnings: to hand on.
    """
    differences = recipe_differences(runs)
    testing_alike = _alike_in_test(runs)
    groups = seed_groups(runs, differences)
    beside_first = testing_alike[0][1:]
    return Comparison(
        runs=tuple(runs),
        differences=differences,
        pairs=tuple(_pairs(testing_alike, everyone=len(runs) <= _ALL_PAIRS)),
        unpaired=_why_unpaired(testing_alike),
        groups=tuple(groups),
        group_pairs=tuple(_group_pairs(groups)),
        classes=tuple(_class_differences(runs[0], beside_first)),
        disagreements=_disagreements(*runs) if len(runs) == 2 and beside_first else None,
        warnings=tuple(warnings),
    )


def recipe_differences(runs: Sequence[ComparedRun]) -> dict[str, tuple[object, ...]]:
    """Returns the values, one for each run, of the dotted keys in which recipes differ; None for a missing key."""
    recipes = [run.settings for run in runs]
    keys = sorted({key for recipe in recipes for key in recipe})
    rows = {key: tuple(recipe.get(key) for recipe in recipes) for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def seed_groups(runs: Sequence[ComparedRun], differences: dict[str, tuple[object, ...]]) -> list[Group]:
    """Returns the runs in groups that share recipe, network and data, and differ in nothing but the seed.

    Args:
        runs: see `compare`.
        differences: of their recipes.
    """
    keys = [key for key in differences if key != _SEED]
    members: dict[object, list[int]] = {}
    for place, run in enumerate(runs):
        own = tuple(repr(differences[key][place]) for key in keys)
        members.setdefault((own, run.fingerprint, run.parameters), []).append(place)
    settings = [_settings_text(differences, keys, places[0]) for places in members.values()]
    if None in settings or len(set(settings)) < len(settings):
        settings = [None] * len(settings)
    return [
        _group(text, [runs[place] for place in places]) for text, places in zip(settings, members.values(), strict=True)
    ]


def _settings_text(differences: dict[str, tuple[object, ...]], keys: Sequence[str], place: int) -> str | None:
    """Returns the settings of a run that set it apart, or None where they are many."""
    text = " ".join(f"{key.rpartition('.')[2]}={plain(differences[key][place])}" for key in keys)
    return text if 0 < len(text) <= _LONGEST_LABEL else None


def _group(name: str | None, runs: Sequence[ComparedRun]) -> Group:
    accuracies: dict[int, float] = {}
    for run in runs:
        accuracies.setdefault(run.seed, run.accuracy)
    mean, deviation = mean_and_deviation(list(accuracies.values()))
    if name is None:
        name = runs[0].name if deviation is None else f"{runs[0].name} ({len(accuracies)} seeds)"
    return Group(name, tuple(run.name for run in runs), tuple(accuracies), mean, deviation)


def _group_pairs(groups: Sequence[Group]) -> list[GroupPair]:
    known = [(group, group.deviation) for group in groups if group.deviation is not None]
    pairs = list(combinations(known, 2)) if len(known) <= _ALL_PAIRS else [(known[0], other) for other in known[1:]]
    found = []
    for (first, deviation), (second, other) in pairs:
        difference = second.mean - first.mean
        margin = difference_margin(_estimate(first, deviation), _estimate(second, other))
        interval = (difference - margin, difference + margin) if margin else None
        found.append(GroupPair(first.name, second.name, difference, interval))
    return found


def _estimate(group: Group, deviation: float) -> Estimate:
    count = len(group.seeds)
    return Estimate(group.mean, deviation / math.sqrt(count), count - 1)


def _alike_in_test(runs: Sequence[ComparedRun]) -> list[list[ComparedRun]]:
    """Returns the runs in lists that share their test pictures, in order; that of the first run comes first."""
    alike: dict[object, list[ComparedRun]] = {}
    for run in runs:
        alike.setdefault((run.fingerprint, run.pictures, run.true), []).append(run)
    return list(alike.values())


def _why_unpaired(testing_alike: Sequence[Sequence[ComparedRun]]) -> str | None:
    if len(testing_alike) == 1:
        return None
    sets = [
        f"{_few([run.name for run in runs])} on {len(runs[0].pictures):,} of {runs[0].data} ({runs[0].fingerprint[:8]})"
        for runs in testing_alike
    ]
    return f"not paired, because the test pictures or their splits differ: {'; '.join(sets)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _pairs(testing_alike: Sequence[Sequence[ComparedRun]], everyone: bool) -> list[Pair]:
    chosen = [
        pair
        for runs in testing_alike
        for pair in (combinations(runs, 2) if everyone else ((runs[0], other) for other in runs[1:]))
    ]
    right = {run.name: run.right for run in {id(run): run for pair in chosen for run in pair}.values()}
    results = [paired_difference(right[first.name], right[second.name]) for first, second in chosen]
    corrected = holm([result.p for result in results])
    return [
        Pair(**asdict(result), first=first.name, second=second.name, p_holm=p)
        for (first, second), result, p in zip(chosen, results, corrected, strict=True)
    ]


def _class_differences(first: ComparedRun, others: Sequence[ComparedRun]) -> list[ClassDifference]:
    true, right = np.array(first.true), first.right
    found = []
    for run in others:
        own = run.right
        for name in sorted(set(first.true)):
            here = true == name
            result = paired_difference(right[here], own[here])
            found.append(
                ClassDifference(
                    run=run.name,
                    name=name,
                    pictures=result.total,
                    first_accuracy=float(right[here].mean()),
                    accuracy=float(own[here].mean()),
                    difference=result.difference,
                    interval=result.interval,
                )
            )
    return sorted(found, key=lambda row: -abs(row.difference))


def _disagreements(first: ComparedRun, second: ComparedRun) -> Disagreements:
    ones, twos = first.right, second.right
    return Disagreements(
        tuple(np.flatnonzero(ones & ~twos).tolist()),
        tuple(np.flatnonzero(twos & ~ones).tolist()),
    )
