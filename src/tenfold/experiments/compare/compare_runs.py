"""Compares finished runs: where their recipes differ, and whether their results differ significantly.

Two runs are compared on the test images that both have, by McNemar's exact test; several tests are corrected by
Holm's method. Recipes that were run with several seeds are compared by their means, for new images and new seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np

from tenfold.evaluate.intervals import mean_and_std
from tenfold.evaluate.paired import holm, paired_difference
from tenfold.evaluate.settings import SeedResults, compare_settings
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
from tenfold.experiments.compare.shared_images import SharedImages, TestSplits

_MAX_ALL_PAIRS = 6  # of more runs, each is compared with the first only
_MAX_SETTINGS_LENGTH = 32
_SEED_KEY = "train.seed"
_KEYS_OF_BATCHES = ("data.augment.", "data.normalize", "data.pruning")  # they change batches, not the dataset


def compare_runs(runs: Sequence[ComparedRun], warnings: Sequence[str] = ()) -> Comparison:
    """Compares finished runs; see `Comparison`.

    Args:
        runs: two or more, with different names.
        warnings: to be part of the result.
    """
    differences = _recipe_differences(runs)
    splits = TestSplits(runs)
    comparable = splits.groups()
    groups = _seed_groups(runs, differences)
    shared = {run: images for run in runs[1:] if (images := splits.shared(runs[0], run)) is not None}
    same = shared if len(runs) == 2 else {run: found for run, found in shared.items() if splits.same(runs[0], run)}
    return Comparison(
        runs=tuple(runs),
        differences=differences,
        notes=tuple(filter(None, (*_test_notes(runs, splits), _training_note(comparable, differences)))),
        pairs=tuple(_run_pairs(splits, all_pairs=len(runs) <= _MAX_ALL_PAIRS)),
        unpaired=_unpaired_reason(comparable),
        groups=tuple(groups),
        group_pairs=tuple(_group_pairs(splits, groups, runs)),
        classes=tuple(_class_differences(runs[0], same)),
        disagreements=_disagreements(runs[0], runs[1], shared[runs[1]]) if len(runs) == 2 and shared else None,
        warnings=tuple(warnings),
    )


def _test_notes(runs: Sequence[ComparedRun], splits: TestSplits) -> tuple[str | None, ...]:
    """Returns what a reader should know of the test images: folds, overlaps, groups."""
    return _folds_note(runs), splits.overlap_note(), _group_note(runs)


def _recipe_differences(runs: Sequence[ComparedRun]) -> dict[str, tuple[object, ...]]:
    """Returns the dotted keys in which recipes differ, with one value per run; None for a missing key."""
    recipes = [run.settings for run in runs]
    keys = sorted({key for recipe in recipes for key in recipe})
    rows = {key: tuple(recipe.get(key) for recipe in recipes) for key in keys}
    chosen = rows["train.precision"]  # earlier versions recorded `auto`, which says nothing about the precision used
    if len(set(chosen) - {"auto"}) < 2:
        rows["train.precision"] = (chosen[0],) * len(runs)
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


def _group_pairs(splits: TestSplits, groups: Sequence[SeedGroup], runs: Sequence[ComparedRun]) -> list[GroupPair]:
    """Compares the groups with several seeds; see `compare_settings`."""
    repeated = [group for group in groups if group.std is not None]
    by_name = {run.name: run for run in runs}
    members = [[by_name[name] for name in group.runs] for group in repeated]
    same_images = all(splits.same(members[0][0], run) for group in members for run in group)
    results = [_seed_results(group, same_images=same_images) for group in members]
    indices = range(len(results))
    pairs = list(combinations(indices, 2)) if len(results) <= _MAX_ALL_PAIRS else [(0, i) for i in indices[1:]]
    return [
        GroupPair(
            repeated[pair.first].name, repeated[pair.second].name, pair.difference, pair.interval, pair.p, pair.p_holm
        )
        for pair in compare_settings(results, pairs)
    ]


def _seed_results(runs: Sequence[ComparedRun], *, same_images: bool) -> SeedResults:
    """Returns the accuracies of a group's runs; a second run with the same seed does not count."""
    of_seed: dict[int, ComparedRun] = {}
    for run in runs:
        of_seed.setdefault(run.seed, run)
    correct = np.mean([run.correct for run in of_seed.values()], axis=0) if same_images else None
    accuracies = {seed: run.accuracy for seed, run in of_seed.items()}
    return SeedResults(accuracies, min(len(run.true) for run in of_seed.values()), correct)


