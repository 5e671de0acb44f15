"""Which unlabeled images to label next, as a list to fill in."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenfold.api.evaluate import load
from tenfold.api.runs import RunSource
from tenfold.api.unlabeled import read_unlabeled
from tenfold.core import durable
from tenfold.core.errors import DataError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.text import escaped
from tenfold.inspect.selection import margins, most_informative
from tenfold.runs.features import FeatureExtractor

TOP = 100
"""Number of images to label first, by default."""


class LabelRow(NamedTuple):
    """An image to label.

    Args:
        path: from the folder that the source names.
        label: empty, to be filled in.
        suggested: the most likely class.
        probability: of that class, in [0, 1].
        margin: that probability minus the one of the second class, in [0, 1].
        rank: from 1, the image to label first; None for images that were not chosen.
    """

    path: str
    label: str
    suggested: str
    probability: float
    margin: float
    rank: int | None


@dataclass(frozen=True)
class Labeling:
    """All images of a source, those to label first in front; the others follow by their margin.

    Args:
        rows: of all images.
        num_chosen: number of rows with a rank.
        num_unread: number of images that cannot be read and have no row.
    """

    rows: tuple[LabelRow, ...]
    num_chosen: int
    num_unread: int = 0

    def save(self, path: str | Path) -> Path:
        """Writes the rows as a CSV that `train --labels` reads when labels are filled in, and returns its path.

        Raises:
            StorageError: when the file cannot be written; an existing file stays as it is.
        """
        durable.write_text(Path(path), self.csv_text())
        return Path(path)

    def csv_text(self) -> str:
        """Returns the CSV that `save` writes."""
        text = io.StringIO(newline="")
        # All text is quoted: otherwise Python's csv writes a carriage return bare, and cannot read it back.
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(LabelRow._fields)
        writer.writerows(
            row._replace(probability=round(row.probability, 6), margin=round(row.margin, 6)) for row in self.rows
        )
        return text.getvalue()


def label(
    data: str | Path, model: RunSource, *, top: int = TOP, device: str = "auto", progress: Progress | None = None
) -> Labeling:
    """Ranks unlabeled images by how much their labels would improve a classifier.

    Chosen one by one are images that the classifier is unsure about (a small margin between its two most likely
    classes) and that differ from those already chosen (in the features of its network); see `most_informative`.

    Args:
        data: an image file, a pattern such as `photos/**/*.jpg`, or a folder, which is searched with its subfolders.
        model: a run, run folder or model file.
        top: number of images to choose.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        progress: receives messages; shown in notebooks and silent elsewhere by default.

    Raises:
        UsageError: when `top` is below 1.
        DataError: when there is no image that can be read.
        ModelError: when the network has no features: it does not end in one linear layer.
        RunError: when a run folder holds no model.

    Example:
        >>> tenfold.label("new-photos", "runs/mine").save("to-label.csv")  # doctest: +SKIP
        PosixPath('to-label.csv')
    """
    if top < 1:
        raise UsageError(f"top is {top}; expected a number of images, 1 or more")
    progress = progress or default_progress()
    classifier = load(model, device=device).classifier
    extractor = FeatureExtractor(classifier)
    names: list[str] = []
    features, probabilities = [], []
    num_unread = 0
    for batch in read_unlabeled(str(data), classifier.preprocessing, progress):
        names += batch.names
        num_unread += batch.num_unread
        features.append(extractor(batch.images).numpy())
        probabilities.append(classifier.probabilities(classifier.logits(batch.images)).numpy())
    extractor.flush()
    if not names:
        raise DataError(f"none of the images of {escaped(str(data))} can be read; expected at least one")
    rows = np.concatenate(probabilities)  # N C
    chosen = most_informative(rows, np.concatenate(features), top)
    return _ranked(names, classifier.classes, rows, chosen, num_unread)


def _ranked(
    names: list[str],
    classes: tuple[str, ...],
    probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    num_unread: int,
) -> Labeling:
    """Returns the rows of all images; `chosen` are the indices of those to label first."""
    margin, best = margins(probabilities), probabilities.argmax(1)
    is_other = np.ones(len(names), np.bool_)
    is_other[chosen] = False
    others = np.flatnonzero(is_other)
    order = np.concatenate([chosen, others[np.argsort(margin[others], kind="stable")]])
    rows = tuple(
        LabelRow(
            path=names[index],
            label="",
            suggested=classes[best[index]],
            probability=float(probabilities[index, best[index]]),
            margin=float(margin[index]),
            rank=position + 1 if position < len(chosen) else None,
        )
        for position, index in enumerate(order.tolist())
    )
    return Labeling(rows, len(chosen), num_unread)
