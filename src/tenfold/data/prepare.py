"""Decodes the pictures of a source into the files of a store, and looks for those that occur twice.

N pictures, H×W pixels, 3 channels.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.data.decode import one_line
from tenfold.data.decoders import Decoders
from tenfold.data.download import Progress
from tenfold.data.folder import read_pictures
from tenfold.data.layout import SPLITS, Layout
from tenfold.data.pixelfile import PixelFile
from tenfold.data.pixels import Pixels, fitted_pixels

_PROGRESS_EVERY = 64


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
    known: Mapping[str, Pixels],
    files: Mapping[str, bytes],
) -> Outcome:
    """Decodes every picture of `layout` into `<split>-images.npy` files.

    Args:
        layout: the pictures.
        folder: where the files go.
        size: height and width in pixels.
        fit: see `fit_picture`.
        progress: told how many pictures are done.
        known: pixels in this size by path, where an earlier look has decoded them.
        files: see `read_pictures`.

    Raises:
        DataError: when the archive cannot be read.
        TenfoldError: when a decoding process was ended from outside.
        OSError: when the disk refuses.
    """
    starts = {split: places[0] for split in SPLITS if (places := layout.places(split))}
    digests = np.zeros(len(layout.entries), dtype=np.uint64)
    # A picture that never arrives has vanished since it was listed.
    reasons = dict.fromkeys(range(len(layout.entries)), "no longer there")
    done = 0

    def take(place: int, pixels: Pixels) -> None:
        nonlocal done
        if pixels.reason:
            reasons[place] = pixels.reason
        else:
            del reasons[place]
            split = layout.entries[place].split
            images[split].write(place - starts[split], pixels.data)
            digests[place] = pixels.digest
        done += 1
        if done % _PROGRESS_EVERY == 0 or done == len(layout.entries):
            progress("Preparing pictures", done, len(layout.entries))

    with ExitStack() as stack:
        images = {
            split: stack.enter_context(PixelFile(folder / f"{split}-images.npy", len(layout.places(split)), size))
            for split in starts
        }
        decoders = stack.enter_context(Decoders(partial(fitted_pixels, size=size, fit=fit), size, take))
        for place, entry in enumerate(layout.entries):
            if entry.path in known:
                take(place, known[entry.path])
        rest = [place for place, entry in enumerate(layout.entries) if entry.path not in known]
        for place, source in read_pictures(layout, rest, files) if rest else ():
            decoders.put(place, source)
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
