"""What a comparison of runs shows on the screen and writes as CSV.

Rows are plain mappings with the names that the CSV files have as columns; shares are in [0, 1], and differences
appear in points, hundredths of a share.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tenfold.core.text import printable, shortened
from tenfold.report.tables.run_tables import Cell, listing, percent
from tenfold.runs.tables import write_csv

Row = Mapping[str, Any]

PAIR_COLUMNS = (
    *("first", "second", "difference", "interval", "only_first", "only_second", "total"),
    *("p", "p_holm", "within_noise"),
)
CLASS_COLUMNS = ("run", "name", "pictures", "first_accuracy", "accuracy", "difference", "interval")

_WIDEST = 8  # with more runs the screen shows recipes as lines, not columns
_CLASSES_SHOWN = 20


def points(difference: float | None) -> str:
    """Returns a difference of two shares in points, with its sign, or a dash for none.

    Example:
        >>> points(0.0125), points(-0.3), points(0.0)
        ('+1.25', '−30.00', '0.00')
    """
    if difference is None:
        return "–"
    text = f"{abs(difference) * 100:.2f}"
    return text if float(text) == 0 else f"{'+' if difference > 0 else '−'}{text}"


def p_value(p: float) -> str:
    """Returns a p-value with three decimals.

    Example:
        >>> p_value(0.3125), p_value(2e-9)
        ('0.312', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Returns printable names of `width` signs at most, or of more where they could not be told apart otherwise.

    Example:
        >>> distinct(["a-long-name-1", "a-long-name-2"], 8)
        ['a-lon…-1', 'a-lon…-2']
    """
    longest = max(map(len, names), default=0)
    while width < longest:
        short = [shortened(name, width) for name in names]
        if len(set(short)) == len(set(names)):
            return short
        width += 8
    return [printable(name) for name in names]


def differences_table(names: Sequence[str], differences: Mapping[str, Sequence[object]]) -> Table:
    """Returns the keys in which recipes differ, one column a run; with many runs one line a run.

    Args:
        names: of the runs.
        differences: values by key, one for each run.
    """
    columns = [[_setting(value) for value in row] for row in differences.values()]
    if len(names) > max(_WIDEST, len(differences)):
        return listing(
            ["run", *differences], [[name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True)]
        )
    return listing(["recipe", *names], [[key, *row] for key, row in zip(differences, columns, strict=True)])


def _setting(value: object) -> str | None:
    """Returns a value as TOML has it, but for quotes around words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(_setting(part)) for part in value)}]"
    return '""' if value == "" else None if value is None else str(value)


def runs_table(rows: Sequence[Row]) -> Table:
    """Returns a line for each run: accuracy with its interval, and what it took."""
    validated = any(row["val_accuracy"] is not None for row in rows)
    headings = ["run", "accuracy", "95 % interval", *(["validation"] if validated else [])]
    cells = [
        [
            row["run"],
            percent(row["test_accuracy"]),
            f"{row['test_low'] * 100:.1f}–{row['test_high'] * 100:.1f} %",
            *([percent(row["val_accuracy"])] if validated else []),
            row["parameters"],
            row["steps"],
            f"{row['training_seconds']:,.1f} s",
        ]
        for row in rows
    ]
    return _numbers([*headings, "parameters", "steps", "training"], cells)


def pairs_table(rows: Sequence[Row]) -> Table:
    """Returns a line for each pair: difference with its interval, pictures that only one got right, p, verdict."""
    several = len(rows) > 1
    headings = ["run", "against", "points", "95 % interval", "only it right", "only the other", "p"]
    cells = [
        [
            row["second"],
            row["first"],
            points(row["difference"]),
            interval_text(row["interval"]),
            row["only_second"],
            row["only_first"],
            p_value(row["p"]),
            *([p_value(row["p_holm"])] if several else []),
            verdict(row),
        ]
        for row in rows
    ]
    return _numbers([*headings, *(["p (Holm)"] if several else []), "verdict"], cells, words=2)


