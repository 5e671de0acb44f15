"""All pictures of a finished run, from its folder and its data."""

from pathlib import Path

from tenfold.core import durable
from tenfold.data.types import Dataset, Split
from tenfold.evaluate.metrics import Evaluation
from tenfold.report.canvas import INK, WARM
from tenfold.report.pictures import prediction_titles, sample
from tenfold.report.plots import plot_confusion, plot_curves, plot_grid, plot_per_class
from tenfold.runs.folder import RunFolder

_SHOWN = 32


def draw_run(folder: RunFolder, dataset: Dataset) -> None:
    """Fills `plots/`: curves, confusion matrix, bars per class, preview of the data, predictions.

    Args:
        folder: of a finished run.
        dataset: that it was trained with.

    Raises:
        RunError: when the run is not finished or a file in it is damaged.
        StorageError: when the disk refuses.
    """
    plots = folder.plots
    durable.make_folder(plots)
    evaluation = Evaluation.from_json(folder.read_summary()["evaluation"])
    plot_curves(folder.read_metrics(), plots / "curves.png")
    plot_confusion(evaluation.confusion.numpy(), dataset.classes, plots / "confusion.png")
    plot_per_class(evaluation.per_class, plots / "per-class.png")
    draw_preview(dataset.train, dataset.classes, plots / "preview.png")
    _draw_predictions(folder, dataset.test, plots / "predictions.png")


def draw_preview(
    split: Split, classes: tuple[str, ...], path: Path, *, count: int = _SHOWN, seed: int = 0
) -> list[str]:
    """Draws some pictures with their labels and returns the labels, in the order of the pictures.

    Args:
        split: to draw from.
        classes: names, in the order of the labels.
        path: of the PNG.
        count: pictures to show, at most.
        seed: of the draw.

    Raises:
        StorageError: when the disk refuses.
    """
    chosen = sample(len(split), count, seed)
    names = [classes[label] for label in split.labels[chosen]]
    plot_grid(split.images[chosen], names, path)
    return names


def _draw_predictions(folder: RunFolder, test: Split, path: Path) -> None:
    chosen = sample(len(test), _SHOWN)
    rows = folder.read_predictions()
    true, predicted = [rows[i].true for i in chosen], [rows[i].predicted for i in chosen]
    colours = [INK if right == guess else WARM for right, guess in zip(true, predicted, strict=True)]
    plot_grid(test.images[chosen], prediction_titles(true, predicted), path, colours=colours)
