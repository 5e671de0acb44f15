"""Remembers which images are duplicates, so that seeds and sweeps look once.

    <cache>/duplicates/<name>-<16 digits of the fingerprint>.json         duplicates of drawn splits in train
    <cache>/duplicates/<name>-<16 digits of the fingerprint>.groups.json  which images are duplicates of each other

A file that is missing, damaged or from another version counts as none: the images are compared again.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.cache import cache_folder
from tenfold.core.disk import storage_errors
from tenfold.core.errors import StorageError
from tenfold.core.text import hyphenated
from tenfold.data.types import Dataset, Leak


def read_leaks(dataset: Dataset, version: int) -> dict[str, Leak] | None:
    """Returns what `write_leaks` wrote for this dataset by split, or None.

    Args:
        dataset: identified by its fingerprint; nothing is known of one without.
        version: of the search for duplicates.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        value = json.loads(_file(dataset).read_bytes())
        if dataset.fingerprint and (value["version"], value["fingerprint"]) == (version, dataset.fingerprint):
            return {name: _leak(entry, len(dataset.splits()[name])) for name, entry in value["leaks"].items()}
    return None


def write_leaks(dataset: Dataset, version: int, leaks: Mapping[str, Leak]) -> None:
    """Writes the leaks of a dataset durably. A cache that cannot be written costs time, not the run."""
    if not dataset.fingerprint:
        return
    entries = {name: leak.to_json() for name, leak in leaks.items()}
    with suppress(StorageError):
        durable.make_folder(_file(dataset).parent)
        durable.write_json(_file(dataset), {"version": version, "fingerprint": dataset.fingerprint, "leaks": entries})


def read_groups(dataset: Dataset, version: int) -> list[int] | None:
    """Returns what `write_groups` wrote for this dataset, or None.

    Args:
        dataset: N images in all splits, identified by its fingerprint.
        version: of the search for duplicates.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        value = json.loads(_file(dataset, ".groups").read_bytes())
        groups = [int(group) for group in value["groups"]]
        known = (value["version"], value["fingerprint"], len(groups))
        if dataset.fingerprint and known == (version, dataset.fingerprint, sum(map(len, dataset.splits().values()))):
            return groups
    return None


def write_groups(dataset: Dataset, version: int, groups: Sequence[int]) -> None:
    """Writes a number for each image of a dataset, equal for duplicates. A cache that cannot be written costs time."""
    if dataset.fingerprint:
        entry = {"version": version, "fingerprint": dataset.fingerprint, "groups": list(groups)}
        with suppress(StorageError):
            durable.make_folder(_file(dataset).parent)
            durable.write_json(_file(dataset, ".groups"), entry)


def delete_leaks(name: str) -> None:
    """Deletes what was remembered of all datasets of a name.

    Raises:
        StorageError: when the disk refuses.
    """
    for file in (cache_folder() / "duplicates").glob("*.json"):
        if file.stem.rpartition("-")[0] == _file_part(name):
            with storage_errors("remove", file):
                durable.disk.remove(file)


def _file(dataset: Dataset, kind: str = "") -> Path:
    return cache_folder() / "duplicates" / f"{_file_part(dataset.name)}-{dataset.fingerprint[:16]}{kind}.json"


def _file_part(name: str) -> str:
    """Returns the name of a dataset, which Python users choose freely, as a part of a file name."""
    return hyphenated(name)


def _leak(entry: dict[str, Any], total: int) -> Leak:
    """Returns a leak that was read.

    Raises:
        ValueError, KeyError, TypeError: when it is not one of a split of `total` images.
    """
    leak = Leak(entry["total"], entry["exact"], entry["near"], tuple(entry["places"]))
    if leak.total != total or leak.exact + leak.near != len(leak.indices) or set(leak.indices) - set(range(total)):
        raise ValueError("no leak of this split")
    return leak
