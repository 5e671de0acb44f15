"""Files that hold many labeled images: Parquet files of Hugging Face, NumPy archives, and tar files of WebDataset.

All are lists of rows with a name, a split and a label each; images are read in a second pass, as bytes of image files.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.data.decode.decode import is_image_name
from tenfold.data.sources.folder_layout import unlabeled_text
from tenfold.data.sources.folder_tree import folder_tree, tree_lines
from tenfold.data.sources.label_table import named_class
from tenfold.data.sources.layout import Layout, Placed, arranged
from tenfold.data.sources.npz import NpzImages
from tenfold.data.sources.parquet_images import ParquetImages
from tenfold.data.sources.rules import SourceRules
from tenfold.data.sources.webdataset import CLASSES_FILE, TAR, TarImages, is_pattern, is_webdataset, pattern_files
from tenfold.data.types import Skipped

CONTAINER_SUFFIXES = (".parquet", ".npz")


class Container(Protocol):
    """A source of labeled images that is no folder of files.

    Attributes:
        text: how it was understood, for people.
    """

    text: str

    def images(self) -> list[Placed]:
        """Returns every image; the class of an unlabeled one is an empty text, the split of others too."""

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields the path of each of these images and the bytes of its file."""


def is_container(path: Path) -> bool:
    """Returns whether a file has the name of a container, or is a tar file of WebDataset or a pattern of such files."""
    return path.name.casefold().endswith(CONTAINER_SUFFIXES) or is_pattern(path) or is_webdataset(path)


def container_files(paths: Sequence[str]) -> list[str]:
    """Returns the Parquet or else the tar files of a folder; none where it holds image files, which they may label."""
    parquet, tar = ([path for path in paths if path.casefold().endswith(suffix)] for suffix in (".parquet", TAR))
    files = parquet or tar
    return [] if files and any(map(is_image_name, paths)) else files


def content_files(root: Path, paths: Sequence[str]) -> list[Path]:
    """Returns the files whose content decides the images of a source: containers, and names of their classes.

    Args:
        root: a folder, a file, or a pattern of files.
        paths: of the files of a folder.
    """
    if is_pattern(root):
        files = pattern_files(root)
        return [*files, *(path for path in [files[0].parent / CLASSES_FILE] if path.is_file())]
    containers = container_files(paths)
    named = [CLASSES_FILE] if containers and containers[0].casefold().endswith(TAR) and CLASSES_FILE in paths else []
    return [root / path for path in (*containers, *named)]


def open_container(root: Path, files: Sequence[str], rules: SourceRules) -> Container:
    """Opens a container without reading images.

    Args:
        root: a file, or the folder that holds `files`.
        files: paths of Parquet or tar files in a folder; empty for a file.
        rules: how it is read.

    Raises:
        DataError: when it is damaged, or its images or labels are not found.
    """
    if rules.splits or rules.classes_are_folders or (rules.labels and (rules.labels.table or rules.labels.pattern)):
        raise DataError(
            f"{escaped(str(root))} has its own labels and splits, so data.splits, data.classes_are_folders and tables "
            "do not apply; leave them out, or name its columns: --labels label=COLUMN"
        )
    if root.name.casefold().endswith(".npz"):
        return NpzImages(root)
    if (files[0] if files else root.name).casefold().endswith(TAR):
        names = (rules.labels.names,) if rules.labels and rules.labels.names else ()
        return TarImages(root, files, rules.labels.columns if rules.labels else {}, names)
    return ParquetImages(root, files, rules.labels.columns if rules.labels else {})


def arrange_container(root: Path, container: Container, names: Sequence[str], *, for_training: bool) -> Layout:
    """Returns the layout of the images of a container.

    Args:
        root: the source, for messages.
        container: its images.
        names: name of each numeric label; empty to take labels as they are.
        for_training: see `arranged`.

    Raises:
        DataError: see `arranged`.
    """
    images = container.images()
    unlabeled = Counter(image.path.rpartition("/")[0] for image in images if not image.class_name)
    outside = Counter(image.path.rpartition("/")[0] for image in images if image.class_name and not image.split)
    skipped = [Skipped(path, "outside train, test and val") for path in outside]
    placed = [
        image._replace(class_name=named_class(image.class_name, names, escaped(image.path)))
        for image in images
        if image.class_name and image.split
    ]
    understood = f"layout: {container.text}{unlabeled_text(unlabeled.items())}"
    layout = arranged(root, placed, skipped, understood, for_training=for_training)
    tree = tree_lines(folder_tree([image.path for image in images]), {}, ())
    parts = container.parts if isinstance(container, TarImages) else {}
    return replace(layout, tree=(escaped(root.name), *tree), read=container.read, parts=parts)
