"""Tables of a comparison of runs, and its CSV files.

Rows are mappings with the column names of the CSV files. Accuracies are in [0, 1]; differences are shown in points.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tenfold.core.text import duration, interval, mean_text, percent, printable, shortened
from tenfold.report.tables.run_tables import Cell, listing
from tenfold.runs.tables import write_csv

Row = Mapping[str, Any]
Labels = Mapping[str, str]
"""What stands for each run in tables, by its name, in order; see `run_labels`."""

PAIR_COLUMNS = (
    *("first", "second", "difference", "interval", "only_first", "only_second", "total"),
    *("p", "p_holm", "within_noise"),
)
CLASS_COLUMNS = ("run", "name", "pictures", "first_accuracy", "accuracy", "difference", "interval")

_MAX_LABEL = 10
_MAX_RUN_COLUMNS = 4
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


def run_labels(names: Sequence[str]) -> dict[str, str]:
    """Returns a short label for each run: its name if there are two with short ones, else its number.

    Example:
        >>> run_labels(["mlp", "wide"]), run_labels(["mlp", "wide", "deep3"])
        ({'mlp': 'mlp', 'wide': 'wide'}, {'mlp': '1', 'wide': '2', 'deep3': '3'})
    """
    if len(names) == 2 and max(map(len, names)) <= _MAX_LABEL:
        return {name: printable(name) for name in names}
    return {name: str(number) for number, name in enumerate(names, 1)}


def legend_table(labels: Labels) -> Table:
    """Returns the names of the runs by their numbers."""
    return listing(["", "run"], [[label, name] for name, label in labels.items()])


def differences_table(labels: Labels, differences: Mapping[str, Sequence[object]]) -> Table:
    """Returns the keys in which the recipes differ: a column for each of two runs, else each value with its runs.

    Args:
        labels: of the runs, by name.
        differences: values by key, one for each run.
    """
    texts = {key: [_value_text(value) for value in values] for key, values in differences.items()}
    if len(labels) == 2:
        return listing(["recipe", *labels.values()], [[key, *row] for key, row in texts.items()], text_columns=3)
    return listing(["recipe", "values (runs)"], [[key, _runs_by_value(labels, row)] for key, row in texts.items()])


def _runs_by_value(labels: Labels, values: Sequence[str | None]) -> str:
    """Returns each value with the runs that have it: `0.1 (1, 2) · 0.2 (3)`."""
    runs: dict[str | None, list[str]] = {}
    for label, value in zip(labels.values(), values, strict=True):
        runs.setdefault(value, []).append(label)
    return " · ".join(f"{'–' if value is None else value} ({', '.join(having)})" for value, having in runs.items())


def _value_text(value: object) -> str | None:
    """Returns a value as in TOML, without quotation marks around words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(_value_text(item)) for item in value)}]"
    return '""' if value == "" else None if value is None else str(value)


def runs_table(labels: Labels, rows: Sequence[Row], *, with_names: bool = True) -> Table:
    """Returns accuracy with its interval, parameters, steps and training time of each run.

    Columns of settings and sizes that are equal for all runs are left out.

    Args:
        labels: of the runs, by name.
        rows: one for each run.
        with_names: whether numbered runs also have a column with their names.
    """
    numbered = list(labels) != list(labels.values())
    columns: dict[str, list[Cell]] = {"": list(labels.values())} if numbered else {}
    if with_names or not numbered:
        columns["run"] = list(labels)
    columns["test accuracy"] = [percent(row["test_accuracy"]) for row in rows]
    columns["95 % interval"] = [interval((row["test_low"], row["test_high"])) for row in rows]
    if any(row["val_accuracy"] is not None for row in rows):
        columns["val accuracy"] = [percent(row["val_accuracy"]) for row in rows]
    for key in ("parameters", "steps"):
        if len({row[key] for row in rows}) > 1:
            columns[key] = [row[key] for row in rows]
    columns["training"] = [duration(row["training_seconds"]) for row in rows]
    num_texts = list(columns).index("test accuracy")
    return listing(list(columns), list(zip(*columns.values(), strict=True)), text_columns=num_texts)


