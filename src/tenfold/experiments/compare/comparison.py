"""The result of comparing two or more runs."""

from dataclasses import asdict, dataclass
from typing import Any

from tenfold.core.text import interval, percent
from tenfold.evaluate.paired import SIGNIFICANCE_LEVEL, PairedDifference
from tenfold.experiments.compare.finished_runs import ComparedRun

_RUNS_IN_REPR = 3


@dataclass(frozen=True, kw_only=True)
class RunPair(PairedDifference):
    """Two runs on the test images that both have; `difference` is the accuracy of the second minus that of the first.

    Args:
        first: name of a run.
        second: name of another run.
        p_holm: `p`, corrected for the number of tested pairs.
    """

    first: str
    second: str
    p_holm: float

    @property
    def within_noise(self) -> bool:
        """Whether the difference is not significant: the corrected p-value is 0.05 or more."""
        return self.p_holm >= SIGNIFICANCE_LEVEL

    def to_json(self) -> dict[str, Any]:
        """Returns the fields and `within_noise`."""
        return asdict(self) | {"within_noise": self.within_noise}


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ only in their seed.

    Args:
        name: the settings that distinguish the group, or the name of its first run.
        runs: names of the runs.
        seeds: all different; a second run with the same seed does not count.
        mean: mean test accuracy over the seeds.
        std: sample standard deviation of the test accuracies; None for a single seed.
    """

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    mean: float
    std: float | None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields."""
        fields = asdict(self)
        fields["deviation"] = fields.pop("std")
        return fields


@dataclass(frozen=True)
class GroupPair:
    """Two recipes with at least two seeds each.

    Args:
        first: name of a group.
        second: name of another group.
        difference: mean accuracy of the second minus mean accuracy of the first.
        interval: its 95 % interval for new images and new seeds, see `evaluate.settings`.
        p: p-value of no difference.
        p_holm: `p`, corrected for the number of tested pairs.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float

    @property
    def within_noise(self) -> bool:
        """Whether the difference is not significant: the corrected p-value is 0.05 or more."""
        return self.p_holm >= SIGNIFICANCE_LEVEL

    def to_json(self) -> dict[str, Any]:
        """Returns the fields and `within_noise`."""
        return asdict(self) | {"within_noise": self.within_noise}


@dataclass(frozen=True)
class ClassDifference:
    """Accuracy of a run in one class, compared with the first run on the same test images.

    Args:
        run: its name.
        name: of the class.
        num_images: number of test images of the class, at least 1.
        first_accuracy: of the first run in this class.
        accuracy: of this run in this class.
        difference: the second minus the first.
        interval: its 95 % interval, see `paired_interval`.
    """

    run: str
    name: str
    num_images: int
    first_accuracy: float
    accuracy: float
    difference: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields."""
        fields = asdict(self)
        fields["pictures"] = fields.pop("num_images")
        return fields


@dataclass(frozen=True)
class Disagreements:
    """Images that only one of two runs predicted correctly, as indices in the test split of the first run.

    Args:
        only_first: images that only the first predicted correctly.
        only_second: images that only the second predicted correctly.
    """

    only_first: tuple[int, ...]
    only_second: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two or more runs.

    Args:
        runs: in the given order.
        differences: recipe values by dotted key, one per run, for the keys that differ; None where a recipe has none.
        notes: sentences about what paired runs do not share: test images, training data.
        pairs: runs with test images in common: all pairs of up to six runs, otherwise the first with each other run.
        unpaired: why some runs could not be paired, or None.
        groups: recipes, each with the runs that differ only in their seed.
        group_pairs: of groups with at least two seeds.
        classes: differences per class to the first run, largest first; of several runs only those with its test images.
        disagreements: of exactly two runs with test images in common, else None.
        warnings: sentences about runs that were left out.
    """

    runs: tuple[ComparedRun, ...]
    differences: dict[str, tuple[object, ...]]
    notes: tuple[str, ...]
    pairs: tuple[RunPair, ...]
    unpaired: str | None
    groups: tuple[SeedGroup, ...]
    group_pairs: tuple[GroupPair, ...]
    classes: tuple[ClassDifference, ...]
    disagreements: Disagreements | None
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        results = [(run.name, run.evaluation) for run in self.runs[:_RUNS_IN_REPR]]
        shown = [f"{name} {percent(result.accuracy)} ({interval(result.interval)})" for name, result in results]
        more = len(self.runs) - len(shown)
        return f"Comparison({', '.join([*shown, *([f'and {more} more'] if more else [])])})"

    def run_rows(self) -> list[dict[str, Any]]:
        """Returns a table row for each run; accuracies are in [0, 1]."""
        group_of = {run: group.name for group in self.groups for run in group.runs}
        return [_run_row(run, group_of[run.name]) for run in self.runs]

    def to_json(self) -> dict[str, Any]:
        """Returns plain lists, numbers, strings and None."""
        names = [run.name for run in self.runs]
        differences = {key: [json_value(value) for value in row] for key, row in self.differences.items()}
        return {
            "runs": self.run_rows(),
            "differences": {key: dict(zip(names, row, strict=True)) for key, row in differences.items()},
            "notes": list(self.notes),
            "pairs": [pair.to_json() for pair in self.pairs],
            "unpaired": self.unpaired,
            "groups": [group.to_json() for group in self.groups],
            "group_pairs": [pair.to_json() for pair in self.group_pairs],
            "classes": [row.to_json() for row in self.classes],
            "disagreements": None if self.disagreements is None else asdict(self.disagreements),
            "warnings": list(self.warnings),
        }


def _run_row(run: ComparedRun, group: str) -> dict[str, Any]:
    low, high = run.evaluation.interval
    return {
        "run": run.name,
        "path": str(run.path),
        "group": group,
        "seed": run.seed,
        "test_accuracy": run.accuracy,
        "test_low": low,
        "test_high": high,
        "correct": run.evaluation.correct,
        "total": run.evaluation.total,
        "val_accuracy": run.val_accuracy,
        "parameters": run.parameters,
        "steps": run.steps,
        "training_seconds": run.training_seconds,
        "total_seconds": run.total_seconds,
    }


def json_value(value: object) -> object:
    """Returns a recipe value as in JSON: a list for a tuple."""
    return list(value) if isinstance(value, tuple) else value
