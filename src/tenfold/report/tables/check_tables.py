"""Tables and lines of `tenfold check`."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tenfold.core.text import interval, percent, printable, size_text
from tenfold.inspect.findings import Finding, Inspection, LeakEffect
from tenfold.report.tables.run_tables import Cell, listing

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}
_MAX_CLASSES = 30
_RULES_WITH_NAMES = ("empty-class", "tiny-class", "lopsided")
"""Rules whose sentence names the classes already."""


def headline(found: Inspection) -> str:
    """Returns a summary line: name, number of images by split, number of classes, image size, file formats.

    Where no file has that size, it is the one at which images were compared.
    """
    counts = found.counts or {}
    splits = [f"{sum(split_counts.values()):,} {split}" for split, split_counts in counts.items()]
    parts = [printable(found.name), " · ".join(splits), f"{len(found.classes):,} classes" if found.classes else ""]
    if found.image_size is not None:
        own_sizes = set() if found.survey is None else set(found.survey.sizes)
        of_photos = bool(own_sizes) and found.image_size not in own_sizes
        parts.append(("compared at " if of_photos else "") + size_text(found.image_size))
    if found.survey is not None:
        parts.append(", ".join(f"{count:,} {name}" for name, count in found.survey.formats.most_common()))
    return ", ".join(part for part in parts if part)


def balance_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Returns the number of images of each class by split; of many classes only the largest and the smallest.

    Args:
        counts: number of images by split and class.
    """
    splits = list(counts)
    names = list(counts[splits[0]])
    rows: list[list[Cell]] = [[name, *(counts[split][name] for split in splits)] for name in names]
    if len(rows) > _MAX_CLASSES:
        rows.sort(key=lambda row: -int(row[1] or 0))
        gap: list[Cell] = [f"… {len(rows) - 10:,} more", *([None] * len(splits))]
        rows = [*rows[:5], gap, *rows[-5:]]
    return listing(["class", *splits], rows)


def findings_table(findings: Sequence[Finding], num_examples: int = 3) -> Table:
    """Returns severity and sentence of each finding, with some examples below it."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("severity")
    table.add_column("finding", overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.severity, _STYLES[finding.severity]), Text(printable(finding.sentence)))
        for name in finding.examples[:num_examples] if finding.rule not in _RULES_WITH_NAMES else ():
            table.add_row("", Text(f"  {printable(name)}", "dim"))
    return table


def effect_line(effect: LeakEffect) -> str:
    """Returns a run's test accuracy without and with the test images that have a duplicate in train.

    Example:
        >>> effect_line(LeakEffect("first", 1000, 0.85, (0.826, 0.871), 960, 0.845, (0.821, 0.867)))
        'test accuracy of first without duplicates 84.5 % (95 % interval 82.1–86.7 %), with them 85.0 % (82.6–87.1 %)'
    """
    if effect.kept == effect.total:
        return (
            f"test accuracy of {printable(effect.run)} {percent(effect.accuracy)} "
            f"(95 % interval {interval(effect.interval)}); no test image has a duplicate in train"
        )
    without = "– (no test image is left)"
    if effect.accuracy_without is not None:
        without = f"{percent(effect.accuracy_without)} (95 % interval {interval(effect.interval_without)})"
    return (
        f"test accuracy of {printable(effect.run)} without duplicates {without}, "
        f"with them {percent(effect.accuracy)} ({interval(effect.interval)})"
    )
