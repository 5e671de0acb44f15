"""The folders of a source as a tree, and a drawing of it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tenfold.core.text import escaped, natural_key, plural

_MAX_DRAWN = 12
"""Largest number of folders of one folder that are drawn."""


@dataclass
class Folder:
    """A folder with its images and folders.

    Args:
        path: path in the source, with `/` between parts; empty for the source itself.
        images: number of images in it, without those in its folders.
        folders: the folders in it that hold images, by name.
    """

    path: str
    images: int = 0
    folders: dict[str, "Folder"] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of images in it and below."""
        return self.images + sum(folder.total for folder in self.folders.values())


def folder_tree(paths: Iterable[str]) -> Folder:
    """Returns the tree of the folders that hold images."""
    root = Folder("")
    for parent, count in Counter(path.rpartition("/")[0] for path in paths).items():
        node = root
        for name in parent.split("/") if parent else ():
            node = node.folders.setdefault(name, Folder(f"{node.path}/{name}".lstrip("/")))
        node.images += count
    return root


def all_folders(node: Folder) -> Iterator[Folder]:
    """Yields the folders below a folder."""
    for folder in node.folders.values():
        yield folder
        yield from all_folders(folder)


def tree_lines(root: Folder, marks: Mapping[str, str], holders: Collection[str]) -> Iterator[str]:
    """Yields a drawing of the folders.

    Args:
        root: the tree.
        marks: what a folder is, by path.
        holders: paths of the folders of class folders, below which nothing is drawn.
    """
    yield from _branch(root, marks, holders, "")


def _branch(node: Folder, marks: Mapping[str, str], holders: Collection[str], indent: str) -> Iterator[str]:
    folders = sorted(node.folders.values(), key=lambda folder: natural_key(folder.path))
    for number, folder in enumerate(folders[:_MAX_DRAWN]):
        is_last = number == len(folders) - 1
        name, mark = escaped(folder.path.rpartition("/")[2]), marks.get(folder.path, "")
        line = f"{indent}{'└── ' if is_last else '├── '}{name}/  {plural(folder.total, 'image')}"
        yield f"{line} → {mark}" if mark else line
        if node.path not in holders:
            yield from _branch(folder, marks, holders, indent + ("    " if is_last else "│   "))
    if rest := folders[_MAX_DRAWN:]:
        images = plural(sum(folder.total for folder in rest), "image")
        yield f"{indent}└── … and {plural(len(rest), 'more folder')} with {images}"
