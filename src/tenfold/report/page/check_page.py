"""The page of `tenfold check`: findings, balance of the classes, and duplicates side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.core.text import printable
from tenfold.data.types import Dataset
from tenfold.inspect.duplicates import Pair
from tenfold.inspect.findings import Inspection
from tenfold.inspect.gallery import Picture
from tenfold.report.page.rendering import render
from tenfold.report.page.sprites import Sheet, sheet_of
from tenfold.report.tables.check_tables import effect_line, headline

_MOST_PAIRS = 60
_MOST_FLAT = 24
_MOST_CLASSES = 300
_MOST_FILES = 50
_SHEET_BYTES = 450_000


@dataclass(frozen=True)
class Section:
    """Pairs of one kind, the most similar first.

    Args:
        key: name of the section in the page.
        heading: of the section.
        text: what it means and what to do.
        total: pairs there are.
        pairs: those that are shown.
        sheet: their pictures: tile 2·i is the first of pair i, tile 2·i + 1 the second.
    """

    key: str
    heading: str
    text: str
    total: int
    pairs: tuple[Pair, ...]
    sheet: Sheet | None


@dataclass(frozen=True)
class Row:
    """A class in the table: its name, and for each split its number of pictures and their share of the largest."""

    name: str
    cells: tuple[tuple[int, float], ...]


def check_page(found: Inspection) -> str:
    """Returns the page as HTML that needs no network and takes 3 MB at most, whatever was found.

    Args:
        found: what `tenfold.check` returned.
    """
    return render(
        "check.html",
        found=found,
        headline=headline(found),
        effect=None if found.effect is None else effect_line(found.effect),
        rows=_rows(found),
        sections=_sections(found),
        flat=found.flat[:_MOST_FLAT],
        flat_sheet=_sheet(found.dataset, found.flat[:_MOST_FLAT]),
        unreadable=[(printable(one.path), printable(one.reason)) for one in found.unreadable[:_MOST_FILES]],
        printable=printable,
    )


def _rows(found: Inspection) -> list[Row]:
    counts = found.counts or {}
    largest = {split: max(1, *of_classes.values()) for split, of_classes in counts.items()}
    return [
        Row(printable(name), tuple((counts[split][name], counts[split][name] / largest[split]) for split in counts))
        for name in found.classes[:_MOST_CLASSES]
    ]


def _sections(found: Inspection) -> list[Section]:
    conflicts = [pair for pair in found.pairs if pair.conflict]
    across = [pair for pair in found.pairs if pair.across and not pair.conflict]
    within = [pair for pair in found.pairs if not pair.across and not pair.conflict]
    kinds = (
        ("conflicts", "One picture, two labels", "At most one of the labels is right.", conflicts),
        (
            "across",
            "In two splits",
            "Who learnt the one knows the other: an accuracy on them tells what was remembered. "
            "Take them out of one of the splits.",
            across,
        ),
        ("within", "Twice in one split", "Harmless where there are few; many of one kind weigh more.", within),
    )
    return [_section(found.dataset, *kind) for kind in kinds if kind[3]]


def _section(dataset: Dataset | None, key: str, heading: str, text: str, pairs: list[Pair]) -> Section:
    shown = tuple(pairs[:_MOST_PAIRS])
    pictures = [picture for pair in shown for picture in (pair.first, pair.second)]
    return Section(key, heading, text, len(pairs), shown, _sheet(dataset, pictures))


def _sheet(dataset: Dataset | None, pictures: Sequence[Picture]) -> Sheet | None:
    if dataset is None or not pictures:
        return None
    splits = dataset.splits()
    return sheet_of(np.stack([splits[one.split].images[one.index] for one in pictures]), _SHEET_BYTES)
