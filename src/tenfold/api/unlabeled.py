"""Images without labels: an image file, a pattern, or a folder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.core.disk import expanded
from tenfold.core.progress import Progress
from tenfold.core.text import escaped, plural
from tenfold.data.decode.decode import is_image_name
from tenfold.data.decode.image_paths import find_images
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.sources.class_folders import list_folder
from tenfold.deploy.predictor import ReadImage, read_images

_PATTERN_MARKS = "*?["
_LABEL_TABLES = ("metadata.csv", "metadata.jsonl")  # found by themselves, as those of Hugging Face


class UnlabeledImages(NamedTuple):
    """Some images of a source.

    Args:
        names: their paths, from the folder that the source names.
        images: uint8 [B, H, W, 3].
        num_unread: number of images beside them that cannot be read.
    """

    names: list[str]
    images: NDArray[np.uint8]
    num_unread: int = 0


def is_unlabeled(source: str) -> bool:
    """Returns whether a source can only be read as images without labels.

    That is an image file, a pattern, or a folder whose images all lie in itself and without a table that labels them.

    Example:
        >>> is_unlabeled("photos/**/*.jpg"), is_unlabeled("cifar10")
        (True, False)
    """
    path = expanded(source)
    if not path.is_dir():
        return is_image_name(path.name) if path.exists() else any(mark in source for mark in _PATTERN_MARKS)
    files = [file.path for file in list_folder(path).files]
    images = [file for file in files if is_image_name(file)]
    return bool(images) and not any("/" in file for file in images) and not set(_LABEL_TABLES) & set(files)


Read = Callable[[Sequence[Path]], Iterable[list[ReadImage]]]
"""Reads files in batches, as `read_images` does."""


def read_unlabeled(
    source: str, preprocessing: Preprocessing, progress: Progress, read: Read | None = None
) -> Iterator[UnlabeledImages]:
    """Yields the images of a source, brought to the size of a network, in order.

    A line says which files are no images, and a warning which images cannot be read.

    Args:
        source: an image file, a pattern, or a folder, which is searched with its subfolders.
        preprocessing: of the network.
        progress: receives messages, and how many images are done.
        read: reads the files in place of `read_images`; it may also return something else than pixels.

    Raises:
        DataError: when there is no image.
    """
    paths, skipped = find_images([str(expanded(source))])
    if skipped:
        progress.message(f"{plural(len(skipped), 'other file')} skipped, the first: {escaped(skipped[0].name)}")
    folder, done = _folder_of(expanded(source)), 0
    for decoded in read_images(paths, preprocessing) if read is None else read(paths):
        for each in decoded:
            if each.error is not None:
                progress.warn(f"left out: {each.error}")
        found = [(_relative(each.name, folder), each.image) for each in decoded if each.image is not None]
        if found:
            names, images = [name for name, _ in found], np.stack([image for _, image in found])
            yield UnlabeledImages(names, images, len(decoded) - len(found))
        done += len(decoded)
        progress.prepare("Reading images", done, len(paths))


def _folder_of(source: Path) -> Path:
    """Returns the folder that a source names: itself, or the one before the first part of a pattern, or of a file."""
    if source.is_dir():
        return source
    if source.exists():
        return source.parent
    parts = source.parts
    first = next((index for index, part in enumerate(parts) if any(mark in part for mark in _PATTERN_MARKS)), -1)
    return Path(*parts[:first])


def _relative(name: str, folder: Path) -> str:
    path = Path(name)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
