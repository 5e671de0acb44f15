"""What `tenfold check` prints, as renderables; nothing is printed here."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tenfold.core.text import printable
from tenfold.inspect.findings import Effect, Finding, Inspection
from tenfold.report.tables.run_tables import Cell, listing, percent

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}
_MOST_CLASSES = 30


def headline(found: Inspection) -> str:
    """Returns what was looked at: name, pictures by split, classes, size, formats of the files."""
    counts = found.counts or {}
    parts = [f"{sum(of_classes.values()):,} {split}" for split, of_classes in counts.items()]
    pieces = [printable(found.name), " · ".join(parts), f"{len(found.classes):,} classes" if found.classes else ""]
    if found.image_size is not None:
        pieces.append(f"{found.image_size[1]}×{found.image_size[0]}")
    if found.survey is not None:
        pieces.append(", ".join(f"{count:,} {name}" for name, count in found.survey.formats.most_common()))
    return ", ".join(piece for piece in pieces if piece)


def balance_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Returns the pictures of each class by split; of very many classes the largest and the smallest.

    Args:
        counts: pictures by split and class.
    """
    splits = list(counts)
    names = list(counts[splits[0]])
    rows: list[list[Cell]] = [[name, *(counts[split][name] for split in splits)] for name in names]
    if len(rows) > _MOST_CLASSES:
        rows.sort(key=lambda row: -int(row[1] or 0))
        gap: list[Cell] = [f"… {len(rows) - 10:,} more", *([None] * len(splits))]
        rows = [*rows[:5], gap, *rows[-5:]]
    return listing(["class", *splits], rows)


def findings_table(findings: Sequence[Finding], examples: int = 3) -> Table:
    """Returns severity and sentence of each finding, with some names below it."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("severity")
    table.add_column("finding", overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.severity, _STYLES[finding.severity]), Text(printable(finding.sentence)))
        for name in finding.examples[:examples] if finding.rule not in _NAMED else ():
            table.add_row("", Text(f"  {printable(name)}", "dim"))
    return table


_NAMED = ("empty-class", "tiny-class", "lopsided")  # their sentences hold the names already


def effect_line(effect: Effect) -> str:
    """Returns a run's accuracy without and with the test pictures that have a duplicate in train.

    Example:
        >>> effect_line(Effect("first", 1000, 0.85, (0.826, 0.871), 960, 0.845, (0.821, 0.867)))
        'accuracy of first without them 84.5 % (95 % interval 82.1–86.7 %), with them 85.0 % (82.6–87.1 %)'
    """
    without = "– (no test picture is left)"
    if effect.accuracy_without is not None:
        low, high = effect.interval_without
        without = f"{percent(effect.accuracy_without)} (95 % interval {100 * low:.1f}–{100 * high:.1f} %)"
    low, high = effect.interval
    return (
        f"accuracy of {printable(effect.run)} without them {without}, "
        f"with them {percent(effect.accuracy)} ({100 * low:.1f}–{100 * high:.1f} %)"
    )
