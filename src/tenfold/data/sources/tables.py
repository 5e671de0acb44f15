"""Reads small tables that people write: CSV with any delimiter, TSV, JSON lines and Parquet. All cells become text."""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, plural
from tenfold.data.sources.parquet_files import open_parquet, reading_parquet

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

_DELIMITERS = ",;\t"  # spreadsheets in many countries write semicolons
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how spreadsheets save "Unicode text"


class Row(NamedTuple):
    """A row of a table: its line in the file, from 1, and its cells."""

    line: int
    cells: Sequence[str]


class Table(NamedTuple):
    """A table.

    Args:
        name: what messages call it.
        columns: names of the columns.
        rows: the rows, each with a cell for every column.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[Row]


def is_table_name(name: str) -> bool:
    """Returns whether a file name ends as a table that `read_table` reads."""
    return name.casefold().endswith(TABLE_SUFFIXES)


def read_table(name: str, content: bytes) -> Table:
    """Returns the table in a file; its format is recognized by the name.

    Args:
        name: name of the file, for messages too.
        content: bytes of the file.

    Raises:
        DataError: when it is no table, or a row has another number of cells than there are columns.

    Example:
        >>> read_table("t.csv", b"id;label\\n1;cat\\n").rows
        [Row(line=2, cells=['1', 'cat'])]
    """
    suffix = PurePosixPath(name.casefold()).suffix
    if suffix == ".parquet":
        return _read_parquet(name, content)
    if suffix not in (*TABLE_SUFFIXES, ".txt"):
        raise DataError(f"{escaped(name)} is no table; expected a file that ends in {', '.join(TABLE_SUFFIXES)}")
    text = decoded(name, content)
    return _read_json_lines(name, text) if suffix in (".jsonl", ".ndjson") else _read_csv(name, text)


def decoded(name: str, content: bytes) -> str:
    """Returns the text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        DataError: when it is in another encoding, where class names would be misread.
    """
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} of {escaped(name)} is not text in UTF-8; save the file as UTF-8") from None


def csv_rows(name: str, text: str) -> list[Row]:
    """Returns the non-empty lines of a CSV file, whose delimiter is a comma, a semicolon or a tab.

    Raises:
        DataError: when it is no CSV; the message names the line.
    """
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [Row(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {escaped(name)} is not valid CSV: {error}; fix it") from error


def check_cells(name: str, row: Row, columns: Sequence[str]) -> None:
    """Raises DataError where a row has another number of cells than there are columns."""
    if len(row.cells) != len(columns):
        raise DataError(
            f"line {row.line} of {escaped(name)} has {plural(len(row.cells), 'cell')}; "
            f"expected {len(columns)} as in line 1"
        )


def _read_csv(name: str, text: str) -> Table:
    rows = csv_rows(name, text)
    if not rows:
        raise DataError(f"{escaped(name)} is empty; expected a first line with the names of the columns")
    columns = tuple(column.strip() for column in rows[0].cells)
    for row in rows[1:]:
        check_cells(name, row, columns)
    return Table(name, columns, rows[1:])


def _read_json_lines(name: str, text: str) -> Table:
    values = list(_json_objects(name, text))
    columns = tuple(dict.fromkeys(str(key) for _, value in values for key in value))
    return Table(name, columns, [Row(line, [_cell(value.get(key)) for key in columns]) for line, value in values])


def _json_objects(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, part in enumerate(text.split("\n"), 1):
        if not part.strip():
            continue
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DataError(f"line {line} of {escaped(name)} is no JSON object; expected one in each line")
        yield line, value


def _read_parquet(name: str, content: bytes) -> Table:
    parquet = open_parquet(name, io.BytesIO(content))
    with reading_parquet(name):
        table = parquet.read()
    columns = [table.column(column).to_pylist() for column in table.column_names]
    cells = zip(*columns, strict=True)
    return Table(
        name, tuple(table.column_names), [Row(row, list(map(_cell, each))) for row, each in enumerate(cells, 1)]
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)
