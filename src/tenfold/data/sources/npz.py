"""NumPy archives of labeled images: `train_images` and `train_labels` as MedMNIST has them, or similar names."""

import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import numpy.lib.format as npy
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, one_line
from tenfold.data.arrays import images_of
from tenfold.data.sources.layout import Placed
from tenfold.data.sources.rules import SPLITS

_NAMES = (*((split, split) for split in SPLITS), ("val", "valid"), ("val", "validation"))
_KEYS = (
    *((split, f"{name}_images", f"{name}_labels") for split, name in _NAMES),
    *((split, f"x_{name}", f"y_{name}") for split, name in _NAMES),
    ("train", "images", "labels"),
    ("train", "x", "y"),
)
"""Split, images and labels; in lower case, as names are compared."""
_EXPECTED = (
    "uint8 images with labels: train_images and train_labels (also test_, val_), x_train and y_train, or images and "
    "labels"
)


class NpzImages:
    """The images of a `.npz` file.

    Args:
        root: the file.

    Raises:
        DataError: when it is damaged, or its arrays are no images with labels.
    """

    def __init__(self, root: Path) -> None:
        self._name = escaped(str(root))
        arrays = self._load(root)
        self._splits: dict[str, tuple[NDArray[np.uint8], list[str]]] = {}
        pairs = []
        named = {name.casefold(): name for name in arrays}
        unused = dict.fromkeys(arrays)
        for split, *keys in _KEYS:
            if split not in self._splits and all(key in named for key in keys):
                images, labels = (named[key] for key in keys)
                self._splits[split] = self._checked(images, arrays[images], labels, arrays[labels])
                pairs.append(f"{images} → {split}")
                del unused[images], unused[labels]
        if not self._splits:
            found = ", ".join(map(escaped, list(arrays)[:12])) or "(none)"
            raise DataError(f"{self._name} has the arrays {found}; expected {_EXPECTED}")
        others = f"; left out: {', '.join(map(escaped, list(unused)[:12]))}" if unused else ""
        self.text = ", ".join(pairs) + others

    def images(self) -> list[Placed]:
        """Returns every image; its path is its split and its row."""
        return [
            Placed(f"{split}/{row:07}", split, label)
            for split, (_, labels) in self._splits.items()
            for row, label in enumerate(labels)
        ]

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields the path of each of these images and its pixels as a PPM file."""
        for path in paths:
            split, _, row = path.partition("/")
            yield path, _ppm(self._splits[split][0][int(row)])

    def _load(self, root: Path) -> dict[str, NDArray[np.generic]]:
        known = {name for _, *names in _KEYS for name in names}
        try:
            with root.open("rb") as file:
                if not is_zipfile(file):  # NumPy takes it for a single array or a pickle
                    raise DataError(f"{self._name} is not a NumPy archive, or is cut short; expected {_EXPECTED}")
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return {name: archive[name] if name.casefold() in known else np.empty(0) for name in archive.files}
        except (OSError, EOFError, BadZipFile, MemoryError, RuntimeError, ValueError, zlib.error) as error:
            if "allow_pickle" in str(error):
                raise DataError(
                    f"{self._name} holds arrays of Python objects, which may run code and are not read; expected "
                    f"{_EXPECTED}"
                ) from error
            raise DataError(
                f"{self._name} cannot be read as a NumPy archive: {one_line(str(error))[:100]}; it is damaged, so "
                "fetch it again"
            ) from error

    def _checked(
        self, images_name: str, images: NDArray[np.generic], labels_name: str, labels: NDArray[np.generic]
    ) -> tuple[NDArray[np.uint8], list[str]]:
        """Returns images, uint8 and one of [N, H, W, 3], [N, 3, H, W] and [N, H, W], and their labels."""
        if images.ndim == 4 and images.shape[3] == 1:
            images = images[..., 0]
        images_of(np.atleast_1d(images)[:1], f"{images_name} of {self._name}")  # says what is wrong with them
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.dtype.kind not in "iuU" or labels.shape != images.shape[:1]:
            raise DataError(
                f"{labels_name} of {self._name} are {labels.dtype} {list(labels.shape)}; expected one integer or "
                f"name for each of the {len(images)} images"
            )
        return images.astype(np.uint8, copy=False), labels.astype(str).tolist()


def npz_size(root: Path) -> tuple[int, int] | None:
    """Returns height and width of the images in a `.npz` file; no pixel is read. None where they are not known.

    Args:
        root: the file.
    """
    with suppress(OSError, EOFError, BadZipFile, ValueError, RuntimeError, zlib.error), ZipFile(root) as archive:
        named = {name.casefold().removesuffix(".npy"): name for name in archive.namelist()}
        for _, images, _ in _KEYS:
            if images in named:
                with archive.open(named[images]) as file:
                    return _height_and_width(_header_shape(file))
    return None


def _header_shape(file: IO[bytes]) -> tuple[int, ...]:
    """Returns the shape of an array in a file of NumPy's format.

    Raises:
        ValueError: when it is none.
    """
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if read is None:
        raise ValueError("a version of the format that is not known")
    shape: tuple[int, ...] = read(file)[0]
    return shape


def _height_and_width(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Returns height and width of images of shape [N, H, W], [N, H, W, 1 or 3] or [N, 3, H, W]; else None."""
    if len(shape) == 4:
        shape = shape[:3] if shape[3] in (1, 3) else (shape[0], *shape[2:])
    return (shape[1], shape[2]) if len(shape) == 3 and min(shape) > 0 else None


def _ppm(image: NDArray[np.uint8]) -> bytes:
    """Returns the bytes of a PPM file of one image; no pixel changes."""
    stream = io.BytesIO()
    Image.fromarray(images_of(image[None], "image")[0]).save(stream, "PPM")
    return stream.getvalue()