def groups_table(rows: Sequence[Row]) -> Table:
    """Returns a line for each recipe that was run with several seeds: mean ± standard deviation."""
    cells = [[row["name"], len(row["seeds"]), mean_text(row["mean"], row["deviation"])] for row in rows]
    return _numbers(["recipe", "seeds", "accuracy"], cells)


def group_pairs_table(rows: Sequence[Row]) -> Table:
    """Returns a line for each pair of recipes: difference of their means with its interval, verdict."""
    cells = [
        [row["second"], row["first"], points(row["difference"]), interval_text(row["interval"]), verdict(row)]
        for row in rows
    ]
    return _numbers(["recipe", "against", "points", "95 % interval", "verdict"], cells, words=2)


def classes_table(runs: Sequence[str], rows: Sequence[Row]) -> Table:
    """Returns the classes with the largest gains and losses: a column of points for each run.

    Args:
        runs: names; the others are compared with the first, and only as many are shown as fit.
        rows: of all classes and runs, largest difference first.
    """
    found = {(row["name"], row["run"]): row for row in rows}
    others = [run for run in runs[1:] if any(row["run"] == run for row in rows)][:_WIDEST]
    cells: list[list[Cell]] = []
    for name in list(dict.fromkeys(row["name"] for row in rows))[:_CLASSES_SHOWN]:
        own = found[name, others[0]]
        line: list[Cell] = [name, own["pictures"], percent(own["first_accuracy"])]
        line += [points(found[name, run]["difference"]) for run in others]
        cells.append([*line, interval_text(own["interval"])] if len(others) == 1 else line)
    headings = ["class", "pictures", runs[0], *others, *(["95 % interval"] if len(others) == 1 else [])]
    return _numbers(headings, cells)


def interval_text(interval: Sequence[float] | None) -> str:
    """Returns the ends of an interval of differences in points.

    Example:
        >>> interval_text((-0.01, 0.02))
        '−1.00 to +2.00'
    """
    return "–" if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def mean_text(mean: float, deviation: float | None) -> str:
    """Returns mean ± standard deviation of accuracies.

    Example:
        >>> mean_text(0.9412, 0.0021)
        '94.12 ± 0.21 %'
    """
    return f"{mean * 100:.2f} %" if deviation is None else f"{mean * 100:.2f} ± {deviation * 100:.2f} %"


def verdict(row: Row) -> str:
    """Returns what a pair of runs or recipes says, in one or two words."""
    return "within noise" if row["within_noise"] else "better" if row["difference"] > 0 else "worse"


def noise_warning(rows: Sequence[Row]) -> str | None:
    """Returns a sentence about the pairs of runs whose difference is within noise, or None where there is none."""
    noisy = [row for row in rows if row["within_noise"]]
    if not noisy:
        return None
    if len(rows) == 1:
        (row,) = rows
        return (
            f"within noise: p = {p_value(row['p'])}; {row['total']:,} test pictures do not tell which of the two "
            "is better; more of them, or several seeds, may"
        )
    return f"within noise: {len(noisy)} of {len(rows)} pairs; do not rank runs by differences that small"


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Writes CSV; the column `interval` becomes `low` and `high`, and other lists are written as on the screen.

    Args:
        path: of the new file.
        columns: in order; further keys of the rows are left out.
        rows: values by column.

    Raises:
        StorageError: when the disk refuses.
    """
    header = [name for column in columns for name in (("low", "high") if column == "interval" else (column,))]
    cells = ([cell for column in columns for cell in _csv_cells(column, row[column])] for row in rows)
    write_csv(path, [header, *cells])


def _csv_cells(column: str, value: Any) -> Sequence[object]:
    if column == "interval":
        return value or (None, None)
    return [_setting(value) if isinstance(value, bool | list | tuple) else value]


def _numbers(headings: Sequence[str], rows: Sequence[Sequence[Cell]], words: int = 1) -> Table:
    """Returns a listing whose columns after the first `words` are at the right."""
    table = listing(headings, rows)
    for column in table.columns[words:]:
        column.justify = "right"
    return table
