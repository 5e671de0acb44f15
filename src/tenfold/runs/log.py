"""`log.jsonl`: what happened in a run, one JSON object a line.

`number` counts the lines and is the only order there is; `time_s` is the time spent so far, over all sessions
of the run; `utc` is for people.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown, translated
from tenfold.core.errors import RunError

_OWN_KEYS = ("number", "time_s", "utc", "event")


class Log:
    """Writes the log; an existing one is continued: numbers and seconds go on from its last line.

    Args:
        path: the file; its folder must exist.
        clock: seconds from any start, never going back.

    Raises:
        RunError: when an existing log is damaged.
        StorageError: when it cannot be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        entries = read_log(path) if path.exists() else []
        last = entries[-1] if entries else {}
        self._path = path
        self._clock = clock
        self._number = int(last.get("number", 0))
        self._start = clock() - float(last.get("time_s", 0.0))

    def write(self, event: str, **fields: object) -> None:
        """Adds a line, durable on return.

        Args:
            event: what happened, in one word or two.
            **fields: anything JSON can hold; NaN and infinity are written as text, other objects by `str`.

        Raises:
            StorageError: when the disk refuses.
            ValueError: when a field is called like one of the log's own.
        """
        clash = [name for name in fields if name in _OWN_KEYS]
        if clash:
            raise ValueError(f"the log itself writes '{clash[0]}'")
        own: dict[str, object] = {
            "number": self._number + 1,
            "time_s": round(self._clock() - self._start, 3),
            "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
        }
        durable.append_line(self._path, _line({**own, **fields}))
        self._number += 1


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a log; a torn last line, from a process that was killed, is left out.

    Raises:
        RunError: when the file is missing, or another line than the last is damaged.
        StorageError: when it cannot be read.
    """
    if not path.is_file():
        raise RunError(f"{shown(path)} is missing; expected the log of a run")
    with translated("read", path):
        lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines[:-1], start=1):
        entry = _parsed(line)
        if entry is None:
            raise RunError(
                f"line {number} of {shown(path)} is damaged, expected one JSON object; "
                "remove the line, or the file if nothing in it is needed"
            )
        entries.append(entry)
    return entries


def _line(entry: dict[str, object]) -> str:
    plain = _finite(entry)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, default=str)
    # A file name that is no UTF-8 holds lone surrogates, which only JSON's own escapes can carry.
    return text if _is_utf8(text) else json.dumps(plain, allow_nan=False, default=str)


def _finite(value: object) -> object:
    """Returns the value with every NaN and infinity in it as text: a log must take what went wrong."""
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
