"""`metrics.csv`, `predictions.csv` and `oof_predictions.csv`: writing and reading without loss.

Text is UTF-8. A file name that is not UTF-8 keeps its bytes (Python's `surrogateescape`), so that the name that is read
opens the same file. Numbers are read back exactly; an empty cell is None.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, SupportsIndex

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import RunError

METRICS = (
    *("epoch", "step", "time_s", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
    "train_objective",
)
"""Losses are plain cross-entropies. The objective is the minimized loss where that is another one (label smoothing,
mixup, CutMix), else None; tables of version 0.1 lack it."""

PREDICTIONS = ("path", "true", "predicted", "probability")
CALIBRATED = "calibrated_probability"
_OUT_OF_FOLD = ("fold", "group")

_RENAMED = {"picture": "path"}
"""Column names of older tables."""

Number = float | int | None


class PredictionRow(NamedTuple):
    """A row of `predictions.csv`.

    Args:
        path: path of the image, or its index in the test split.
        true: name of the true class.
        predicted: name of the predicted class.
        probability: probability of the predicted class, in [0, 1].
        calibrated: the probability after temperature scaling, in [0, 1]; None for a run without a validation split.
    """

    path: str
    true: str
    predicted: str
    probability: float
    calibrated: float | None = None


class OutOfFoldRow(NamedTuple):
    """A row of `oof_predictions.csv`.

    Args:
        prediction: by the network that was not trained on the image.
        fold: the fold of the image, from 1.
        group: name of its group; empty for an image of its own.
    """

    prediction: PredictionRow
    fold: int
    group: str


def write_metrics(path: Path, rows: Sequence[Mapping[str, Number]]) -> None:
    """Writes all of `metrics.csv` durably.

    Args:
        path: the file.
        rows: values by column name; a missing column is None.

    Raises:
        StorageError: when writing fails. The old file stays.
        ValueError: when a row has an unknown column.
    """
    unknown = set().union(*rows) - set(METRICS)
    if unknown:
        raise ValueError(f"unknown columns: {sorted(unknown)}")
    cells = [[_cell(row.get(name)) for name in METRICS] for row in rows]
    write_csv(path, [METRICS, *cells])


def read_metrics(path: Path) -> list[dict[str, Number]]:
    """Returns the rows of `metrics.csv`: integers as int, other numbers as float, empty cells as None.

    Raises:
        RunError: when the file is missing or damaged.
        StorageError: when it cannot be read.
    """
    return [
        {METRICS[-1]: None, **{name: _number(text, name, path, line) for name, text in row.items()}}
        for line, row in _read(path, METRICS[:-1])
    ]


def write_predictions(path: Path, rows: Sequence[PredictionRow]) -> None:
    """Writes `predictions.csv` durably. Names may contain commas, quotes, newlines and bytes that are not UTF-8.

    Raises:
        StorageError: when writing fails. The old file stays.
        ValueError: when only some rows are calibrated.
    """
    calibrated = [float(row.calibrated) for row in rows if row.calibrated is not None]
    cells: list[Sequence[object]] = [(*row[:3], float(row.probability)) for row in rows]
    columns: tuple[str, ...] = PREDICTIONS
    if calibrated:
        columns = (*PREDICTIONS, CALIBRATED)
        cells = [(*row, value) for row, value in zip(cells, calibrated, strict=True)]
    # Quote all text: otherwise Python's csv does not quote a carriage return and cannot read it back.
    write_csv(path, [columns, *cells], csv.QUOTE_NONNUMERIC)


def read_predictions(path: Path) -> list[PredictionRow]:
    """Returns the rows of `predictions.csv`.

    Raises:
        RunError: when the file is missing or damaged.
        StorageError: when it cannot be read.
    """
    rows = []
    for line, row in _read(path, PREDICTIONS):
        probability = _probability(row, "probability", path, line)
        calibrated = _probability(row, CALIBRATED, path, line) if CALIBRATED in row else None
        rows.append(PredictionRow(row["path"], row["true"], row["predicted"], probability, calibrated))
    return rows


def write_out_of_fold(path: Path, rows: Sequence[OutOfFoldRow]) -> None:
    """Writes `oof_predictions.csv` durably.

    Raises:
        StorageError: when writing fails. The old file stays.
    """
    cells = [(*row.prediction[:3], float(row.prediction.probability), row.fold, row.group) for row in rows]
    write_csv(path, [(*PREDICTIONS, *_OUT_OF_FOLD), *cells], csv.QUOTE_NONNUMERIC)


def read_out_of_fold(path: Path) -> list[OutOfFoldRow]:
    """Returns the rows of `oof_predictions.csv`.

    Raises:
        RunError: when the file is missing or damaged.
        StorageError: when it cannot be read.
    """
    cells = _read(path, (*PREDICTIONS, *_OUT_OF_FOLD))
    return [
        OutOfFoldRow(prediction, int(_number(row["fold"], "fold", path, line) or 0), row["group"])
        for prediction, (line, row) in zip(read_predictions(path), cells, strict=True)
    ]


def write_csv(path: Path, rows: Iterable[Sequence[object]], quoting: int = csv.QUOTE_MINIMAL) -> None:
    """Writes a CSV table durably.

    Args:
        path: the file.
        rows: rows of cells, the header first; None becomes an empty cell.
        quoting: a constant `csv.QUOTE_…`.

    Raises:
        StorageError: when writing fails. The old file stays.
    """
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    durable.write_text(path, buffer.getvalue())


def _read(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line number and cells by column name; raises RunError when the table is missing or damaged."""
    if not path.is_file():
        raise RunError(f"{display_path(path)} is missing; expected a table written by training")
    with storage_errors("read", path):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [_RENAMED.get(name, name) for name in next(reader, [])]
        if not set(columns) <= set(header):
            raise _damaged(path, 1, f"the columns {', '.join(header) or '(none)'}", ", ".join(columns))
        for row in reader:
            if len(row) != len(header):
                raise _damaged(path, reader.line_num, f"{len(row)} cells", f"{len(header)} cells")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise _damaged(path, reader.line_num, str(error)) from error


def _cell(value: Number) -> Number:
    """Returns a value as int or float, which csv writes without loss."""
    if value is None or type(value) in (int, float):  # the common case; isinstance with a protocol is slow
        return value
    return int(value) if isinstance(value, SupportsIndex) else float(value)


def _number(text: str, column: str, path: Path, line: int) -> Number:
    if not text:
        return None
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError as error:
        raise _damaged(path, line, f"{text!r} under {column}") from error


def _probability(row: Mapping[str, str], column: str, path: Path, line: int) -> float:
    value = _number(row[column], column, path, line)
    if value is None:
        raise _damaged(path, line, f"an empty {column}")
    if not 0 <= value <= 1:
        raise _damaged(path, line, f"{row[column]} under {column}", "a number from 0 to 1")
    return float(value)


def _damaged(path: Path, line: int, found: str, expected: str = "a number") -> RunError:
    return RunError(
        f"line {line} of {display_path(path)} is damaged: found {found}, expected {expected}; restore it from a copy"
    )
