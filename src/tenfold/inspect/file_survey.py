"""What the files of a source are: formats, sizes, modes and what will be converted; only headers are read."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tenfold.data.decode.decode import FORMATS, FileSource
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.download import Progress
from tenfold.data.sources.layout import Layout

CONVERTED = {
    "grey": "in grey: become RGB",
    "black and white": "in black and white: become RGB",
    "palette": "with a palette: become RGB",
    "alpha": "with transparency: laid over white",
    "CMYK": "in CMYK: become RGB, without a colour profile",
    "16-bit": "of 16 bits a channel: the upper eight are kept",
    "EXIF-rotated": "with an EXIF tag that turns them: turned upright",
}
"""Kinds of files whose pixels are changed on the way to RGB, and how; the rule is that of data/decode.py."""

_ORIENTATION_TAG = 0x0112
_MOST_PATHS = 5
_PROGRESS_EVERY = 500


@dataclass
class Survey:
    """What the headers of all picture files say.

    Args:
        formats: number of files by format, `unknown` where a header cannot be read.
        modes: number of files by Pillow's mode.
        sizes: number of files by height and width as stored, before EXIF turns them.
        converted: number of files by kind, see `CONVERTED`.
        examples: some paths of each kind.
    """

    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    converted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, source: FileSource) -> None:
        """Reads one header; a file that has none is counted as `unknown`, and decoding will say why."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, of odd metadata and of large pictures
                with Image.open(_stream(source), formats=FORMATS) as image:
                    kinds = _kinds(image)
                    self.sizes[image.height, image.width] += 1
                    self.modes[image.mode] += 1
                    self.formats[str(image.format)] += 1
        except Exception:  # a damaged file can raise nearly anything inside Pillow's readers
            self.formats["unknown"] += 1
            return
        for kind in kinds:
            self.converted[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < _MOST_PATHS:
                examples.append(path)

    def to_json(self) -> dict[str, object]:
        """Returns plain values; sizes as `width×height`, the most frequent first."""
        return {
            "formats": dict(self.formats.most_common()),
            "modes": dict(self.modes.most_common()),
            "sizes": {f"{width}×{height}": count for (height, width), count in self.sizes.most_common()},
            "converted": {
                kind: {"pictures": count, "examples": self.examples[kind]}
                for kind, count in self.converted.most_common()
            },
        }


def survey(path: Path, progress: Progress) -> tuple[Survey, Layout]:
    """Reads the header of every picture of a folder or archive, and finds the classes on the way.

    Args:
        path: a folder or archive of class folders.
        progress: told how many files were looked at.

    Raises:
        DataError: when there is nothing, or nothing that could be learnt.
    """
    found = Survey()
    seen = 0

    def look(name: str, source: FileSource) -> None:
        nonlocal seen
        found.add(name, source)
        seen += 1
        if seen % _PROGRESS_EVERY == 1:
            progress("Looking at files", seen, 0)

    return found, scan(path, look=look)


def _stream(source: FileSource) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _kinds(image: Image.Image) -> Sequence[str]:
    """Returns the kinds of `CONVERTED` that a picture is of, from its header."""
    mode = image.mode
    tests = {
        "grey": mode in ("L", "LA", "I", "F") or mode.startswith("I;16"),
        "black and white": mode == "1",
        "palette": mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "CMYK": mode == "CMYK",
        "16-bit": mode.startswith("I") or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())),
        "EXIF-rotated": "exif" in image.info and image.getexif().get(_ORIENTATION_TAG, 1) in range(2, 9),
    }
    return [kind for kind, is_so in tests.items() if is_so]
