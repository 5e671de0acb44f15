"""Tables of a comparison of runs, and its CSV files.

Rows are mappings with the column names of the CSV files. Accuracies are in [0, 1]; differences are shown in points.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tenfold.core.text import interval, mean_text, percent, printable, shortened
from tenfold.report.tables.run_tables import Cell, listing
from tenfold.runs.tables import write_csv

Row = Mapping[str, Any]

PAIR_COLUMNS = (
    *("first", "second", "difference", "interval", "only_first", "only_second", "total"),
    *("p", "p_holm", "within_noise"),
)
CLASS_COLUMNS = ("run", "name", "pictures", "first_accuracy", "accuracy", "difference", "interval")

_MAX_RUN_COLUMNS = 8
_MAX_CLASSES = 20


def points(difference: float | None) -> str:
    """Returns a difference of two accuracies in points, with its sign, or a dash for None.

    Example:
        >>> points(0.0125), points(-0.3), points(0.0)
        ('+1.25', '−30.00', '0.00')
    """
    if difference is None:
        return "–"
    text = f"{abs(difference) * 100:.2f}"
    return text if float(text) == 0 else f"{'+' if difference > 0 else '−'}{text}"


def points_interval(bounds: Sequence[float] | None) -> str:
    """Returns an interval of differences in points, or a dash for None.

    Example:
        >>> points_interval((-0.01, 0.02))
        '−1.00 to +2.00'
    """
    return "–" if bounds is None else f"{points(bounds[0])} to {points(bounds[1])}"


def p_value(p: float) -> str:
    """Returns a p-value with three decimals.

    Example:
        >>> p_value(0.3125), p_value(2e-9)
        ('0.312', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Returns printable names of at most `width` characters, or of more where needed to keep them different.

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
    """Returns the keys in which the recipes differ, one column for each run; for many runs one line for each.

    Args:
        names: of the runs.
        differences: values by key, one for each run.
    """
    columns = [[_value_text(value) for value in values] for values in differences.values()]
    if len(names) > max(_MAX_RUN_COLUMNS, len(differences)):
        rows = zip(names, zip(*columns, strict=True), strict=True)
        return listing(["run", *differences], [[name, *row] for name, row in rows])
    return listing(["recipe", *names], [[key, *row] for key, row in zip(differences, columns, strict=True)])


def _value_text(value: object) -> str | None:
    """Returns a value as in TOML, without quotation marks around words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(_value_text(item)) for item in value)}]"
    return '""' if value == "" else None if value is None else str(value)


def runs_table(rows: Sequence[Row]) -> Table:
    """Returns accuracy with its interval, parameters, steps and training time of each run."""
    has_validation = any(row["val_accuracy"] is not None for row in rows)
    cells = [
        [
            row["run"],
            percent(row["test_accuracy"]),
            interval((row["test_low"], row["test_high"])),
            *([percent(row["val_accuracy"])] if has_validation else []),
            row["parameters"],
            row["steps"],
            f"{row['training_seconds']:,.1f} s",
        ]
        for row in rows
    ]
    headings = ["run", "test accuracy", "95 % interval", *(["val accuracy"] if has_validation else [])]
    return listing([*headings, "parameters", "steps", "training"], cells, text_columns=1)


def pairs_table(rows: Sequence[Row]) -> Table:
    """Returns the paired comparison of each two runs: difference, images only one got right, p-value, verdict."""
    has_several = len(rows) > 1
    cells = [
        [
            row["second"],
            row["first"],
            points(row["difference"]),
            points_interval(row["interval"]),
            row["only_second"],
            row["only_first"],
            p_value(row["p"]),
            *([p_value(row["p_holm"])] if has_several else []),
            verdict(row),
        ]
        for row in rows
    ]
    headings = ["run", "compared with", "points", "95 % interval", "only run right", "only other right", "p"]
    return listing([*headings, *(["p (Holm)"] if has_several else []), "verdict"], cells, text_columns=2)


def groups_table(rows: Sequence[Row]) -> Table:
    """Returns mean ± standard deviation of each recipe with several seeds."""
    cells = [[row["name"], len(row["seeds"]), mean_text(row["mean"], row["deviation"], decimals=2)] for row in rows]
    return listing(["recipe", "seeds", "test accuracy"], cells, text_columns=1)


def group_pairs_table(rows: Sequence[Row]) -> Table:
    """Returns the comparison of each two recipes: difference of their means with its interval, verdict."""
    cells = [
        [row["second"], row["first"], points(row["difference"]), points_interval(row["interval"]), verdict(row)]
        for row in rows
    ]
    return listing(["recipe", "compared with", "points", "95 % interval", "verdict"], cells, text_columns=2)


def classes_table(runs: Sequence[str], rows: Sequence[Row]) -> Table:
    """Returns the classes with the largest differences: a column of points for each run.

    Args:
        runs: names; the others are compared with the first, and only as many are shown as fit.
        rows: of all classes and runs, largest difference first.
    """
    found = {(row["name"], row["run"]): row for row in rows}
    others = [run for run in runs[1:] if any(row["run"] == run for row in rows)][:_MAX_RUN_COLUMNS]
    has_interval = len(others) == 1
    cells: list[list[Cell]] = []
    for name in list(dict.fromkeys(row["name"] for row in rows))[:_MAX_CLASSES]:
        first = found[name, others[0]]
        line: list[Cell] = [name, first["pictures"], percent(first["first_accuracy"])]
        line += [points(found[name, run]["difference"]) for run in others]
        cells.append([*line, points_interval(first["interval"])] if has_interval else line)
    headings = ["class", "images", runs[0], *others, *(["95 % interval"] if has_interval else [])]
    return listing(headings, cells, text_columns=1)


def verdict(row: Row) -> str:
    """Returns the result of a comparison in one or two words."""
    return "within noise" if row["within_noise"] else "better" if row["difference"] > 0 else "worse"


def significance_warning(rows: Sequence[Row]) -> str | None:
    """Returns a sentence about the pairs of runs whose difference is not significant; None if there are none."""
    noisy = [row for row in rows if row["within_noise"]]
    if not noisy:
        return None
    if len(rows) == 1:
        (row,) = rows
        return (
            f"within noise: p = {p_value(row['p'])}; {row['total']:,} test images do not show which run is better; "
            "use more test images or several seeds"
        )
    return f"within noise: {len(noisy)} of {len(rows)} pairs; do not rank runs by such small differences"


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Writes CSV. The column `interval` becomes `low` and `high`; other lists are written as on the screen.

    Args:
        path: of the new file.
        columns: in order; other keys of the rows are left out.
        rows: values by column.

    Raises:
        StorageError: when the file cannot be written.
    """
    header = [name for column in columns for name in (("low", "high") if column == "interval" else (column,))]
    cells = ([cell for column in columns for cell in _csv_cells(column, row[column])] for row in rows)
    write_csv(path, [header, *cells])


def _csv_cells(column: str, value: Any) -> Sequence[object]:
    if column == "interval":
        return value or (None, None)
    return [_value_text(value) if isinstance(value, bool | list | tuple) else value]
