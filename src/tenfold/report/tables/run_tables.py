"""What the screen shows, as renderables; nothing is printed here.

Shares appear as percent with one decimal, counts with separators. Names are never read as markup.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from tenfold.core.text import percent as percent
from tenfold.core.text import printable
from tenfold.evaluate.intervals import wilson

if TYPE_CHECKING:  # they would bring torch, which takes a second or two
    from tenfold.evaluate.metrics import ClassResult, Evaluation
    from tenfold.models.summary import LayerRow


Cell = str | int | float | None
Prediction = tuple[str, str, float | None]
_UNITS = ("B", "kB", "MB", "GB", "TB")


def file_size(count: int) -> str:
    """Returns a number of bytes in the unit that suits it, in powers of 1000.

    Example:
        >>> file_size(170_498_071), file_size(512)
        ('170.5 MB', '512 B')
    """
    size, unit = float(count), 0
    while size >= 999.95 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def accuracy_line(accuracy: float, interval: tuple[float, float], total: int, noun: str = "test pictures") -> Text:
    """Returns the sentence that sums up an evaluation.

    Args:
        accuracy: in [0, 1].
        interval: its 95 % interval.
        total: pictures judged.
        noun: what they are.

    Example:
        >>> accuracy_line(0.793, (0.785, 0.801), 10_000).plain
        'accuracy 79.3 % (95 % interval 78.5–80.1 %) on 10,000 test pictures'
    """
    low, high = interval
    return Text.assemble(
        "accuracy ",
        (percent(accuracy), "bold"),
        f" (95 % interval {low * 100:.1f}–{high * 100:.1f} %) on {total:,} {noun}",
    )


def plain_line(result: "Evaluation") -> list[str]:
    """Returns the sentence that tells the accuracy from one view, where several were averaged; else nothing."""
    if result.plain_accuracy is None:
        return []
    low, high = wilson(round(result.plain_accuracy * result.total), result.total)
    plain = percent(result.plain_accuracy)
    return [f"from one view of each picture {plain} (95 % interval {low * 100:.1f}–{high * 100:.1f} %)"]


def class_table(per_class: "Sequence[ClassResult]") -> Table:
    """Returns precision, recall with its interval, F1 and support of each class."""
    table = _table("class", "pictures", "accuracy", "95 % interval", "precision", "F1")
    for result in per_class:
        ends = result.interval
        table.add_row(
            Text(printable(result.name)),
            f"{result.support:,}",
            percent(result.recall),
            "–" if ends is None else f"{ends[0] * 100:.1f}–{ends[1] * 100:.1f} %",
            percent(result.precision),
            percent(result.f1),
        )
    return table


def layer_table(rows: "Sequence[LayerRow]") -> Table:
    """Returns the layers of a network with output shape, parameters and multiply-adds, and their sums."""
    table = _table("layer", "kind", "output", "parameters", "multiply-adds", words=3, footer=True)
    for row in rows:
        shape = " × ".join(str(side) for side in row.output_shape)
        table.add_row(Text(row.name), Text(row.kind), shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
    table.columns[0].footer = "all"
    table.columns[3].footer = f"{sum(row.parameters for row in rows):,}"
    table.columns[4].footer = f"{sum(row.multiply_adds for row in rows):,}"
    return table


def prediction_table(predictions: Sequence[Prediction]) -> Table:
    """Returns one line for each picture.

    Args:
        predictions: path, label and probability (None where it is not known) of each.
    """
    table = _table("picture", "label", "probability", words=2)
    for path, label, probability in predictions:
        table.add_row(Text(printable(path), overflow="fold"), Text(printable(label), "bold"), percent(probability))
    return table


def listing(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Returns a plain list, of recipes or stores: words at the left, numbers at the right with separators.

    Args:
        headings: one for each column.
        rows: as many cells each; None becomes a dash.

    Raises:
        ValueError: when a row has more or fewer cells than there are headings.
    """
    table = _table(*headings, words=len(headings))
    for place, column in enumerate(table.columns):
        if any(isinstance(row[place], int | float) for row in rows if place < len(row)):
            column.justify = "right"
    for row in rows:
        table.add_row(*(_cell(cell) for _, cell in zip(headings, row, strict=True)))
    return table


def _cell(cell: Cell) -> Text:
    if cell is None:
        return Text("–")
    return Text(printable(cell) if isinstance(cell, str) else f"{cell:,}", overflow="fold")


def _table(*headings: str, words: int = 1, footer: bool = False) -> Table:
    """Returns an empty table; the first `words` columns are left-aligned, the rest are numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=footer, header_style="bold", pad_edge=False)
    for place, heading in enumerate(headings):
        word = place < words
        table.add_column(Text(heading), justify="left" if word else "right", no_wrap=not word)
    return table


def ground_truth_lines(true_names: Sequence[str], predicted_names: Sequence[str]) -> str:
    """Returns the two lines of the CIFAR-10 tutorials, with columns that line up.

    Args:
        true_names: what each picture shows.
        predicted_names: what each was taken for; as many.

    Raises:
        ValueError: when there are more of one than of the other.

    Example:
        >>> print(ground_truth_lines(["cat", "ship", "plane"], ["cat", "ship", "ship"]))
        GroundTruth:  cat   ship  plane
        Predicted:    cat   ship  ship
    """
    pairs = [(printable(a), printable(b)) for a, b in zip(true_names, predicted_names, strict=True)]
    width = max((len(name) for pair in pairs for name in pair), default=0)
    truth = " ".join(f"{true:<{width}}" for true, _ in pairs)
    guess = " ".join(f"{predicted:<{width}}" for _, predicted in pairs)
    return f"GroundTruth:  {truth}".rstrip() + "\n" + f"Predicted:    {guess}".rstrip()


def prediction_titles(true_names: Sequence[str], predicted_names: Sequence[str]) -> list[str]:
    """Returns a title for each picture: its name, or for a wrong one the guess above the truth.

    Raises:
        ValueError: when there are more of one than of the other.

    Example:
        >>> prediction_titles(["cat", "ship"], ["cat", "plane"])
        ['cat', 'plane\\ntruth: ship']
    """
    pairs = zip(true_names, predicted_names, strict=True)
    return [true if true == guess else f"{guess}\ntruth: {true}" for true, guess in pairs]


def sample(total: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns places of some pictures, int64 [at most `count`], the same for the same seed.

    Args:
        total: pictures to choose from.
        count: pictures to choose.
        seed: of the draw.
    """
    return np.random.Generator(np.random.Philox(seed)).permutation(total)[:count]
