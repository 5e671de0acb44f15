"""Opens Parquet files through pyarrow, which is an extra."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, one_line


def open_parquet(name: str, source: Path | BinaryIO) -> Any:
    """Returns a `pyarrow.parquet.ParquetFile`.

    Args:
        name: of the file, for messages.
        source: the file.

    Raises:
        DataError: when pyarrow is missing, or the file is damaged.
    """
    if find_spec("pyarrow") is None:
        raise DataError(f"{escaped(name)} needs pyarrow, which is not installed; run: pip install -e '.[parquet]'")
    from pyarrow.parquet import ParquetFile

    with reading_parquet(name):
        return ParquetFile(source)


@contextmanager
def reading_parquet(name: str) -> Iterator[None]:
    """Reports what pyarrow raises in a `with` block as a DataError: only reading shows damage within a file.

    Args:
        name: of the file, for messages.
    """
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError) as error:
        raise DataError(
            f"{escaped(name)} cannot be read as Parquet: {one_line(str(error))[:100]}; it is damaged or cut short, so "
            "fetch it again"
        ) from error
