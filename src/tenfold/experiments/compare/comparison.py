"""What is known about two or more runs beside one another."""

from dataclasses import asdict, dataclass
from typing import Any

from tenfold.evaluate.paired import PairedDifference
from tenfold.experiments.compare.gather import ComparedRun

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Pair(PairedDifference):
    """Two runs on the same test pictures; `difference` is the second's accuracy less the first's.

    Args:
        first: name of a run.
        second: name of another.
        p_holm: `p`, corrected for the number of pairs tested.
    """

    first: str
    second: str
    p_holm: float

    @property
    def within_noise(self) -> bool:
        """Whether chance alone explains such a difference easily: the corrected p-value is 0.05 or more."""
        return self.p_holm >= SIGNIFICANT


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed.

    Args:
        name: short: the settings that set the group apart, or its first run.
        runs: names of the runs.
        seeds: all different; a second run of one seed does not count.
        mean: of the test accuracies, one for each seed.
        deviation: their sample standard deviation, None for a single seed.
    """

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class GroupPair:
    """Two recipes with two or more seeds each.

    Args:
        first: name of a group.
        second: name of another.
        difference: mean accuracy of the second less that of the first.
        interval: its 95 % interval by Welch's t, for the spread between seeds; None where no seeds differ in result.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float] | None

    @property
    def within_noise(self) -> bool:
        """Whether the interval holds 0; True where there is none."""
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class ClassDifference:
    """How a run fares in one class against the first run, on the same test pictures.

    Args:
        run: its name.
        name: of the class.
        pictures: test pictures of the class, at least 1.
        first_accuracy: of the first run within the class.
        accuracy: of this run.
        difference: the second less the first.
        interval: its 95 % interval, see `paired_interval`.
    """

    run: str
    name: str
    pictures: int
    first_accuracy: float
    accuracy: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Disagreements:
    """Test pictures that only one of two runs got right, by their place in the test split."""

    only_first: tuple[int, ...]
    only_second: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that is known about two or more runs beside one another.

    Args:
        runs: in the order given.
        differences: values by dotted key in which the recipes differ, one for each run; None where a recipe has none.
        pairs: on the same test pictures: all of them up to six runs, else each with the first.
        unpaired: why some runs could not be paired, or None.
        groups: recipes, each with the runs that differ in nothing but the seed.
        group_pairs: of groups with two or more seeds.
        classes: gains and losses against the first run, largest first.
        disagreements: of two runs on the same test pictures, else None.
        warnings: sentences about runs that were left out.
    """

    runs: tuple[ComparedRun, ...]
    differences: dict[str, tuple[object, ...]]
    pairs: tuple[Pair, ...]
    unpaired: str | None
    groups: tuple[Group, ...]
    group_pairs: tuple[GroupPair, ...]
    classes: tuple[ClassDifference, ...]
    disagreements: Disagreements | None
    warnings: tuple[str, ...]

    def run_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each run: figures as columns, shares in [0, 1]."""
        group_of = {run: group.name for group in self.groups for run in group.runs}
        return [_run_row(run, group_of[run.name]) for run in self.runs]

    def to_json(self) -> dict[str, Any]:
        """Returns plain lists, numbers, texts and None."""
        names = [run.name for run in self.runs]
        differences = {key: [plain(value) for value in row] for key, row in self.differences.items()}
        return {
            "runs": self.run_rows(),
            "differences": {key: dict(zip(names, row, strict=True)) for key, row in differences.items()},
            "pairs": [asdict(pair) | {"within_noise": pair.within_noise} for pair in self.pairs],
            "unpaired": self.unpaired,
            "groups": [asdict(group) for group in self.groups],
            "group_pairs": [asdict(pair) | {"within_noise": pair.within_noise} for pair in self.group_pairs],
            "classes": [asdict(row) for row in self.classes],
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


def plain(value: object) -> object:
    """Returns a recipe's value as JSON has it: a list for a tuple."""
    return list(value) if isinstance(value, tuple) else value
