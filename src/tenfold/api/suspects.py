"""Labels that are likely wrong: found by classifiers that have not learnt from the pictures they judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.api.data import dataset_of
from tenfold.api.train import tell
from tenfold.core.devices import choose_device
from tenfold.core.errors import DataError, UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.core.randomness import derive_seed
from tenfold.data.labels import Suspect, picture_names, write_suspects
from tenfold.data.types import Dataset, Split
from tenfold.engine import preflight
from tenfold.inspect.label_quality import estimate_wrong, rank
from tenfold.inspect.out_of_fold import lengthened, out_of_fold_logits
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe

LONGER = 10.0
"""Times as long as its recipe says that a classifier trains to judge labels; see benchmarks/suspects.py."""

_MOST_LISTED = 0.05
"""Share of the pictures that is listed at most where nobody says how many: more are not looked through by anyone."""


@dataclass(frozen=True)
class Suspects:
    """What is doubted of the labels of a data set.

    Args:
        rows: the most suspicious labels, the most suspicious first.
        estimated: labels that are likely wrong, by confident learning; the weaker the recipe, the more it counts in.
        pairs: label, likelier class and estimated pictures of each pair of classes that has any, most first.
        judged: N, the pictures of `train` and of the source's own `val`.
        images: uint8 [rows, H, W, 3], of the rows.
    """

    rows: tuple[Suspect, ...]
    estimated: int
    pairs: tuple[tuple[str, str, int], ...]
    judged: int
    images: NDArray[np.uint8]

    def save(self, path: str | Path) -> Path:
        """Writes the rows as the CSV that `data.exclude` and `data.relabel` take, and returns where.

        Raises:
            StorageError: when the disk refuses; what was there before stays.
        """
        write_suspects(Path(path), self.rows)
        return Path(path)

    def draw(self, path: str | Path, most: int = 64) -> Path:
        """Draws the first pictures as a PNG, each below `label → suggested`, and returns where.

        Raises:
            DataError: when there are none.
            StorageError: when the disk refuses.
        """
        from tenfold.core.text import shortened  # with plots, which bring matplotlib
        from tenfold.report.plots.run_charts import plot_grid

        if not self.rows:
            raise DataError("no label is suspicious, so there is nothing to draw")
        titles = [f"{shortened(row.label, 12)} →\n{shortened(row.suggested, 12)}" for row in self.rows[:most]]
        plot_grid(self.images[:most], titles, Path(path))
        return Path(path)


def suspects(
    data: str | Path | Dataset | None = None,
    *,
    recipe: str | Path | Recipe = "quick",
    longer: float = LONGER,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    top: int | float | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Suspects:
    """Finds the training pictures whose labels are likely wrong.

    Each fold of the pictures is judged by a classifier that was trained on the others; pictures are ranked by the
    probability that it gives to their labels. The test pictures are not touched, and nothing is written.

    Args:
        data: what `--data` takes, or a `Dataset`; the recipe's own by default.
        recipe: a shipped recipe, a TOML file, or a `Recipe`.
        longer: how many times as long as the recipe says each classifier trains: the better it is, the fewer of its
            own mistakes it takes for those of the labels.
        folds: 2 or more.
        repeats: times that all is done with other folds; probabilities are averaged.
        seed: of folds and training, in the place of the recipe's.
        top: how many to list, or which share of the pictures; by default as many as are estimated to be wrong, at
            most a twentieth. Only pictures are listed for which another class is likelier than the label.
        overrides: `"section.key=value"` each.
        progress: is told what happens; silent by default.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.

    Example:
        >>> found = tenfold.suspects("my-photos")  # doctest: +SKIP
        >>> found.rows[0].picture, found.rows[0].label, found.rows[0].suggested  # doctest: +SKIP
        ('train/cat/0412.png', 'cat', 'dog')
    """
    progress = progress or Silent()
    if not 0 < longer < inf:
        raise UsageError(f"longer is {longer}; expected more than 0 times the recipe's length")
    if folds < 2 or repeats < 1:
        raise UsageError(f"{folds} folds, {repeats} repeats; expected 2 folds or more, and 1 repeat or more")
    if top is not None and (not top > 0 or (isinstance(top, float) and top > 1)):
        raise UsageError(f"top is {top}; expected a number of pictures, or a share of them such as 0.03")
    chosen = resolve(recipe, overrides) if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    chosen = resolve(chosen, {"data.val_fraction": 0.0} | ({"data.source": str(data)} if _is_name(data) else {}))
    if chosen.data.exclude or chosen.data.relabel:
        raise UsageError("labels are judged as their source has them; leave data.exclude and data.relabel out")
    chosen = lengthened(chosen, longer)
    choose_device(chosen.train.device)  # a missing one is found before any work is done
    pictures = data if isinstance(data, Dataset) else dataset_of(chosen.data, progress)
    tell(pictures, progress)
    names, whole = _joined(pictures)
    preflight.check_network(chosen, whole)
    probabilities = np.zeros((len(names), len(whole.classes)))
    for repeat in range(repeats):
        logits = out_of_fold_logits(chosen, whole, folds, derive_seed(seed, "repeat", repeat), progress)
        probabilities += torch.from_numpy(logits).double().softmax(1).numpy() / repeats
    return _ranked(probabilities, whole, names, top)


def _is_name(data: object) -> bool:
    return isinstance(data, str | Path)


def _joined(dataset: Dataset) -> tuple[list[tuple[str, str]], Dataset]:
    """Returns name and split of each picture in train and val, and a dataset that trains on all of them."""
    splits = {name: split for name, split in dataset.splits().items() if name != "test"}
    names = [(name, split_name) for split_name, split in splits.items() for name in picture_names(split, split_name)]
    if dataset.val is None:
        return names, dataset
    images = np.concatenate([split.images for split in splits.values()])
    labels = np.concatenate([split.labels for split in splits.values()])
    return names, replace(dataset, train=Split(images, labels), val=None)


def _ranked(
    probabilities: NDArray[np.float64], dataset: Dataset, names: list[tuple[str, str]], top: int | float | None
) -> Suspects:
    """Returns what `probabilities`, float64 [N, C], say of the N labels of `dataset.train`."""
    labels, classes = dataset.train.labels, dataset.classes
    estimate, ranking = estimate_wrong(probabilities, labels), rank(probabilities, labels)
    doubted = ranking.order[probabilities.argmax(1)[ranking.order] != labels[ranking.order]]
    listed = doubted[: _rows_asked(top, estimate.total, len(labels))]
    rows = tuple(
        Suspect(
            names[place][0],
            names[place][1],
            classes[labels[place]],
            classes[ranking.suggested[place]],
            float(ranking.scores[place]),
            float(probabilities[place, labels[place]]),
            float(probabilities[place, ranking.suggested[place]]),
        )
        for place in listed
    )
    pairs = tuple((classes[label], classes[other], count) for label, other, count in estimate.pairs)
    return Suspects(rows, estimate.total, pairs, len(labels), np.asarray(dataset.train.images[listed]))


def _rows_asked(top: int | float | None, estimated: int, pictures: int) -> int:
    """Returns how many rows are wanted at most."""
    if top is None:
        return min(estimated, round(pictures * _MOST_LISTED))
    return top if isinstance(top, int) else round(pictures * top)
