"""What an inspection found, as plain values.

Severities: an `error` keeps the data from being trained on as it is meant; a `warning` makes a result worse, or
look better than it is; a `note` is worth knowing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tenfold.data.types import Dataset, Skipped
from tenfold.inspect.duplicates import Leak, Pair
from tenfold.inspect.file_survey import Survey
from tenfold.inspect.gallery import Picture

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        severity: `error`, `warning` or `note`.
        rule: short name of what was looked for: `unreadable`, `leak`, `conflict` …
        sentence: what was found, with its number.
        count: of pictures, pairs or classes.
        examples: some names of them.
    """

    severity: str
    rule: str
    sentence: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """What a run's accuracy is worth without the test pictures that were learnt from.

    Args:
        run: name of its folder.
        total: test pictures.
        accuracy: on all of them, in [0, 1].
        interval: its 95 % interval.
        kept: test pictures without a twin in train.
        accuracy_without: on those alone; None where none is left.
        interval_without: its 95 % interval.
    """

    run: str
    total: int
    accuracy: float
    interval: tuple[float, float]
    kept: int
    accuracy_without: float | None
    interval_without: tuple[float, float]


@dataclass(frozen=True)
class Inspection:
    """Everything that is known of a dataset before training.

    Args:
        name: of the dataset.
        classes: names in the order of the labels.
        counts: pictures by split and class.
        image_size: height and width as prepared; None where nothing could be prepared.
        findings: errors before warnings before notes.
        survey: what the files are; None where there are none, as with arrays.
        unreadable: picture files that cannot be read, and why.
        skipped: other files that were passed over, and why.
        pairs: exact and near duplicates, across splits first.
        flat: pictures of one colour.
        leak: test pictures that have a twin in train.
        effect: on a run's accuracy, where a run was given.
        dataset: the pictures themselves; None where nothing could be prepared.
    """

    name: str
    classes: tuple[str, ...] = ()
    counts: dict[str, dict[str, int]] | None = None
    image_size: tuple[int, int] | None = None
    findings: tuple[Finding, ...] = ()
    survey: Survey | None = None
    unreadable: tuple[Skipped, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    pairs: tuple[Pair, ...] = ()
    flat: tuple[Picture, ...] = ()
    leak: Leak | None = None
    effect: Effect | None = None
    dataset: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """Returns plain values, all but the pictures themselves; raises nothing."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "counts": self.counts,
            "image_size": None if self.image_size is None else list(self.image_size),
            "findings": [_plain(finding) for finding in self.findings],
            "files": None if self.survey is None else self.survey.to_json(),
            "unreadable": [_plain(one) for one in self.unreadable],
            "skipped": [_plain(one) for one in self.skipped],
            "pairs": [_plain(pair) | {"across": pair.across, "conflict": pair.conflict} for pair in self.pairs],
            "one_colour": [_plain(picture) for picture in self.flat],
            "leak": None if self.leak is None else _plain(self.leak),
            "effect": None if self.effect is None else _plain(self.effect),
        }


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns errors before warnings before notes; otherwise as they are."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _plain(value: Finding | Skipped | Pair | Picture | Leak | Effect) -> dict[str, object]:
    return asdict(value)
