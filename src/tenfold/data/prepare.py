"""Decodes the pictures of a source on all cores, in bounded memory, and looks for those that occur twice.

N pictures, H×W pixels, 3 channels.
"""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.decode import Source, decode_picture, one_line
from tenfold.data.download import Progress
from tenfold.data.folder import read_pictures
from tenfold.data.layout import SPLITS, Layout
from tenfold.data.pictures import fit_picture
from tenfold.data.pixelfile import PixelFile

_MOST_WORKERS = 32
_CHUNK_PIXEL_BYTES = 4 << 20
_CHUNK_SOURCE_BYTES = 4 << 20
_MOST_IN_CHUNK = 64

Picture = NDArray[np.uint8]


@dataclass
class Outcome:
    """What decoding gave.

    Args:
        paths: names of the pictures in each split, in the order in which they were written.
        labels: int64 [N] for each split, in the same order.
        unreadable: name and reason of each picture that could not be decoded.
        notes: what a user should know of the pictures.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decode_all(
    layout: Layout,
    folder: Path,
    size: tuple[int, int],
    fit: str,
    progress: Progress,
    kept: Mapping[str, bytes] | None = None,
) -> Outcome:
    """Decodes every picture of `layout` into `<split>-images.npy` files.

    Threads suffice: decoders let go of the interpreter, and tiny pictures are decoded in seconds anyway.

    Args:
        layout: the pictures.
        folder: where the files go.
        size: height and width in pixels.
        fit: see `fit_picture`.
        progress: told how many pictures are done.
        kept: see `read_pictures`.

    Raises:
        DataError: when the archive cannot be read.
        OSError: when the disk refuses.
    """
    starts = {split: places[0] for split in SPLITS if (places := layout.places(split))}
    digests = np.zeros(len(layout.entries), dtype=np.uint64)
    # A picture that never arrives has vanished since it was listed.
    reasons = dict.fromkeys(range(len(layout.entries)), "no longer there")
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(PixelFile(folder / f"{split}-images.npy", len(layout.places(split)), size))
            for split in starts
        }
        for done, (place, picture) in enumerate(_decoded(read_pictures(layout, kept), size, fit), start=1):
            if isinstance(picture, str):
                reasons[place] = picture
            else:
                del reasons[place]
                split = layout.entries[place].split
                files[split].write(place - starts[split], picture)
                digests[place] = _digest(picture)
            if done % _MOST_IN_CHUNK == 0 or done == len(layout.entries):
                progress("Preparing pictures", done, len(layout.entries))
    return _outcome(layout, reasons, digests)


def _outcome(layout: Layout, reasons: dict[int, str], digests: NDArray[np.uint64]) -> Outcome:
    outcome = Outcome(unreadable=[(layout.entries[place].path, reasons[place]) for place in sorted(reasons)])
    whole = {
        split: [place for place in layout.places(split) if place not in reasons]
        for split in SPLITS
        if layout.places(split)
    }
    for split, places in whole.items():
        outcome.paths[split] = [layout.entries[place].path for place in places]
        outcome.labels[split] = np.array([layout.entries[place].label for place in places], dtype=np.int64)
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        shared = _shared(layout, digests, whole.get(first, []), whole.get(second, []))
        if shared:
            outcome.notes.append(f"the same picture is in {first} and {second}: {shared}")
    return outcome


def _shared(layout: Layout, digests: NDArray[np.uint64], first: list[int], second: list[int]) -> str:
    """Returns which pictures of `second` are in `first` too, pixel for pixel: one pair and how many more."""
    owner = {digest: place for place, digest in zip(reversed(first), digests[first][::-1].tolist(), strict=True)}
    twins = [(owner[d], place) for place, d in zip(second, digests[second].tolist(), strict=True) if d in owner]
    if not twins:
        return ""
    one, other = (one_line(layout.entries[place].path) for place in twins[0])
    more = f", and {len(twins) - 1} more" if len(twins) > 1 else ""
    return f"{one} and {other}{more}; the result would look better than it is"


def _decoded(
    pictures: Iterable[tuple[int, Source]], size: tuple[int, int], fit: str
) -> Iterator[tuple[int, Picture | str]]:
    """Yields each picture's place and its pixels or the reason why there are none."""
    chunks = _chunks(pictures, size)
    waiting: deque[Future[list[tuple[int, Picture | str]]]] = deque()
    workers = min(_MOST_WORKERS, _cores())
    with ExitStack() as stack:
        # Pillow warns of odd metadata, once for each kind; a user can do nothing about it.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module=r"PIL\.")
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="decode"))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        waiting.extend(pool.submit(_decode_chunk, chunk, size, fit) for chunk in islice(chunks, 2 * workers))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(_decode_chunk, chunk, size, fit) for chunk in islice(chunks, 1))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(pictures: Iterable[tuple[int, Source]], size: tuple[int, int]) -> Iterator[list[tuple[int, Source]]]:
    """Groups pictures so that neither their files nor their pixels take much memory."""
    most = max(1, min(_MOST_IN_CHUNK, _CHUNK_PIXEL_BYTES // (size[0] * size[1] * 3)))
    chunk: list[tuple[int, Source]] = []
    held = 0
    for place, source in pictures:
        chunk.append((place, source))
        held += len(source) if isinstance(source, bytes) else 0
        if len(chunk) == most or held > _CHUNK_SOURCE_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _decode_chunk(chunk: list[tuple[int, Source]], size: tuple[int, int], fit: str) -> list[tuple[int, Picture | str]]:
    return [(place, _decode(source, size, fit)) for place, source in chunk]


def _decode(source: Source, size: tuple[int, int], fit: str) -> Picture | str:
    try:
        return fit_picture(decode_picture(source, at_least=size), size, fit)
    except DataError as error:
        return str(error)
    except MemoryError:
        return "too large for the memory of this machine"


def _digest(picture: Picture) -> int:
    return int.from_bytes(hashlib.blake2b(picture.data, digest_size=8).digest(), "little")
