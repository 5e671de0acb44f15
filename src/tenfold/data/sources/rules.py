"""How a source is to be read: the words that name splits, and the settings `data.splits` and `data.labels`, parsed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tenfold.core.errors import DataError
from tenfold.core.text import escaped

SPLITS = ("train", "test", "val")

_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
}
_JOINED = ("set", "data", "images", "imgs", "folder")
"""Endings that are written to the word without a separator: `trainset`, `testdata`."""

_ROLES = _WORDS | {f"{word}{ending}": role for word, role in _WORDS.items() for ending in _JOINED}

COLUMNS = ("file", "label", "split", "group")
_OPTIONS = (*COLUMNS, "names")
_LABELS_FORM = (
    "a table, t.csv or t.csv:file=COLUMN,label=COLUMN (also split=, group=, names=FILE), or 'name:REGEX' with the "
    "group (?P<label>…)"
)


@lru_cache(maxsize=4096)  # the same few folders and cells, tens of thousands of times
def split_role(name: str) -> str:
    """Returns the split that a name stands for, by a word in it: `train`, `test`, `val`, or nothing.

    Example:
        >>> [split_role(name) for name in ("training_set", "seg_test", "Valid", "trainLabels", "strain", "train_val")]
        ['train', 'test', 'val', 'train', '', '']
    """
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).casefold()
    roles = {_ROLES[word] for word in re.split(r"[^a-z]+", words) if word in _ROLES}
    return roles.pop() if len(roles) == 1 else ""


def is_split_word(name: str) -> bool:
    """Returns whether a whole name is a word for a split, such as `Testing`."""
    return name.casefold() in _WORDS


@dataclass(frozen=True)
class LabelRule:
    """Where labels come from, as `data.labels` says.

    Args:
        table: path of a table; empty for the columns of the source itself.
        pattern: regular expression for file names, or None.
        columns: the columns that are named, by `file`, `label`, `split` and `group`.
        names: path of a file with the name of each numeric label, or empty.
    """

    table: str = ""
    pattern: re.Pattern[str] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    names: str = ""

    @property
    def text(self) -> str:
        """The setting `data.labels` that is parsed as this rule."""
        if self.pattern is not None:
            return f"name:{self.pattern.pattern}"
        options = {**self.columns, **({"names": self.names} if self.names else {})}
        listed = ",".join(f"{key}={value}" for key, value in options.items())
        return ":".join(part for part in (self.table, listed) if part)


def parse_labels(text: str) -> LabelRule | None:
    """Returns the parsed setting `data.labels`, or None where it is empty.

    Raises:
        DataError: when it is neither a table nor `name:REGEX` with a group `label`.

    Example:
        >>> parse_labels("t.csv:file=id,label=breed").columns
        {'file': 'id', 'label': 'breed'}
    """
    if not text:
        return None
    if text.startswith("name:"):
        return LabelRule(pattern=_pattern(text.removeprefix("name:")))
    named = "|".join(_OPTIONS)
    match = re.fullmatch(rf"(?:(?P<table>.*?):)?(?P<options>(?:{named})=.*)", text, re.DOTALL)
    if match is None:
        if wrong := re.search(r":(\w+)=", text):
            raise DataError(f"data.labels names '{wrong[1]}', which no column is for; expected {_LABELS_FORM}")
        return LabelRule(text)
    options = dict(part.partition("=")[::2] for part in match["options"].split(","))
    unknown = [key for key, value in options.items() if key not in _OPTIONS or not value]
    if unknown:
        raise DataError(
            f"data.labels has '{escaped(unknown[0])}' without a value or a meaning; expected {_LABELS_FORM}"
        )
    names = options.pop("names", "")
    return LabelRule(match["table"] or "", columns=options, names=names)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(
            f"data.labels has a pattern that is no regular expression ({error}): '{escaped(text)}'"
        ) from None
    groups = pattern.groupindex
    if "label" not in groups:
        raise DataError(
            f"data.labels has the pattern '{escaped(text)}' without a group label; expected it where the label is, "
            "such as 'name:(?P<label>[a-z]+)'"
        )
    if extra := sorted(set(groups) - {"label", "group", "split"}):
        raise DataError(
            f"data.labels has a pattern with the group {extra[0]}; expected label, and perhaps group and split"
        )
    return pattern


def parse_splits(text: str) -> dict[str, str]:
    """Returns the parsed setting `data.splits`: split by folder.

    Raises:
        DataError: when it is not of the form `a=train,b=test`, or names no folder for train.

    Example:
        >>> parse_splits("first=train,second=test")
        {'first': 'train', 'second': 'test'}
    """
    splits: dict[str, str] = {}
    for part in text.split(",") if text else ():
        folder, _, split = part.strip().rpartition("=")
        folder = folder.strip().removeprefix("./").strip("/")
        if not folder or split not in SPLITS or folder in splits:
            raise DataError(
                f"data.splits has '{escaped(part.strip())}'; expected each folder once, as FOLDER=train, FOLDER=test "
                "or FOLDER=val, with commas between: a=train,b=test"
            )
        splits[folder] = split
    if splits and "train" not in splits.values():
        raise DataError(f"data.splits is '{escaped(text)}'; expected a folder for train: a=train,b=test")
    return splits


@dataclass(frozen=True)
class SourceRules:
    """How a folder or an archive is read.

    Args:
        labels: where labels come from; None for class folders.
        splits: split by folder; empty to recognize them.
        classes_are_folders: whether the outer folders are classes, whatever their names.
        max_unmatched: fraction of rows or images without a partner above which a table is refused, in [0, 1).
    """

    labels: LabelRule | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    classes_are_folders: bool = False
    max_unmatched: float = 0.05
