"""Which folders of a source are splits: by words in their names and by what they hold.

Nothing is guessed: folders that could be splits or classes are asked for.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.core.text import escaped
from tenfold.data.sources.folder_tree import Folder, all_folders
from tenfold.data.sources.layout import UnlabeledError
from tenfold.data.sources.rules import SPLITS, is_split_word, split_role

_MAX_SHARED = 3
"""Largest number of folders with the same folders inside that may be splits; more are classes or domains."""

_MIN_SHARED = 2
"""Smallest number of class folders that two folders share if they may be splits."""

UNLABELED = "unlabeled"
"""Why an image in a folder without class folders beside the splits is left out."""


class SplitFolder(NamedTuple):
    """A folder of class folders.

    Args:
        path: path of the folder that holds the class folders; empty for the source itself.
        split: name of its split.
        named: path of the outer folder that names the split; empty where there are no splits.
    """

    path: str
    split: str
    named: str = ""


@dataclass(frozen=True)
class FolderPlan:
    """Which folders hold class folders, and which do not.

    Args:
        splits: the folders of class folders.
        has_splits: whether they are splits; else all their images are for training.
        unlabeled: number of images by path of the folder, where a folder beside the splits has no class folders.
    """

    splits: tuple[SplitFolder, ...]
    has_splits: bool = False
    unlabeled: Mapping[str, int] = field(default_factory=dict)

    def place(self, folder: str) -> tuple[str, str, str]:
        """Returns split and class of the images in a folder, and the reason where they have none."""
        for part in self.splits:
            if inner := _inside(folder, part.path):
                return part.split, inner.split("/")[0], ""
            if inner is not None or (part.named and _inside(folder, part.named) is not None):
                return "", "", "not in a class folder"
        if any(_inside(folder, path) is not None for path in self.unlabeled):
            return "", "", UNLABELED
        return "", "", "outside train, test and val" if self.has_splits else "not in a class folder"


def _inside(folder: str, outer: str) -> str | None:
    """Returns the path of a folder within another one, or None where it is not in it."""
    if not outer or folder == outer:
        return folder[len(outer) :]
    return folder[len(outer) + 1 :] if folder.startswith(f"{outer}/") else None


def plan_folders(
    name: str, root: Folder, splits: Mapping[str, str] | None = None, *, classes_are_folders: bool = False
) -> FolderPlan:
    """Decides which folders are splits and which are classes.

    Folders that only wrap another one are looked through.

    Args:
        name: name of the source, for messages.
        root: the tree of its folders.
        splits: split by folder, as the user names them; None or empty to recognize them.
        classes_are_folders: whether the outer folders are classes, whatever their names.

    Raises:
        DataError: when a folder that the user names is not there, or folders may be splits or classes.
    """
    if splits:
        return _named_plan(name, root, splits)
    node = root
    while True:
        if not classes_are_folders and (plan := _recognized(name, node)):
            return plan
        only = next(iter(node.folders.values()), None)
        if len(node.folders) != 1 or only is None or not only.folders:
            return FolderPlan((SplitFolder(node.path, "train"),))
        node = only


def _named_plan(name: str, root: Folder, splits: Mapping[str, str]) -> FolderPlan:
    """Returns the plan with the splits that the user names; their folders may lie in wrappers."""
    node = root
    while len(node.folders) == 1 and not any(named.split("/")[0] in node.folders for named in splits):
        node = next(iter(node.folders.values()))
    known = {folder.path.removeprefix(node.path).strip("/"): folder.path for folder in all_folders(node)}
    missing = [named for named in splits if named not in known]
    if missing:
        found = _listed(sorted(node.folders)) or "no folders"
        raise DataError(
            f"{name} has no folder '{escaped(missing[0])}' with images, which data.splits names; expected folders "
            f"in it (found: {found})"
        )
    return _plan_of(node, {known[named]: role for named, role in splits.items()}, node)


def _recognized(name: str, node: Folder) -> FolderPlan | None:
    """Returns the plan where the folders of a folder are splits, or None where they are classes or a wrapper.

    Raises:
        DataError: when they may be either.
    """
    roles = _roles(node.folders)
    inner = {folder: _classes(node.folders[folder]) for folder in node.folders}
    labeled = {folder: role for folder, role in roles.items() if inner[folder]}
    if len(set(roles.values())) >= 2:
        return _split_plan(name, node, labeled)
    holders = [folder for folder, classes in inner.items() if len(classes) >= _MIN_SHARED]
    nested = [folder for folder in holders if len(set(_roles(inner[folder]).values())) >= 2]
    if nested and len(node.folders) > 1:
        raise _nested(name, node, nested[0], sorted(inner[nested[0]]))
    if 2 <= len(holders) <= _MAX_SHARED and all(_share(inner[a], inner[b]) for a, b in combinations(holders, 2)):
        raise _ask(name, node, holders, "hold the same folders")
    exact = {folder: role for folder, role in labeled.items() if is_split_word(folder) and folder not in nested}
    if exact:
        return _split_plan(name, node, exact)
    if labeled and holders and len(node.folders) > 1:
        raise _ask(name, node, list(labeled), "is named like a split and holds folders")
    return None


def _roles(names: Iterable[str]) -> dict[str, str]:
    """Returns the split of each name that stands for one."""
    return {name: role for name in names if (role := split_role(name))}


def _split_plan(name: str, node: Folder, labeled: Mapping[str, str]) -> FolderPlan:
    """Returns the plan of folders that are named like splits.

    Args:
        name: name of the source.
        node: the folder that holds them.
        labeled: split by name of the folder, of those that hold class folders.
    """
    twice = [role for role, count in Counter(labeled.values()).items() if count > 1]
    if twice:
        raise _ask(name, node, list(labeled), f"are named like splits, several like {twice[0]}")
    if not labeled:
        raise UnlabeledError(
            f"{name} has the folders {_listed(sorted(node.folders))}, which are named like splits and hold images but "
            "no class folders; expected train/<class>/… and test/<class>/…, or --labels to say where the labels are; "
            "if the folders are the classes: --classes-are-folders"
        )
    return _plan_of(node, {node.folders[folder].path: role for folder, role in labeled.items()}, node)


def _plan_of(root: Folder, splits: Mapping[str, str], beside: Folder) -> FolderPlan:
    """Returns the plan with these folders as splits.

    Args:
        root: a folder that holds them.
        splits: split by path.
        beside: the folder whose other folders are listed as unlabeled where they hold no class folders.
    """
    folders = {path: folder for folder in all_folders(root) if (path := folder.path) in splits}
    classes = {inner for path, role in splits.items() if role == "train" for inner in _classes(folders[path])}
    ordered = sorted(splits.items(), key=lambda item: SPLITS.index(item[1]))
    parts = tuple(SplitFolder(_unwrapped(folders[path], classes).path, role, path) for path, role in ordered)
    unlabeled = {
        each.path: each.total for each in beside.folders.values() if each.path not in splits and not _classes(each)
    }
    return FolderPlan(parts, True, unlabeled)


def _unwrapped(folder: Folder, classes: Iterable[str] = ()) -> Folder:
    """Returns the folder that holds class folders, below folders that only wrap it.

    Args:
        folder: a folder that may be a split.
        classes: names that are known as classes, which no wrapper has.
    """
    while len(folder.folders) == 1 and not folder.images:
        (name, inner), own = next(iter(folder.folders.items())), folder.path.rpartition("/")[2]
        may_wrap = inner.folders or name.casefold() == own.casefold() or split_role(name)
        if name in classes or not may_wrap:
            break
        folder = inner
    return folder


def _classes(folder: Folder) -> set[str]:
    """Returns the names of the class folders in a folder that may be a split."""
    return set(_unwrapped(folder).folders)


def _share(first: set[str], second: set[str]) -> bool:
    """Returns whether two folders hold the same class folders, apart from a few."""
    shared = len(first & second)
    return shared >= _MIN_SHARED and 2 * shared >= min(len(first), len(second))


def _ask(name: str, node: Folder, folders: Sequence[str], found: str) -> DataError:
    train = next((folder for folder in folders if split_role(folder) == "train"), None)
    train = train or max(folders, key=lambda folder: node.folders[folder].total)
    roles = {folder: split_role(folder) or ("train" if folder == train else "test") for folder in folders}
    proposal = ",".join(f"{folder}={role}" for folder, role in roles.items())
    noun = "folder" if len(folders) == 1 else "folders"
    return DataError(
        f"{name} has the {noun} {_listed(folders)}, which {found}: splits or classes? expected train and test in their "
        f"names; for splits: --splits '{escaped(proposal)}', for classes: --classes-are-folders"
    )


def _nested(name: str, node: Folder, folder: str, inner: Sequence[str]) -> DataError:
    """Returns the error for splits that lie in one of several folders."""
    path = node.folders[folder].path
    named = {f"{path}/{each}": role for each in inner if (role := split_role(each))}
    proposal = ",".join(f"{each}={role}" for each, role in named.items())
    return DataError(
        f"{name} has the folders {_listed(list(node.folders))}, and '{escaped(folder)}' holds folders that are named "
        f"like splits ({_listed(inner)}); expected splits in the outermost folder: --splits '{escaped(proposal)}', or "
        "for splits within each class folder: --labels 'name:(?P<label>[^/]+)/(?P<split>[^/]+)/[^/]+$'"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{escaped(name)}'" for name in names[:5]) + (" …" if len(names) > 5 else "")
