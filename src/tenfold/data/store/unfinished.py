"""Stores that are being prepared: a folder that a killed process leaves behind is continued by the next one.

<cache>/stores/.tenfold-tmp-<name of the store>/finished.jsonl
    {"plan": {…}}                                                  what is written; another plan starts from nothing
    {"file": "train-images-00003.npy", "bytes": …, "rows": …, "facts": {…}}     a line for each finished file
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import TEMPORARY_PREFIX, storage_errors
from tenfold.core.errors import StorageError

_FINISHED = "finished.jsonl"

Facts = dict[str, Any]


def unfinished_folder(target: Path) -> Path:
    """Returns the folder in which the store at `target` is prepared."""
    return target.parent / f"{TEMPORARY_PREFIX}{target.name}"


@contextmanager
def continued_folder(target: Path) -> Iterator[Path]:
    """Yields the folder in which a store is prepared; it becomes `target` when it is complete.

    It holds what a killed process has left. After an interruption or a failing disk it stays where a file is finished;
    after another error nothing is left. Only one process may prepare a store at a time.

    Args:
        target: the store, which must not exist; its parent must.

    Raises:
        StorageError: when writing fails or `target` exists.
    """
    folder = unfinished_folder(target)
    with storage_errors("write", target):
        durable.disk.make_folder(folder)
        try:
            yield folder
            durable.publish_folder(folder, target, without=_FINISHED)
        except BaseException as error:
            may_go_on = isinstance(error, OSError | StorageError) or not isinstance(error, Exception)
            if not (may_go_on and len(_lines(folder)) > 1):
                with suppress(OSError):
                    durable.disk.remove(folder)
            raise


def finished_files(folder: Path, plan: Facts) -> dict[str, Facts]:
    """Returns the records of the files that were finished under the same plan, by name; other files are removed.

    Args:
        folder: see `continued_folder`.
        plan: what is written, as JSON.

    Raises:
        OSError, StorageError: when the disk refuses.
    """
    header, *records = _lines(folder) or [{}]
    found = {record["file"]: record for record in records if _has_size(folder / record["file"], record["bytes"])}
    if header != {"plan": plan}:
        found = {}
    for file in folder.iterdir():
        if file.name not in found and file.name != _FINISHED:
            durable.disk.remove(file)
    # Without the records of lost files: such a file has its size long before it is finished again.
    durable.write_text(
        folder / _FINISHED, "".join(f"{json.dumps(line)}\n" for line in ({"plan": plan}, *found.values()))
    )
    return found


def plan_of(folder: Path) -> Facts | None:
    """Returns what a killed process was writing, or None."""
    lines = _lines(folder)
    return lines[0].get("plan") if lines else None


def record_finished(folder: Path, record: Facts) -> None:
    """Records a finished file, which must be durable: `file`, `bytes` and what else is needed to go on.

    Raises:
        StorageError: when the disk refuses.
    """
    durable.append_line(folder / _FINISHED, json.dumps(record))


def _lines(folder: Path) -> list[Facts]:
    """Returns the lines of the record; one that a killed process has not completed ends them."""
    lines: list[Facts] = []
    with suppress(OSError, ValueError):
        lines.extend(json.loads(line) for line in (folder / _FINISHED).read_bytes().splitlines())
    return lines


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
