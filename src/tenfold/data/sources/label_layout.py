"""Labels from a table or from file names: assigns images to splits and classes without class folders."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, percent, plural
from tenfold.data.sources.folder_layout import FoundFiles, unlabeled_text
from tenfold.data.sources.folder_tree import folder_tree, tree_lines
from tenfold.data.sources.label_table import ImageFinder, LabelTable, named_class, role_of_path, split_named
from tenfold.data.sources.layout import Layout, Placed, arranged
from tenfold.data.sources.rules import LabelRule, SourceRules, split_role
from tenfold.data.types import Skipped

_MAX_NAMED = 3
_MIN_DISTINCT = 50
"""Number of labels from which on there may be too many: a column of numbers, or a pattern that takes whole names."""


class Label(NamedTuple):
    """What a table or a file name says about an image: class, split or an empty text, group or an empty text."""

    class_name: str
    split: str = ""
    group: str = ""


class Unmatched(NamedTuple):
    """A row that labels no image: where it is, and why."""

    where: str
    reason: str


def arrange_by_tables(
    root: Path,
    found: FoundFiles,
    tables: Sequence[LabelTable],
    rules: SourceRules,
    names: Sequence[str],
    *,
    for_training: bool,
) -> Layout:
    """Assigns image files to splits and classes by the rows of tables.

    Args:
        root: the source, for messages.
        found: its files.
        tables: the tables, which share the images.
        rules: how the source is read.
        names: name of each numeric label; empty to take labels as they are.
        for_training: see `arranged`.

    Raises:
        DataError: when too many rows or images have no partner, two rows disagree, or see `arranged`.
    """
    finder = ImageFinder(found.images, found.name)
    labels: dict[str, Label] = {}
    unmatched: list[Unmatched] = []
    unfilled: set[str] = set()
    num_rows = 0
    for table in tables:
        num_rows += len(table.table.rows)
        unmatched += _read_rows(table, finder, names, labels, unfilled)
    unfilled -= labels.keys()
    text = "; ".join(dict.fromkeys(table.text for table in tables))
    named = ", ".join(dict.fromkeys(escaped(table.table.name) for table in tables))
    _check_unmatched(unmatched, num_rows, f"rows of {named} name no image", rules.max_unmatched)
    notes = _unmatched_note(unmatched, f"of {named} left out")
    if unfilled and not labels:
        raise DataError(
            f"{named} has an empty label in each of its {plural(num_rows, 'row')}; expected the class of each image "
            "to train on: fill them in"
        )
    others = [file for file in found.skipped if file.path not in {table.table.name for table in tables}]
    others += [Skipped(path, f"its label in {named} is empty") for path in sorted(unfilled)]
    known = replace(found, images=[path for path in found.images if path not in unfilled], skipped=others)
    layout = _arranged(root, known, labels, text, f"no row in {named}", rules, for_training)
    return replace(layout, notes=(*notes, *layout.notes))


def arrange_by_names(
    root: Path, found: FoundFiles, rule: LabelRule, rules: SourceRules, *, for_training: bool
) -> Layout:
    """Assigns image files to splits and classes by a regular expression.

    It is searched for in file names, or in whole paths where it has a slash.

    Args:
        root: the source, for messages.
        found: its files.
        rule: with the pattern.
        rules: how the source is read.
        for_training: see `arranged`.

    Raises:
        DataError: when too many names do not match, or see `arranged`.
    """
    assert rule.pattern is not None
    whole = "/" in rule.pattern.pattern
    labels = {}
    for path in found.images:
        match = rule.pattern.search(path if whole else path.rpartition("/")[2])
        groups = match.groupdict() if match else {}
        if groups.get("label"):
            split = split_named(groups["split"], escaped(path)) if groups.get("split") else ""
            labels[path] = Label(groups["label"], split, groups.get("group") or "")
    text = f"{'paths' if whole else 'names'} of files by '{escaped(rule.pattern.pattern)}'"
    return _arranged(root, found, labels, text, "its name does not match the pattern", rules, for_training)


def _read_rows(
    table: LabelTable, finder: ImageFinder, names: Sequence[str], labels: dict[str, Label], unfilled: set[str]
) -> Iterator[Unmatched]:
    """Adds the label of each row to `labels`, and images whose label is empty to `unfilled`; yields the other rows.

    Raises:
        DataError: when two rows disagree on an image, or a cell has no meaning.
    """
    file, label = table.columns["file"], table.columns["label"]
    split, group = table.columns.get("split"), table.columns.get("group")
    table_role = split_role(table.table.name.rpartition("/")[2].rpartition(".")[0])
    name = escaped(table.table.name)
    for line, cells in table.table.rows:
        where = f"line {line} of {name}"
        role = split_named(cells[split], where) if split is not None else ""
        paths = finder.find(cells[file], table.folder, role or table_role)
        if len(paths) != 1:
            similar = [] if paths else finder.find(cells[file].replace("\\", "/").rpartition("/")[2])
            yield Unmatched(f"line {line}", _row_fault(cells[file], paths, similar))
            continue
        if not cells[label].strip():
            unfilled.add(paths[0])
            continue
        class_name = named_class(cells[label].strip(), names, where)
        new = Label(class_name, role, cells[group].strip() if group is not None else "")
        if labels.setdefault(paths[0], new) != new:
            raise DataError(
                f"{where} labels {escaped(paths[0])} '{escaped(class_name)}', and another row "
                f"'{escaped(labels[paths[0]].class_name)}', or another split or group; expected one row for each image"
            )


def _row_fault(file: str, paths: Sequence[str], similar: Sequence[str]) -> str:
    if not paths:
        other = f", but {escaped(similar[0])}" if similar else ""
        return f"there is no image '{escaped(file)}'{other}"
    return f"'{escaped(file)}' may be {' or '.join(escaped(path) for path in paths[:3])}"


def _arranged(
    root: Path,
    found: FoundFiles,
    labels: Mapping[str, Label],
    text: str,
    no_label: str,
    rules: SourceRules,
    for_training: bool,
) -> Layout:
    """Returns the layout of labeled images; images without a label are left out, within limits."""
    name = escaped(str(root))
    if not found.images:
        raise DataError(f"{name} holds no images{found.passed_over}; expected those that data.labels is about")
    labeled_folders = {_folder(path) for path in labels}
    unlabeled = Counter(folder for path in found.images if (folder := _folder(path)) not in labeled_folders)
    missing = [path for path in found.images if path not in labels and _folder(path) not in unlabeled]
    total = len(found.images) - unlabeled.total()
    unmatched = [Unmatched(escaped(path), no_label) for path in missing]
    _check_unmatched(unmatched, total, f"images of {name} have no label", rules.max_unmatched)
    if not labels:
        raise DataError(f"{name} has {plural(len(found.images), 'image')}, and data.labels labels none: {no_label}")
    _check_distinct(labels, text)
    split_of = _splits(labels, rules)
    skipped = [Skipped(path, no_label) for path in missing]
    skipped += [Skipped(path, "outside the splits that were named") for path in labels if not split_of[path]]
    placed = [
        Placed(path, split_of[path], label.class_name, label.group) for path, label in labels.items() if split_of[path]
    ]
    understood = f"labels: {text}{unlabeled_text(unlabeled.items())}"
    layout = arranged(root, placed, [*found.skipped, *skipped], understood, for_training=for_training)
    marks = dict.fromkeys(unlabeled, "unlabeled, left out")
    return replace(layout, tree=(f"{escaped(root.name)}/", *tree_lines(folder_tree(found.images), marks, ())))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _splits(labels: Mapping[str, Label], rules: SourceRules) -> dict[str, str]:
    """Returns the split of each labeled image; an empty text for images outside the splits that the user names.

    A split in the table or in the name counts before the folders; those count where they name more than one split.
    """
    if rules.splits:
        return {path: _named_split(path, rules.splits) for path in labels}
    if any(label.split for label in labels.values()):
        return {path: label.split or "train" for path, label in labels.items()}
    of_folder = {folder: role_of_path(f"{folder}/") for folder in {_folder(path) for path in labels}}
    if "train" in of_folder.values() and len(set(of_folder.values()) - {""}) > 1:
        return {path: of_folder[_folder(path)] or "train" for path in labels}
    return dict.fromkeys(labels, "train")


def _named_split(path: str, splits: Mapping[str, str]) -> str:
    return next((split for folder, split in splits.items() if f"/{folder}/" in f"/{path}"), "")


def _check_distinct(labels: Mapping[str, Label], text: str) -> None:
    """Raises DataError where nearly every image has a label of its own, which is no class."""
    distinct = len({label.class_name for label in labels.values()})
    if distinct >= _MIN_DISTINCT and 2 * distinct > len(labels):
        some = ", ".join(escaped(label.class_name) for label in list(labels.values())[:3])
        raise DataError(
            f"labels from the {text} are {distinct:,} different ones for {len(labels):,} images ({some}, …); expected "
            "classes with several images each: name another column or pattern with --labels"
        )


def _check_unmatched(unmatched: Sequence[Unmatched], total: int, found: str, max_fraction: float) -> None:
    """Raises DataError where too many rows or images have no partner."""
    fraction = len(unmatched) / max(1, total)
    if fraction <= max_fraction:
        return
    examples = "; ".join(f"{where}: {reason}" for where, reason in unmatched[:_MAX_NAMED])
    remedy = "correct data.labels (which columns: --labels 't.csv:file=COLUMN,label=COLUMN')"
    if fraction < 0.99:
        remedy += f", or go on without them: --set data.max_unreadable={np.ceil(fraction * 100) / 100:g}"
    raise DataError(
        f"{len(unmatched):,} of {total:,} {found} (at most {percent(max_fraction, 0)} may): {examples}; {remedy}"
    )


def _unmatched_note(unmatched: Sequence[Unmatched], text: str) -> Iterator[str]:
    if unmatched:
        first = ", ".join(f"{where} ({reason})" for where, reason in unmatched[:_MAX_NAMED])
        more = f" and {len(unmatched) - _MAX_NAMED:,} more" if len(unmatched) > _MAX_NAMED else ""
        yield f"{plural(len(unmatched), 'row')} {text}: {first}{more}"
