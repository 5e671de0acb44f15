"""The page of `tenfold check`: findings, class balance, and duplicates side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.core.text import printable
from tenfold.data.duplicates.dataset_images import ImageRef
from tenfold.data.duplicates.search import DuplicatePair
from tenfold.data.types import Dataset
from tenfold.inspect.findings import Inspection
from tenfold.report.page.rendering import render
from tenfold.report.page.sprites import SpriteSheet, sprite_sheet
from tenfold.report.tables.check_tables import effect_line, headline

_MAX_PAIRS = 60
_MAX_FLAT = 24
_MAX_CLASSES = 300
_MAX_FILES = 50
_SHEET_BYTES = 450_000


@dataclass(frozen=True)
class CheckSection:
    """Pairs of one kind, the most similar first.

    Args:
        key: id of the section in the page.
        heading: heading of the section.
        text: what such pairs mean and what to do.
        total: number of pairs found.
        pairs: pairs that are shown.
        sheet: their images: tile 2·i is the first of pair i, tile 2·i + 1 the second.
    """

    key: str
    heading: str
    text: str
    total: int
    pairs: tuple[DuplicatePair, ...]
    sheet: SpriteSheet | None


@dataclass(frozen=True)
class ClassBalance:
    """A row of the table of classes: per split the number of images, and that number relative to the largest class."""

    name: str
    cells: tuple[tuple[int, float], ...]


def check_page(found: Inspection) -> str:
    """Returns the page as self-contained HTML of at most 3 MB.

    Args:
        found: result of `tenfold.check`.
    """
    flat = found.flat[:_MAX_FLAT]
    return render(
        "check.html",
        found=found,
        headline=headline(found),
        effect=None if found.effect is None else effect_line(found.effect),
        balance=_balance(found),
        sections=_sections(found),
        flat=flat,
        flat_sheet=_sheet(found.dataset, flat),
        unreadable=[(printable(file.path), printable(file.reason)) for file in found.unreadable[:_MAX_FILES]],
    )


def _balance(found: Inspection) -> list[ClassBalance]:
    counts = found.counts or {}
    largest = {split: max(1, *of_classes.values()) for split, of_classes in counts.items()}
    return [
        ClassBalance(
            printable(name), tuple((counts[split][name], counts[split][name] / largest[split]) for split in counts)
        )
        for name in found.classes[:_MAX_CLASSES]
    ]


def _sections(found: Inspection) -> list[CheckSection]:
    conflicts = [pair for pair in found.pairs if pair.conflict]
    across = [pair for pair in found.pairs if pair.across and not pair.conflict]
    within = [pair for pair in found.pairs if not pair.across and not pair.conflict]
    kinds = (
        ("conflicts", "Same image, different labels", "At most one of the two labels is correct.", conflicts),
        (
            "across",
            "Duplicates across splits",
            "A network that trained on one image has memorized the other, so the accuracy is too high. "
            "Remove them from one of the splits.",
            across,
        ),
        (
            "within",
            "Duplicates within a split",
            "A few are harmless; many duplicates give an image a larger weight in training.",
            within,
        ),
        (
            "similar",
            "Similar photos",
            "Perhaps crops of one another, by the features of a pretrained network. Look at them: a test image that is "
            "a crop of a training image makes the accuracy too high.",
            list(found.similar),
        ),
    )
    return [_section(found.dataset, *kind) for kind in kinds if kind[3]]


def _section(dataset: Dataset | None, key: str, heading: str, text: str, pairs: list[DuplicatePair]) -> CheckSection:
    shown = tuple(pairs[:_MAX_PAIRS])
    images = [image for pair in shown for image in (pair.first, pair.second)]
    return CheckSection(key, heading, text, len(pairs), shown, _sheet(dataset, images))


def _sheet(dataset: Dataset | None, images: Sequence[ImageRef]) -> SpriteSheet | None:
    if dataset is None or not images:
        return None
    splits = dataset.splits()
    return sprite_sheet(np.stack([splits[image.split].images[image.index] for image in images]), _SHEET_BYTES)