def pairs_table(labels: Labels, rows: Sequence[Row]) -> Table:
    """Returns the paired comparison of each two runs: difference in points, its interval, p-value, verdict.

    For several pairs the p-value is the corrected one, and a column tells how many images only one run got right.
    """
    has_several = len(rows) > 1
    cells = [
        [
            f"{labels[row['second']]} vs {labels[row['first']]}",
            points(row["difference"]),
            points_interval(row["interval"]),
            *([f"{row['only_second']:,} vs {row['only_first']:,}"] if has_several else []),
            p_value(row["p_holm"]),
            verdict(row),
        ]
        for row in rows
    ]
    headings = ["runs", "points", "95 % interval", *(["only right"] if has_several else [])]
    return listing([*headings, "p (Holm)" if has_several else "p", "verdict"], cells, text_columns=1)


def groups_table(labels: Labels, rows: Sequence[Row]) -> Table:
    """Returns mean ± standard deviation of each recipe with several seeds, and its runs."""
    cells = [
        [
            letter,
            row["name"],
            ", ".join(labels[run] for run in row["runs"]),
            len(row["seeds"]),
            mean_text(row["mean"], row["deviation"], decimals=2),
        ]
        for letter, row in zip(_group_letters(rows).values(), rows, strict=True)
    ]
    return listing(["", "recipe", "runs", "seeds", "test accuracy"], cells, text_columns=3)


def group_pairs_table(groups: Sequence[Row], rows: Sequence[Row]) -> Table:
    """Returns the comparison of each two recipes: difference of their means with its interval, p-value, verdict.

    Args:
        groups: rows of `groups_table`.
        rows: one for each pair.
    """
    letters = _group_letters(groups)
    cells = [
        [
            f"{letters[row['second']]} vs {letters[row['first']]}",
            points(row["difference"]),
            points_interval(row["interval"]),
            p_value(row["p_holm"]),
            verdict(row),
        ]
        for row in rows
    ]
    return listing(["recipes", "points", "95 % interval", "p (Holm)", "verdict"], cells, text_columns=1)


def _group_letters(groups: Sequence[Row]) -> dict[str, str]:
    """Returns A to Z, then A2 to Z2 and so on, by the names of the groups."""
    return {
        group["name"]: chr(ord("A") + index % 26) + (str(index // 26 + 1) if index >= 26 else "")
        for index, group in enumerate(groups)
    }


def classes_table(labels: Labels, rows: Sequence[Row]) -> Table:
    """Returns the classes with the largest differences to the first run, in points.

    Of one other run with its interval; of up to four a column for each; of more the lowest and the highest.

    Args:
        labels: of the runs, by name.
        rows: of all classes and runs, largest difference first.
    """
    found = {(row["name"], row["run"]): row for row in rows}
    others = [run for run in list(labels)[1:] if any(row["run"] == run for row in rows)]
    cells: list[list[Cell]] = []
    for name in list(dict.fromkeys(row["name"] for row in rows))[:_MAX_CLASSES]:
        of_class = [found[name, run] for run in others if (name, run) in found]
        line: list[Cell] = [name, of_class[0]["pictures"], percent(of_class[0]["first_accuracy"])]
        cells.append([*line, *_class_cells(labels, others, {row["run"]: row for row in of_class})])
    if len(others) == 1:
        headings = [labels[others[0]], "95 % interval"]
    elif len(others) <= _MAX_RUN_COLUMNS:
        headings = [labels[run] for run in others]
    else:
        headings = ["lowest", "run", "highest", "run"]
    return listing(["class", "images", next(iter(labels.values())), *headings], cells, text_columns=1)


def _class_cells(labels: Labels, others: Sequence[str], rows: Mapping[str, Row]) -> list[Cell]:
    """Returns the differences of one class; a run without images of it has a dash."""
    if len(others) == 1:
        row = rows[others[0]]
        return [points(row["difference"]), points_interval(row["interval"])]
    if len(others) <= _MAX_RUN_COLUMNS:
        return [points(rows[run]["difference"]) if run in rows else None for run in others]
    ends = [choose(rows.values(), key=lambda row: row["difference"]) for choose in (min, max)]
    return [cell for row in ends for cell in (points(row["difference"]), labels[row["run"]])]


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
