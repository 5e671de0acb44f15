"""Decodes the images of a layout into the files of a store; what a killed process has finished is not done again.

Shapes: N images of a split, H×W pixels, 3 channels.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import escaped
from tenfold.data.decode.tasks import DecodedImage, decode_to_size
from tenfold.data.decode.workers import DecodePool
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import read_images
from tenfold.data.sources.layout import SPLITS, Layout, shared_note
from tenfold.data.store.format import ShardList
from tenfold.data.store.split_files import StoreFiles
from tenfold.data.store.unfinished import Facts
from tenfold.data.types import ProgressCallback

_PROGRESS_EVERY = 64


@dataclass
class DecodeResult:
    """The result of decoding all images of a layout.

    Args:
        paths: paths of the images of each split, in the order in which they were written.
        labels: int64 [N] for each split, in the same order.
        groups: groups of the images of each split, in the same order.
        unreadable: path and reason of each image that could not be decoded.
        notes: sentences that a user should read.
        train_sizes: number of training images of each height and width in their files.
        shards: the shards of each split that has several.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    train_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    shards: dict[str, ShardList] = field(default_factory=dict)


def decode_all(
    layout: Layout,
    folder: Path,
    size: tuple[int, int],
    request: DataRequest,
    progress: ProgressCallback,
    decoded: Mapping[str, DecodedImage],
    files: Mapping[str, bytes],
    note: str = "",
) -> DecodeResult:
    """Decodes every image of `layout` into the image files of a store.

    Args:
        layout: the images.
        folder: where the files are written; it may hold what a killed process has finished.
        size: height and width of the stored images, in pixels.
        request: how images are fitted, and the size of shards.
        progress: called with the number of images that are done.
        decoded: images of this size by path that an earlier scan has decoded.
        files: see `read_images`.
        note: says how the size was chosen; kept for a process that goes on.

    Raises:
        DataError: when the archive cannot be read.
        TenfoldError: when decoding processes end before they can decode anything.
        OSError, StorageError: when the disk refuses.
    """
    found = _Found(layout)
    rows = {split: len(indices) for split, indices in found.indices.items()}
    with StoreFiles(folder, rows, size, request.shard_size, found.facts, note) as written:
        done = found.restore(written)

        def add(index: int, image: DecodedImage) -> None:
            nonlocal done
            split, row = found.add(index, image)
            if image.reason:
                written.leave_out(split, row)
            else:
                written.write(split, row, image.data)
            done += 1
            if done % _PROGRESS_EVERY == 0 or done == len(layout.entries):
                progress("Preparing images", done, len(layout.entries))

        with DecodePool(partial(decode_to_size, size=size, fit=request.fit), size, add) as pool:
            remaining = []
            for index in np.flatnonzero(~found.restored).tolist():
                path = layout.entries[index].path
                if path in decoded:
                    add(index, decoded[path])
                else:
                    remaining.append(index)
            for index, source in read_images(layout, remaining, files) if remaining else ():
                pool.put(index, source)
        shards = written.shards()
    return found.result(shards)


class _Found:
    """What is known of each image of a layout after decoding.

    Args:
        layout: E images.

    Attributes:
        indices: indices of the images of each split that has any, ascending and without gaps.
        restored: bool [E], of images whose file a killed process has finished.
    """

    def __init__(self, layout: Layout) -> None:
        count = len(layout.entries)
        self._layout = layout
        self.indices = {split: indices for split in SPLITS if (indices := layout.indices_of(split))}
        self.restored = np.zeros(count, bool)
        self._digests = np.zeros(count, np.uint64)
        self._sizes = np.zeros((count, 2), np.uint32)  # zeros where unknown
        # An image whose decoding is never reported was deleted after it was listed.
        self._reasons = dict.fromkeys(range(count), "no longer there")

    def add(self, index: int, image: DecodedImage) -> tuple[str, int]:
        """Notes what decoding an image has given; returns its split and its row there."""
        if image.reason:
            self._reasons[index] = image.reason
        else:
            del self._reasons[index]
            self._digests[index] = image.digest
            self._sizes[index] = image.size or 0
        split = self._layout.entries[index].split
        return split, index - self.indices[split][0]

    def facts(self, split: str, rows: range) -> Facts:
        """Returns what `restore` needs to know of some images."""
        start = self.indices[split][0]
        part = slice(start + rows.start, start + rows.stop)
        reasons = {row: self._reasons[start + row] for row in rows if start + row in self._reasons}
        return {
            "digests": self._digests[part].tobytes().hex(),
            "sizes": self._sizes[part].tobytes().hex(),
            "reasons": list(reasons.items()),
        }

    def restore(self, written: StoreFiles) -> int:
        """Restores what a killed process had found out; returns of how many images."""
        for split, indices in self.indices.items():
            for rows, facts in written.finished(split):
                part = slice(indices[0] + rows.start, indices[0] + rows.stop)
                self.restored[part] = True
                self._digests[part] = np.frombuffer(bytes.fromhex(facts["digests"]), np.uint64)
                self._sizes[part] = np.frombuffer(bytes.fromhex(facts["sizes"]), np.uint32).reshape(-1, 2)
                reasons = {indices[0] + row: reason for row, reason in facts["reasons"]}
                for index in range(part.start, part.stop):
                    self._reasons.pop(index)
                self._reasons |= reasons
        return int(self.restored.sum())

    def result(self, shards: dict[str, ShardList]) -> DecodeResult:
        """Returns the images that could be read, and the others with their reasons."""
        entries, reasons = self._layout.entries, self._reasons
        result = DecodeResult(unreadable=[(entries[index].path, reasons[index]) for index in sorted(reasons)])
        result.shards = shards
        readable = {
            split: [index for index in indices if index not in reasons] for split, indices in self.indices.items()
        }
        for split, indices in readable.items():
            result.paths[split] = [entries[index].path for index in indices]
            result.groups[split] = [entries[index].group for index in indices]
            result.labels[split] = np.array([entries[index].label for index in indices], dtype=np.int64)
        sizes = self._sizes[readable.get("train", [])].tolist()
        result.train_sizes = Counter((height, width) for height, width in sizes if height)
        for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
            parts = readable.get(first, []), readable.get(second, [])
            if duplicates := _duplicates(self._layout, self._digests, *parts):
                result.notes.append(shared_note(first, second, duplicates))
        return result


def _duplicates(layout: Layout, digests: NDArray[np.uint64], first: list[int], second: list[int]) -> str:
    """Returns which images of `second` have the pixels of one of `first`: an example, and how many more."""
    by_digest = {digest: index for index, digest in zip(reversed(first), digests[first][::-1].tolist(), strict=True)}
    pairs = [
        (by_digest[digest], index)
        for index, digest in zip(second, digests[second].tolist(), strict=True)
        if digest in by_digest
    ]
    if not pairs:
        return ""
    one, other = (escaped(layout.entries[index].path) for index in pairs[0])
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return f"{one} and {other}{more}; results would look better than they are"