def _training_note(
    comparable: Sequence[Sequence[ComparedRun]], differences: dict[str, tuple[object, ...]]
) -> str | None:
    """Returns a sentence if runs with test images in common were prepared or trained with different data, or None."""
    if all(len({run.fingerprint for run in group}) == 1 for group in comparable):
        return None
    keys = [key for key in differences if key.startswith("data.") and not key.startswith(_KEYS_OF_BATCHES)]
    return f"the training data differ: {', '.join(keys) or 'images were added, removed or changed between the runs'}"


def _folds_note(runs: Sequence[ComparedRun]) -> str | None:
    """Returns a sentence about the runs that are cross-validations, or None."""
    names = [run.name for run in runs if run.folds]
    if not names:
        return None
    return (
        f"cross-validated: {_names_text(names)}; each image is predicted by the network that was not trained on it. "
        "The images of a fold share a network, and networks share training images, so p-values are approximate"
    )


def _group_note(runs: Sequence[ComparedRun]) -> str | None:
    """Returns a sentence that says which groups of images the runs know, and whether their splits share some."""
    by: dict[str, list[str]] = {}
    for run in runs:
        by.setdefault(run.grouped_by, []).append(run.name)
    if set(by) == {""}:
        return None
    if len(by) == 1:
        return f"groups of images in all runs: by {runs[0].grouped_by}"
    parts = [f"{_names_text(names)} by {rule}" if rule else f"{_names_text(names)} none" for rule, names in by.items()]
    return f"groups of images: {'; '.join(parts)}"


def _unpaired_reason(comparable: Sequence[Sequence[ComparedRun]]) -> str | None:
    if len(comparable) == 1:
        return None
    groups = [
        f"{_names_text([run.name for run in runs])} on {len(runs[0].true):,} of {runs[0].dataset} "
        f"({runs[0].fingerprint[:8]})"
        for runs in comparable
    ]
    return f"not paired because no test image is known to be the same: {'; '.join(groups)}"


def _names_text(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _run_pairs(splits: TestSplits, *, all_pairs: bool) -> list[RunPair]:
    candidates = (
        pair
        for runs in splits.groups()
        for pair in (combinations(runs, 2) if all_pairs else ((runs[0], other) for other in runs[1:]))
    )
    pairs = [(a, b, shared) for a, b in candidates if (shared := splits.shared(a, b)) is not None]
    results = [paired_difference(a.correct[shared.first], b.correct[shared.second]) for a, b, shared in pairs]
    corrected = holm([result.p for result in results])
    return [
        RunPair(**asdict(result), first=a.name, second=b.name, p_holm=p)
        for (a, b, _), result, p in zip(pairs, results, corrected, strict=True)
    ]


def _class_differences(first: ComparedRun, others: Mapping[ComparedRun, SharedImages]) -> list[ClassDifference]:
    """Compares each of the others with the first on the images that they share, class by class."""
    true, first_correct = np.array(first.true), first.correct
    differences = []
    for run, shared in others.items():
        correct = run.correct
        for name in sorted(set(true[shared.first].tolist())):
            in_class = true[shared.first] == name
            ours, theirs = first_correct[shared.first[in_class]], correct[shared.second[in_class]]
            result = paired_difference(ours, theirs)
            differences.append(
                ClassDifference(
                    run=run.name,
                    name=name,
                    num_images=result.total,
                    first_accuracy=float(ours.mean()),
                    accuracy=float(theirs.mean()),
                    difference=result.difference,
                    interval=result.interval,
                )
            )
    return sorted(differences, key=lambda row: -abs(row.difference))


def _disagreements(first: ComparedRun, second: ComparedRun, shared: SharedImages) -> Disagreements:
    ours, theirs = first.correct[shared.first], second.correct[shared.second]
    return Disagreements(
        tuple(shared.first[ours & ~theirs].tolist()),
        tuple(shared.first[theirs & ~ours].tolist()),
    )
