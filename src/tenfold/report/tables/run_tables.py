"""Tables and lines about a run, its evaluation and its predictions, for the terminal.

Fractions are shown in percent with one decimal, counts with separators. Names are never parsed as markup.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from tenfold.core.text import interval, percent, plural, printable
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.macro import NAMES

if TYPE_CHECKING:  # imports torch, which takes a second or two
    from tenfold.evaluate.metrics import ClassResult, Evaluation
    from tenfold.models.summary import LayerRow

Cell = str | int | float | None


def accuracy_line(accuracy: float, bounds: tuple[float, float], total: int, noun: str = "test image") -> Text:
    """Returns the sentence with the overall accuracy.

    Args:
        accuracy: in [0, 1].
        bounds: its 95 % interval.
        total: number of images.
        noun: what one of them is.

    Example:
        >>> accuracy_line(0.793, (0.785, 0.801), 10_000).plain
        'accuracy 79.3 % (95 % interval 78.5–80.1 %) on 10,000 test images'
    """
    rest = f" (95 % interval {interval(bounds)}) on {plural(total, noun)}"
    return Text.assemble("accuracy ", (percent(accuracy), "bold"), rest)


def plain_line(result: "Evaluation") -> list[str]:
    """Returns a line with the accuracy without test-time augmentation (TTA); none if the evaluation used no TTA."""
    if result.plain_accuracy is None:
        return []
    bounds = wilson(round(result.plain_accuracy * result.total), result.total)
    return [f"without TTA {percent(result.plain_accuracy)} (95 % interval {interval(bounds)})"]


def estimate_lines(result: "Evaluation") -> list[str]:
    """Returns a line for each further figure of an evaluation, such as `balanced accuracy 50.5 % (95 % interval …)`."""
    found = result.estimates
    return [
        f"{text} {percent(found[name].value)} (95 % interval {interval(found[name].interval)})"
        for name, text in NAMES.items()
        if name in found
    ]


def near_duplicate_line(summary: Mapping[str, Any]) -> list[str]:
    """Returns the line with the accuracy on the test images without a near duplicate in train.

    Args:
        summary: content of `summary.json`. Where the look for duplicates did not run or found none, there is no line.

    Example:
        >>> found = {"pictures": 32, "left": 20, "test_accuracy": 0.8, "test_interval": [0.584, 0.919]}
        >>> near_duplicate_line({"near_duplicates": found})[0].partition(": ")[0]
        'without the 12 test images that have a near duplicate in train'
    """
    found = summary.get("near_duplicates")
    if not found or found["left"] == found["pictures"]:
        return []
    num_duplicates = found["pictures"] - found["left"]
    if not found["left"]:
        which = "the only test image has" if num_duplicates == 1 else f"all {num_duplicates:,} test images have"
        return [f"{which} a near duplicate in train: this says nothing about new images"]
    which = "the test image that has" if num_duplicates == 1 else f"the {num_duplicates:,} test images that have"
    bounds = interval(tuple(found["test_interval"]))
    return [
        f"without {which} a near duplicate in train: {percent(found['test_accuracy'])} (95 % interval {bounds}) on "
        f"{plural(found['left'], 'image')}"
    ]


def class_table(per_class: "Sequence[ClassResult]") -> Table:
    """Returns support, accuracy (recall) with its interval, precision and F1 of each class."""
    table = _table("class", "images", "accuracy", "95 % interval", "precision", "F1")
    for result in per_class:
        table.add_row(
            Text(printable(result.name)),
            f"{result.support:,}",
            percent(result.recall),
            interval(result.interval),
            percent(result.precision),
            percent(result.f1),
        )
    return table


def layer_table(rows: "Sequence[LayerRow]") -> Table:
    """Returns output shape, parameters and multiply-adds of each layer, with totals."""
    table = _table("layer", "type", "output shape", "parameters", "multiply-adds", text_columns=3, footer=True)
    for row in rows:
        shape = " × ".join(str(side) for side in row.output_shape)
        table.add_row(Text(row.name), Text(row.kind), shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
    table.columns[0].footer = "total"
    table.columns[3].footer = f"{sum(row.parameters for row in rows):,}"
    table.columns[4].footer = f"{sum(row.multiply_adds for row in rows):,}"
    return table


def prediction_table(predictions: Sequence[tuple[str, str, float | None]]) -> Table:
    """Returns one line for each image.

    Args:
        predictions: path, predicted class and probability of each; None for an unknown probability.
    """
    table = _table("path", "label", "probability", text_columns=2)
    for path, label, probability in predictions:
        table.add_row(Text(printable(path), overflow="fold"), Text(printable(label), "bold"), percent(probability))
    return table


def listing(headings: Sequence[str], rows: Sequence[Sequence[Cell]], text_columns: int | None = None) -> Table:
    """Returns a plain table: text is left-aligned, numbers are right-aligned with separators.

    Args:
        headings: one for each column.
        rows: as many cells each; None is shown as a dash.
        text_columns: number of left-aligned columns; by default those without numbers.

    Raises:
        ValueError: when the number of cells differs from the number of headings.
    """
    table = _table(*headings, text_columns=len(headings))
    for index, column in enumerate(table.columns):
        has_numbers = any(isinstance(row[index], int | float) for row in rows if index < len(row))
        if has_numbers if text_columns is None else index >= text_columns:
            column.justify = "right"
    for row in rows:
        table.add_row(*(_cell_text(cell) for _, cell in zip(headings, row, strict=True)))
    return table


def _cell_text(cell: Cell) -> Text:
    if cell is None:
        return Text("–")
    return Text(printable(cell) if isinstance(cell, str) else f"{cell:,}", overflow="fold")


def _table(*headings: str, text_columns: int = 1, footer: bool = False) -> Table:
    """Returns an empty table; the first `text_columns` columns are left-aligned, the rest hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=footer, header_style="bold", pad_edge=False)
    for index, heading in enumerate(headings):
        is_text = index < text_columns
        table.add_column(Text(heading), justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def ground_truth_lines(true_names: Sequence[str], predicted_names: Sequence[str]) -> str:
    """Returns the two lines of the PyTorch CIFAR-10 tutorial, with aligned columns.

    Args:
        true_names: true class of each image.
        predicted_names: predicted class of each image.

    Raises:
        ValueError: when the lengths differ.

    Example:
        >>> print(ground_truth_lines(["cat", "ship", "plane"], ["cat", "ship", "ship"]))
        GroundTruth:  cat   ship  plane
        Predicted:    cat   ship  ship
    """
    pairs = [(printable(a), printable(b)) for a, b in zip(true_names, predicted_names, strict=True)]
    width = max((len(name) for pair in pairs for name in pair), default=0)
    true = " ".join(f"{name:<{width}}" for name, _ in pairs)
    predicted = " ".join(f"{name:<{width}}" for _, name in pairs)
    return f"GroundTruth:  {true}".rstrip() + "\n" + f"Predicted:    {predicted}".rstrip()


def sample_indices(total: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns the indices of a random sample of images, int64 [at most `count`], the same for the same seed.

    Args:
        total: number of images to choose from.
        count: number of images to choose.
        seed: of the random choice.
    """
    return np.random.Generator(np.random.Philox(seed)).permutation(total)[:count]
