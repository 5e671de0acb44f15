"""Results of a dataset check, as plain values.

Severities: an `error` prevents training as intended; a `warning` makes a result worse, or makes it look better than
it is; a `note` is good to know.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from tenfold.data.duplicates.dataset_images import ImageRef
from tenfold.data.duplicates.search import DuplicatePair
from tenfold.data.types import Dataset, Leak, Skipped
from tenfold.inspect.file_survey import FileSurvey

_SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One problem, or one fact worth knowing.

    Args:
        severity: `error`, `warning` or `note`.
        rule: short name of the check: `unreadable`, `leak`, `conflict` …
        sentence: what was found, with its count.
        count: number of images, pairs or classes.
        examples: names of some of them.
    """

    severity: str
    rule: str
    sentence: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeakEffect:
    """Test accuracy of a run with and without the test images that have a duplicate in train.

    Args:
        run: run name.
        total: number of test images.
        accuracy: on all test images, in [0, 1].
        interval: its 95 % interval.
        kept: number of test images without a duplicate in train.
        accuracy_without: accuracy on those alone; None if there are none.
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
    """Everything the check knows about a dataset.

    Args:
        name: of the dataset.
        classes: class names in label order.
        counts: number of images by split and class.
        image_size: height and width after preparation; None if nothing could be prepared.
        findings: errors before warnings before notes.
        survey: formats, modes and sizes of the files; None for data without files, such as arrays.
        unreadable: image files that cannot be decoded, and why.
        skipped: other files that were ignored, and why.
        layout: how a folder or an archive was understood, and a drawing of its folders, one line each.
        pairs: exact and near duplicates, those across splits first.
        similar: pairs of similar photos by features, the most similar first; their likeness is the cosine.
        flat: images of a single color.
        leak: test images that have a duplicate in train.
        effect: of the leak on a run's accuracy, if a run was given.
        dataset: the prepared images; None if nothing could be prepared.
    """

    name: str
    classes: tuple[str, ...] = ()
    counts: dict[str, dict[str, int]] | None = None
    image_size: tuple[int, int] | None = None
    findings: tuple[Finding, ...] = ()
    survey: FileSurvey | None = None
    unreadable: tuple[Skipped, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    layout: tuple[str, ...] = ()
    pairs: tuple[DuplicatePair, ...] = ()
    similar: tuple[DuplicatePair, ...] = ()
    flat: tuple[ImageRef, ...] = ()
    leak: Leak | None = None
    effect: LeakEffect | None = None
    dataset: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """Returns everything except the images as plain values."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "counts": self.counts,
            "image_size": None if self.image_size is None else list(self.image_size),
            "findings": [asdict(finding) for finding in self.findings],
            "files": None if self.survey is None else self.survey.to_json(),
            "unreadable": [asdict(file) for file in self.unreadable],
            "skipped": [asdict(file) for file in self.skipped],
            "layout": list(self.layout),
            "pairs": [asdict(pair) | {"across": pair.across, "conflict": pair.conflict} for pair in self.pairs],
            "similar": [asdict(pair) | {"across": pair.across, "conflict": pair.conflict} for pair in self.similar],
            "one_colour": [asdict(image) for image in self.flat],
            "leak": None if self.leak is None else self.leak.to_json(),
            "effect": None if self.effect is None else asdict(self.effect),
        }


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns errors before warnings before notes, each in the given order."""
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))
