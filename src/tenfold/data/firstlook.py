"""The first look at the pictures of a source, as they are found: what sizes do they have?

Small pictures of one size keep it. So small ones are decoded at once, as long as all have the same size: where it
stays so, nothing has to be read or opened twice.
"""

from collections import Counter
from contextlib import suppress

from tenfold.core.errors import DataError
from tenfold.data.decode import FileSource, picture_size
from tenfold.data.decoders import Decoders
from tenfold.data.download import Progress
from tenfold.data.pixels import Pixels, small_pixels
from tenfold.data.sizing import LARGEST_OWN, keeps_size

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
