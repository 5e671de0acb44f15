"""The first look at the pictures of a source, as they are found: what sizes do they have?

Small pictures of one size keep it. So small ones are decoded at once, as long as all have the same size: where it
stays so, nothing has to be read or opened twice.
"""

from collections import Counter
from contextlib import suppress
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.decode.decode import FileSource, one_line, picture_size
from tenfold.data.decode.pixels import LARGEST_OWN, Pixels, keeps_size, small_pixels
from tenfold.data.decode.workers import Decoders
from tenfold.data.sources.download import Progress
from tenfold.data.sources.layout import shortened

_PROGRESS_EVERY = 500
_KEEP_BELOW = 256 * 1024**2
"""Bytes of files, and of pixels, that are kept in memory until the size is chosen."""


class FirstLook:
    """Looks at each picture that it is called with; all of it is known after the `with` block of its `decoders`.

    Args:
        progress: told how many pictures were looked at.

    Attributes:
        sizes: how many pictures there are of each height and width.
        pixels: of pictures by name, in their own size; only as long as all have the same.
        files: bytes of the pictures of an archive by name; none where they are too many.
        decoders: do the work.
    """

    def __init__(self, progress: Progress) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.pixels: dict[str, Pixels] = {}
        self.files: dict[str, bytes] = {}
        self.decoders = Decoders(small_pixels, (LARGEST_OWN, LARGEST_OWN), self._note)
        self._progress = progress
        self._alike = True
        self._seen = self._file_bytes = self._pixel_bytes = 0

    def __call__(self, name: str, source: FileSource) -> None:
        """Looks at a picture.

        Args:
            name: of the picture.
            source: its file, or the bytes of it.

        Raises:
            TenfoldError: when a decoding process was ended from outside.
        """
        self._seen += 1
        if self._seen % _PROGRESS_EVERY == 1:
            self._progress("Looking at pictures", self._seen, 0)
        self._keep(name, source)
        if self._alike and self._pixel_bytes < _KEEP_BELOW:
            self.decoders.put(name, source)
        else:
            with suppress(DataError):  # decoding will say why
                self.sizes[picture_size(source)] += 1

    def _keep(self, name: str, source: FileSource) -> None:
        if isinstance(source, bytes):
            self._file_bytes += len(source)
            self.files.setdefault(name, source)  # of two members with one name the first is taken
        if self._file_bytes > _KEEP_BELOW:
            self.files.clear()

    def _note(self, name: str, pixels: Pixels) -> None:
        if pixels.own:
            self.sizes[pixels.own] += 1
        self._alike = self._alike and len(self.sizes) <= 1 and all(map(keeps_size, self.sizes))
        if self._alike:
            self.pixels[name] = pixels
            self._pixel_bytes += len(pixels.data)
        else:
            self.pixels.clear()


def check_unreadable(unreadable: list[tuple[str, str]], found: int, most: float, source: str) -> None:
    """Checks that not too many pictures were left out.

    Args:
        unreadable: name and reason of each.
        found: number of pictures in the source, readable or not.
        most: the share that is tolerated, in [0, 1).
        source: what to call the source in the message.

    Raises:
        DataError: when the share is larger; with the first three reasons and the way out.
    """
    share = len(unreadable) / max(1, found)
    if share <= most:
        return
    examples = "; ".join(f"{one_line(name)}: {reason}" for name, reason in unreadable[:3])
    way_out = "mend or remove them"
    if share < 0.99:
        way_out += f", or go on without them: --set data.max_unreadable={np.ceil(share * 100) / 100:g}"
    raise DataError(
        f"{len(unreadable)} of {found} pictures in {one_line(source)} cannot be read "
        f"(at most {most:.0%} may be): {examples}; {way_out}"
    )


def check_labels(classes: tuple[str, ...], labels: dict[str, NDArray[np.int64]], source: str) -> None:
    """Checks, before anything is trained, that there is something to learn and something to test on.

    Raises:
        DataError: when there are fewer than two classes, a label is out of range, a class has no training
            picture or there is nothing to test on.
    """
    if len(classes) < 2:
        raise DataError(f"{source} has {len(classes)} class; expected two or more to tell apart")
    everything = np.fromiter(chain.from_iterable(labels.values()), dtype=np.int64)
    if len(everything) and not 0 <= everything.min() <= everything.max() < len(classes):
        raise DataError(
            f"{source} has labels from {everything.min()} to {everything.max()}; "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    counts = np.bincount(labels["train"], minlength=len(classes))
    if (counts == 0).any():
        missing = [classes[label] for label in np.flatnonzero(counts == 0)]
        raise DataError(f"{source} has no readable training picture of {shortened(missing)}; add some")
    if not len(labels.get("test", ())):
        raise DataError(f"{source} has no readable test picture; add some, or remove the test folder to draw them")
