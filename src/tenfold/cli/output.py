"""How results look on the screen: aligned columns, percent with intervals, counts that can be read."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.disk import shown
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.evaluate.metrics import Evaluation


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Returns rows in aligned columns, without a trailing line break.

    Args:
        header: a title for each column.
        rows: as many cells each as there are titles.
        numbers: places of the columns that are set flush right.

    Example:
        >>> print(table(["name", "count"], [["cat", "7"], ["horse", "12"]], numbers=[1]))
        name   count
        cat        7
        horse     12
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share in [0, 1] as percent, or `–` for a share of nothing.

    Example:
        >>> percent(0.5537, 2)
        '55.37 %'
    """
    return "–" if share is None else f"{share * 100:.{digits}f} %"


def bytes_text(size: int) -> str:
    """Returns a size in bytes as people read it.

    Example:
        >>> bytes_text(184_320_000)
        '184.3 MB'
    """
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} B"


def accuracy_line(name: str, evaluation: "Evaluation") -> str:
    """Returns an accuracy with its interval and counts.

    Args:
        name: of the split.
        evaluation: what was found on it.
    """
    low, high = evaluation.interval
    return (
        f"{name} accuracy {percent(evaluation.accuracy, 2)}  "
        f"(95 % interval {percent(low, 2)} to {percent(high, 2)}; "
        f"{evaluation.correct:,} of {evaluation.total:,} pictures)"
    )


def class_table(evaluation: "Evaluation") -> str:
    """Returns a line for each class: pictures, accuracy with interval, precision, F1."""
    rows = [
        [
            one_line(result.name),
            f"{result.support:,}",
            percent(result.recall),
            "–" if result.interval is None else " to ".join(f"{end * 100:.1f}" for end in result.interval),
            percent(result.precision),
            percent(result.f1),
        ]
        for result in evaluation.per_class
    ]
    return table(["class", "pictures", "accuracy", "95 %", "precision", "F1"], rows, numbers=[1, 2, 3, 4, 5])


def confusion_lines(evaluation: "Evaluation", most: int = 5) -> list[str]:
    """Returns the most frequent confusions, e.g. `cat taken for dog: 88 of 1,000`, most frequent first.

    Args:
        evaluation: with its confusion matrix.
        most: at most so many lines.
    """
    names = [one_line(result.name) for result in evaluation.per_class]
    found = [
        (count, true, guess)
        for true, row in enumerate(evaluation.confusion.tolist())
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return [
        f"{names[true]} taken for {names[guess]}: {count:,} of {evaluation.per_class[true].support:,}"
        for count, true, guess in found[:most]
    ]


def one_line(text: str) -> str:
    """Returns a name that a user's files brought along, fit for one line of the screen."""
    return shown(Path(text)) if text else "''"


def refuse_existing(path: Path, remedy: str) -> None:
    """Does nothing where `path` is free.

    Args:
        path: of a file that is about to be written.
        remedy: what to do instead, for the message.

    Raises:
        UsageError: when something is there already.
    """
    if path.exists():
        raise UsageError(f"{shown(path)} exists and is not overwritten; {remedy}")


def narrate(text: str) -> None:
    """Writes a remark beside the results: on standard error, so that results can be piped."""
    print(text, file=sys.stderr)
