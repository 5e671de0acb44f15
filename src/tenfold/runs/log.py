"""`log.jsonl`: the events of a run, one JSON object per line.

`number` counts the lines and defines their order. `time_s` is the time spent so far, over all sessions of the run.
`utc` is for human readers.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import RunError

_RESERVED_FIELDS = ("number", "time_s", "utc", "event")


class Log:
    """Writes the log. An existing log is continued: numbers and seconds count on from its last line.

    Args:
        path: the file; its folder must exist. None for a log that keeps the time and writes nothing.
        clock: monotonic clock, in seconds.
        spent: seconds of this session before now.
        earlier: seconds of earlier sessions, where more is known than the log tells: a kill may have come before its
            next line.

    Raises:
        RunError: when an existing log is damaged.
        StorageError: when it cannot be read.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        spent: float = 0.0,
        earlier: float = 0.0,
    ) -> None:
        entries = read_log(path) if path is not None and path.exists() else []
        last = entries[-1] if entries else {}
        self._path = path
        self._clock = clock
        self._number = int(last.get("number", 0))
        self._start = clock() - spent - max(earlier, float(last.get("time_s", 0.0)))

    def seconds(self) -> float:
        """Returns the seconds spent so far, over all sessions."""
        return self._clock() - self._start

    def write(self, event: str, **fields: object) -> None:
        """Appends a line, which is durable on return.

        Args:
            event: name of the event, one or two words.
            **fields: JSON values; NaN and infinity are written as text, other objects as `str`.

        Raises:
            StorageError: when writing fails.
            ValueError: when a field has a reserved name.
        """
        clash = [name for name in fields if name in _RESERVED_FIELDS]
        if clash:
            raise ValueError(f"'{clash[0]}' is a reserved field of the log")
        reserved: dict[str, object] = {
            "number": self._number + 1,
            "time_s": round(self.seconds(), 3),
            "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
        }
        if self._path is not None:
            durable.append_line(self._path, _line({**reserved, **fields}))
        self._number += 1


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of a log, without an incomplete last line from a killed process.

    Raises:
        RunError: when the file is missing, or a line before the last one is damaged.
        StorageError: when it cannot be read.
    """
    if not path.is_file():
        raise RunError(f"{display_path(path)} is missing; expected the log of a run")
    with storage_errors("read", path):
        lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines[:-1], start=1):
        entry = _parsed(line)
        if entry is None:
            raise RunError(
                f"line {number} of {display_path(path)} is damaged, expected one JSON object; "
                "remove the line, or the file if nothing in it is needed"
            )
        entries.append(entry)
    return entries


def _line(entry: dict[str, object]) -> str:
    finite = _finite(entry)
    text = json.dumps(finite, ensure_ascii=False, allow_nan=False, default=str)
    # File names that are not UTF-8 contain lone surrogates, which JSON can only hold as escapes.
    return text if _is_utf8(text) else json.dumps(finite, allow_nan=False, default=str)


def _finite(value: object) -> object:
    """Returns the value with every NaN and infinity as text: a log must be able to record errors."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
