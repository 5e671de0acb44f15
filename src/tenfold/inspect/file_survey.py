"""Survey of image files by their headers: formats, sizes, color modes, and what decoding converts."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tenfold.core.text import one_line
from tenfold.data.decode.decode import FileSource, opened, upright_size
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.layout import Layout
from tenfold.data.sources.rules import SourceRules
from tenfold.data.types import ProgressCallback

CONVERTED = {
    "grey": "in grayscale: converted to RGB",
    "black and white": "in black and white: converted to RGB",
    "palette": "with a palette: converted to RGB",
    "alpha": "with transparency: laid over white",
    "CMYK": "in CMYK: converted to RGB, without a color profile",
    "16-bit": "with 16 bits per channel: scaled to 8",
    "several frames": "of several frames or pages: only the first is read",
    "EXIF-rotated": "with an EXIF orientation: rotated upright",
}
"""Kinds of files whose pixels change on the way to RGB, and how; see data/decode/to_rgb.py."""

_ORIENTATION_TAG = 0x0112
_MAX_EXAMPLES = 5
_PROGRESS_INTERVAL = 500  # files


@dataclass
class FileSurvey:
    """Counts of image files by what their headers say.

    Args:
        formats: number of files by format, `unknown` if a header cannot be read.
        modes: number of files by Pillow mode.
        sizes: number of files by height and width of the upright image.
        converted: number of files by kind, see `CONVERTED`.
        examples: some paths of each kind.
        pillow_warnings: the first warning of Pillow about a file, by path.
    """

    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    converted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    pillow_warnings: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, source: FileSource) -> None:
        """Reads one header. A file without a valid one counts as `unknown`; decoding reports the reason."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with opened(source) as image:
                    kinds = _conversions(image)
                    self.sizes[upright_size(image)] += 1
                    self.modes[image.mode] += 1
                    self.formats[str(image.format)] += 1
        except Exception:  # a damaged file can raise nearly anything inside Pillow's readers
            self.formats["unknown"] += 1
            return
        if caught:
            self.pillow_warnings[path] = one_line(str(caught[0].message))
        for kind in kinds:
            self.converted[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < _MAX_EXAMPLES:
                examples.append(path)

    def to_json(self) -> dict[str, object]:
        """Returns plain values, most frequent first; sizes as `width×height`."""
        return {
            "formats": dict(self.formats.most_common()),
            "modes": dict(self.modes.most_common()),
            "sizes": {f"{width}×{height}": count for (height, width), count in self.sizes.most_common()},
            "converted": {
                kind: {"pictures": count, "examples": self.examples[kind]}
                for kind, count in self.converted.most_common()
            },
        }


def survey_files(path: Path, rules: SourceRules, progress: ProgressCallback) -> tuple[FileSurvey, Layout]:
    """Reads the header of every image of a folder or archive and finds its classes in the same pass.

    Args:
        path: a folder or an archive.
        rules: how splits and classes are found.
        progress: called with the number of files read.

    Raises:
        DataError: when nothing is there, or nothing to train on.
    """
    survey = FileSurvey()
    num_files = 0

    def add(name: str, source: FileSource) -> None:
        nonlocal num_files
        survey.add(name, source)
        num_files += 1
        if num_files % _PROGRESS_INTERVAL == 1:
            progress("Reading image headers", num_files, 0)

    return survey, scan(path, on_image=add, rules=rules)


def _conversions(image: Image.Image) -> Sequence[str]:
    """Returns the kinds in `CONVERTED` that apply to an image, from its header."""
    mode = image.mode
    applies = {
        "grey": mode in ("L", "LA", "I", "F") or mode.startswith("I;16"),
        "black and white": mode == "1",
        "palette": mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "CMYK": mode == "CMYK",
        "16-bit": mode.startswith("I") or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())),
        "several frames": getattr(image, "is_animated", False),
        "EXIF-rotated": "exif" in image.info and image.getexif().get(_ORIENTATION_TAG, 1) in range(2, 9),
    }
    return [kind for kind, is_true in applies.items() if is_true]
