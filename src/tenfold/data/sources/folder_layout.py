"""Class folders: assigns image paths to splits and classes by their folders, a pure function of the names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, plural
from tenfold.data.sources.folder_plan import UNLABELED, FolderPlan, plan_folders
from tenfold.data.sources.folder_tree import folder_tree, tree_lines
from tenfold.data.sources.layout import ACCEPTED, Layout, Placed, arranged
from tenfold.data.sources.rules import SourceRules
from tenfold.data.types import Skipped

_MAX_NAMED = 5


@dataclass(frozen=True)
class FoundFiles:
    """The files of a source by their paths, with `/` between parts.

    Args:
        images: image files.
        skipped: files that are left out, with the reason.
        empty_folders: folders that hold nothing.
        name: name of the source, from which on tables may write the paths of its files.
    """

    images: Sequence[str]
    skipped: Sequence[Skipped] = ()
    empty_folders: Sequence[str] = ()
    name: str = ""

    @property
    def passed_over(self) -> str:
        """The part of a message that says what a source without images holds instead."""
        if not self.skipped:
            return ""
        first, more = self.skipped[0], len(self.skipped) - 1
        others = f" and {plural(more, 'other file')}" if more else ""
        return f", only {escaped(first.path)} ({first.reason}){others}"


def arrange_folders(root: Path, found: FoundFiles, rules: SourceRules, *, for_training: bool) -> Layout:
    """Assigns image files to splits and classes by the folders that they are in.

    Args:
        root: the source, for messages.
        found: its files.
        rules: how folders are read.
        for_training: see `arranged`.

    Raises:
        DataError: when there are no images or too few classes, folders may be splits or classes, or for training a
            class has no images in train.
    """
    if not found.images:
        raise DataError(f"{escaped(str(root))} holds no images{found.passed_over}; {ACCEPTED}")
    tree = folder_tree(found.images)
    name = escaped(str(root))
    plan = plan_folders(name, tree, rules.splits, classes_are_folders=rules.classes_are_folders)
    placed, skipped = _placed(found.images, plan)
    layout = arranged(root, placed, [*found.skipped, *skipped], _understood(plan), for_training=for_training)
    empty = _empty_notes(found.empty_folders, plan, layout.classes)
    marks = {part.named: _mark(part.split, layout) for part in plan.splits if part.named}
    marks |= dict.fromkeys(plan.unlabeled, "unlabeled, left out")
    holders = {*(part.path for part in plan.splits), *plan.unlabeled}
    return replace(
        layout,
        notes=(*layout.notes, *empty),
        has_splits=plan.has_splits,
        tree=(f"{escaped(root.name)}/", *tree_lines(tree, marks, holders)),
    )


def _placed(images: Iterable[str], plan: FolderPlan) -> tuple[list[Placed], list[Skipped]]:
    """Returns the images with split and class, and the others but unlabeled ones, which are counted elsewhere."""
    of_folder: dict[str, tuple[str, str, str]] = {}
    placed, skipped = [], []
    for path in images:
        folder = path.rpartition("/")[0]
        if folder not in of_folder:
            of_folder[folder] = plan.place(folder)
        split, class_name, reason = of_folder[folder]
        if not reason:
            placed.append(Placed(path, split, class_name))
        elif reason != UNLABELED:
            skipped.append(Skipped(path, reason))
    return placed, skipped


def _mark(split: str, layout: Layout) -> str:
    return "test" if split == "val" and not layout.indices_of("val") else split


def _understood(plan: FolderPlan) -> str:
    """Returns the sentence that says how the folders were understood."""
    if plan.has_splits:
        text = ", ".join(f"{escaped(part.named)} → {part.split}" for part in plan.splits)
    else:
        where = plan.splits[0].path
        text = "one folder per class" + (f" in {escaped(where)}" if where else "")
    return f"layout: {text}{unlabeled_text(plan.unlabeled.items())}"


def unlabeled_text(folders: Iterable[tuple[str, int]]) -> str:
    """Returns the part of a sentence that names folders of unlabeled images, or an empty text.

    Args:
        folders: path and number of images of each.
    """
    parts = [f"{escaped(path or '.')} ({plural(count, 'unlabeled image')})" for path, count in sorted(folders)]
    more = f" and {plural(len(parts) - _MAX_NAMED, 'more folder')}" if len(parts) > _MAX_NAMED else ""
    return f"; left out: {', '.join(parts[:_MAX_NAMED])}{more}" if parts else ""


def _empty_notes(empty_folders: Iterable[str], plan: FolderPlan, classes: Sequence[str]) -> Iterator[str]:
    holders = {part.path for part in plan.splits}
    for folder in empty_folders:
        parent, _, name = folder.rpartition("/")
        if parent in holders and name not in classes:
            yield f"class folder '{escaped(folder)}' holds no images: left out"
