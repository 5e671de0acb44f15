"""`data.group`: which images belong together, so that no split tears them apart."""

import re
from dataclasses import replace
from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, plural
from tenfold.data.sources.layout import Layout
from tenfold.data.sources.rules import LabelRule

_EXPECTED = (
    "a regular expression for the path of an image with the name of its group in parentheses, such as "
    "'(patient\\d+)', the column of a label table, duplicates, or none"
)
_WORDS = ("", "none", "duplicates")


class GroupRule(NamedTuple):
    """What `data.group` says.

    Args:
        word: `none`, `duplicates`, or empty for the groups that labels name.
        pattern: regular expression whose group names the group of an image, or None.
        column: column of a label table, or empty.
    """

    word: str = ""
    pattern: re.Pattern[str] | None = None
    column: str = ""


def parse_group(text: str) -> GroupRule:
    r"""Returns the parsed setting `data.group`.

    Raises:
        DataError: when it is no regular expression, or one without a group.

    Example:
        >>> parse_group("duplicates").word, parse_group("column:patient").column, parse_group("(p\\d+)_").pattern.groups
        ('duplicates', 'patient', 1)
    """
    if text in _WORDS:
        return GroupRule(text)
    if text.startswith("column:") or not re.search(r"[()\\\[\]*+?^$|{}]", text):
        return GroupRule(column=text.removeprefix("column:"))
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(
            f"data.group '{escaped(text)}' is no regular expression ({error}); expected {_EXPECTED}"
        ) from None
    if not pattern.groups:
        raise DataError(f"data.group '{escaped(text)}' has no group in parentheses; expected {_EXPECTED}")
    return GroupRule(pattern=pattern)


def with_group_column(labels: LabelRule | None, column: str) -> LabelRule | None:
    """Returns the rule for labels with the column that names the groups; without a table, that of the source's own.

    Raises:
        DataError: when the labels do not come from a table.
    """
    if not column:
        return labels
    if labels is not None and labels.pattern is not None:
        raise DataError(
            f"data.group names the column '{escaped(column)}', but the labels come from file names; name the group in "
            "their pattern, (?P<group>…), or expected " + _EXPECTED
        )
    rule = labels or LabelRule()
    return replace(rule, columns={**rule.columns, "group": column})


def grouped(layout: Layout, rule: GroupRule) -> Layout:
    """Returns the layout with the groups that a rule asks for; those of duplicates are found in the images later.

    Raises:
        DataError: when no image has such a group.
    """
    if rule.word in ("none", "duplicates"):
        return replace(layout, entries=tuple(entry._replace(group="") for entry in layout.entries))
    if rule.pattern is None:
        if rule.column and not any(entry.group for entry in layout.entries):
            raise DataError(
                f"data.group names the column '{escaped(rule.column)}', but no label of {escaped(str(layout.root))} "
                f"comes from a table that has it; expected {_EXPECTED}"
            )
        return layout
    entries = tuple(entry._replace(group=_name(rule.pattern, entry.path)) for entry in layout.entries)
    alone = [entry.path for entry in entries if not entry.group]
    if len(alone) == len(entries):
        raise DataError(
            f"data.group '{escaped(rule.pattern.pattern)}' matches none of {plural(len(entries), 'image')}, such as "
            f"'{escaped(alone[0])}'; expected {_EXPECTED}"
        )
    note = (
        f"{plural(len(alone), 'image')} without a group by '{escaped(rule.pattern.pattern)}', the first "
        f"'{escaped(alone[0]) if alone else ''}': each is a group of its own"
    )
    return replace(layout, entries=entries, notes=(*layout.notes, *([note] if alone else [])))


def _name(pattern: re.Pattern[str], path: str) -> str:
    """Returns the name of the group of an image: what `group` or the first group of the pattern matches."""
    match = pattern.search(path)
    return (match["group" if "group" in pattern.groupindex else 1] or "") if match else ""
