"""Where results go: tables to standard output, remarks to standard error, files only where none is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.disk import shown
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tenfold.evaluate.metrics import Evaluation

_UNBOUNDED = 10_000  # columns: a file has no right edge at which names would have to be folded


def show(*renderables: "RenderableType") -> None:
    """Prints tables and texts; plain where standard output is no terminal, and never read as markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNBOUNDED
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    for renderable in renderables:
        console.print(renderable)


def narrate(text: str) -> None:
    """Writes a remark beside the results: on standard error, so that results can be piped."""
    print(text, file=sys.stderr)


def confusion_lines(evaluation: "Evaluation", most: int = 5) -> list[str]:
    """Returns the most frequent confusions, e.g. `cat taken for dog: 88 of 1,000`, most frequent first.

    Args:
        evaluation: with its confusion matrix.
        most: at most so many lines.
    """
    from tenfold.core.text import printable

    names = [printable(result.name) for result in evaluation.per_class]
    found = [
        (-count, true, guess)
        for true, row in enumerate(evaluation.confusion.tolist())
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    return [
        f"{names[true]} taken for {names[guess]}: {-count:,} of {evaluation.per_class[true].support:,}"
        for count, true, guess in sorted(found)[:most]
    ]


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
