"""Finds labels that are likely wrong, by classifiers that were not trained on the images they predict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.api.auto_recipe import chosen_recipe
from tenfold.api.data import DataSource, dataset_of, given_dataset
from tenfold.api.prepare import report_dataset
from tenfold.api.weights import with_weights
from tenfold.core.devices import choose_device
from tenfold.core.errors import DataError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.randomness import derive_seed
from tenfold.core.text import escaped, plural
from tenfold.data.labels import Suspect, image_names, write_suspects
from tenfold.data.store.shards import joined
from tenfold.data.types import Dataset, Split
from tenfold.engine import preflight
from tenfold.engine.cross_fit import Shown
from tenfold.engine.run import make_classifier
from tenfold.inspect.feature_folds import feature_logits, shown_twice
from tenfold.inspect.label_quality import estimate_label_errors, rank
from tenfold.inspect.out_of_fold import out_of_fold_logits, scale_duration
from tenfold.recipes.auto import AUTO, LARGE, SMALL
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe

METHODS = ("auto", "features", "networks")

LONGER = 10.0
"""Training length of the classifiers, as a multiple of their recipe's; see benchmarks/suspects.py."""

_MAX_CLASSES_NAMED = 10

_MAX_LISTED = 0.05
"""Largest fraction of the images that is listed by default, but at least one: nobody looks through more."""


@dataclass(frozen=True)
class Suspects:
    """Labels of a dataset that are likely wrong.

    Args:
        rows: the most suspicious labels, the most suspicious first.
        estimated: number of labels that are likely wrong, by confident learning (Northcutt et al., arXiv:1911.00068);
            a weak recipe adds mistakes of its own.
        pairs: label, more likely class and estimated number of images of each pair of classes, most first.
        num_images: images of `train` and of the source's own `val` that have another image of their class.
        images: uint8 [R, H, W, 3], of the R rows.
    """

    rows: tuple[Suspect, ...]
    estimated: int
    pairs: tuple[tuple[str, str, int], ...]
    num_images: int
    images: NDArray[np.uint8]

    def save(self, path: str | Path) -> Path:
        """Writes the rows as the CSV that `data.exclude` and `data.relabel` read, and returns its path.

        Raises:
            StorageError: when the file cannot be written; an existing file stays as it is.
        """
        write_suspects(Path(path), self.rows)
        return Path(path)

    def draw(self, path: str | Path, count: int = 64) -> Path:
        """Draws the first images as a PNG, each below `label → suggested`, and returns its path.

        Raises:
            DataError: when there are no rows.
            StorageError: when the file cannot be written.
        """
        from tenfold.core.text import shortened
        from tenfold.report.plots.image_grids import plot_grid  # imports matplotlib

        if not self.rows:
            raise DataError("no label is suspicious, so there is nothing to draw")
        titles = [f"{shortened(row.label, 12)} →\n{shortened(row.suggested, 12)}" for row in self.rows[:count]]
        plot_grid(self.images[:count], titles, Path(path))
        return Path(path)


def suspects(
    data: DataSource | None = None,
    *,
    recipe: str | Path | Recipe = AUTO,
    method: str = "auto",
    longer: float | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    top: int | float | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Suspects:
    """Finds the training images whose labels are likely wrong.

    A classifier fitted to the other folds predicts each fold. Images are ranked by the predicted probability of
    their labels. The test split is not used, and nothing is written.

    Args:
        data: as for `train`; the recipe's by default.
        recipe: a shipped recipe, a TOML file, or a `Recipe`; `auto` is one for small images or one for photos.
        method: `features` fits a linear layer to the features of the recipe's pretrained network, which takes seconds;
            `networks` trains the network of the recipe for each fold; `auto` is the first for recipes that start from
            pretrained weights, as for photos, else the second.
        longer: training length of each network, as a multiple of the recipe's, 10 by default: a better classifier
            mistakes fewer of its own errors for label errors. Only with networks.
        folds: number of folds, 2 or more.
        repeats: number of repetitions with other folds, whose probabilities are averaged.
        seed: of folds and training; replaces the recipe's.
        top: number of images to list, or a fraction of them; by default the estimated number of wrong labels, at
            most 5 % of the images. Only images with a more likely class than their label are listed.
        overrides: `"section.key=value"` each.
        progress: receives messages; shown in notebooks and silent elsewhere by default.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.

    Example:
        >>> found = tenfold.suspects("my-photos")  # doctest: +SKIP
        >>> found.rows[0].path, found.rows[0].label, found.rows[0].suggested  # doctest: +SKIP
        ('train/cat/0412.png', 'cat', 'dog')
    """
    progress = progress or default_progress()
    _check_numbers(LONGER if longer is None else longer, folds, repeats, top)
    chosen, by_features = _recipe_and_method(recipe, method, data, overrides, longer, progress)
    choose_device(chosen.train.device)  # reports a missing device before any work is done
    dataset = given_dataset(data, chosen.data) or dataset_of(chosen.data, progress)
    report_dataset(dataset, progress, chosen)
    names, joined = _joined(dataset)
    compared = _compared(joined, progress)
    preflight.check_network(chosen, joined)
    shown = _features(chosen, joined, progress) if by_features else None
    probabilities = np.zeros((len(names), len(joined.classes)))  # N C
    for repeat in range(repeats):
        repeat_seed = derive_seed(seed, "repeat", repeat)
        if shown is not None:
            logits = feature_logits(shown, len(joined.classes), folds, repeat_seed, progress)
        else:
            logits = out_of_fold_logits(chosen, joined, folds, repeat_seed, progress)
        probabilities += torch.from_numpy(logits).double().softmax(1).numpy() / repeats
    return _ranked(probabilities, joined, names, compared, top)


def _recipe_and_method(
    recipe: str | Path | Recipe,
    method: str,
    data: DataSource | None,
    overrides: Sequence[str],
    longer: float | None,
    progress: Progress,
) -> tuple[Recipe, bool]:
    """Returns the complete recipe, and whether features are used; the other arguments are those of `suspects`."""
    if method not in METHODS:
        raise UsageError(f"method is '{method}'; expected {', '.join(METHODS)}")
    if recipe == AUTO and method != "auto":
        recipe = LARGE if method == "features" else SMALL
    recipe = chosen_recipe(recipe, data, overrides, progress, runs="runs", name=None).recipe
    chosen = resolve(recipe, overrides) if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    by_features = method == "features" or (method == "auto" and chosen.model.starts_from_weights)
    _check_method(chosen, by_features, longer)
    chosen = with_weights(chosen, progress, in_memory=not isinstance(data, str | Path | None))
    chosen = resolve(chosen, {"data.val_fraction": 0.0})
    if isinstance(data, str | Path):
        chosen = resolve(chosen, {"data.source": str(data)})
    if chosen.data.exclude or chosen.data.relabel:
        raise UsageError("labels are checked as the source has them; leave data.exclude and data.relabel out")
    return (chosen, True) if by_features else (scale_duration(chosen, longer or LONGER), False)


def _check_method(recipe: Recipe, by_features: bool, longer: float | None) -> None:
    """Raises UsageError where the recipe or another argument does not fit the method."""
    if by_features and not recipe.model.starts_from_weights:
        raise UsageError(
            f"method features needs a network with pretrained weights, but {recipe.model.name} starts from random "
            "ones; expected such as --recipe photo, or --method networks"
        )
    if by_features and longer is not None:
        raise UsageError(f"longer is {longer:g}, but with features nothing is trained longer; leave it out")
    if not by_features and recipe.train.layers != "all":
        raise UsageError(
            f"method networks trains all layers, but train.layers is {recipe.train.layers}; expected "
            "--method features, or --set train.layers=all"
        )


def _features(recipe: Recipe, dataset: Dataset, progress: Progress) -> Shown:
    """Returns the features of the training images by the network that the recipe starts from."""
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        classifier = make_classifier(recipe, dataset, None)
    classifier.model.to(choose_device(recipe.train.device))
    shown = shown_twice(classifier, dataset.train, progress)
    progress.message(
        f"each fold is predicted by a linear layer on features of {recipe.model.name}, fitted to the others "
        "(trained networks: --method networks)"
    )
    return shown


def _check_numbers(longer: float, folds: int, repeats: int, top: int | float | None) -> None:
    """Raises UsageError if a number is out of range."""
    if not 0 < longer < inf:
        raise UsageError(f"longer is {longer}; expected more than 0 times the recipe's length")
    if folds < 2 or repeats < 1:
        raise UsageError(f"{folds} folds, {repeats} repeats; expected 2 folds or more, and 1 repeat or more")
    if top is not None and (not top > 0 or (isinstance(top, float) and top > 1)):
        raise UsageError(f"top is {top}; expected a number of images, or a fraction of them such as 0.03")


def _joined(dataset: Dataset) -> tuple[list[tuple[str, str]], Dataset]:
    """Returns name and split of each image in train and val, and a dataset that has all of them in train."""
    splits = {name: split for name, split in dataset.splits().items() if name != "test"}
    names = [(name, split_name) for split_name, split in splits.items() for name in image_names(split, split_name)]
    if dataset.val is None:
        return names, dataset
    images = joined([split.images for split in splits.values()])
    labels = np.concatenate([split.labels for split in splits.values()])
    return names, replace(dataset, train=Split(images, labels), val=None)


def _compared(dataset: Dataset, progress: Progress) -> NDArray[np.int64]:
    """Returns the indices of the images that have another image of their class; says which ones are left out.

    Raises:
        DataError: when there are none.
    """
    labels = dataset.train.labels
    counts = np.bincount(labels, minlength=len(dataset.classes))
    if not (counts > 1).any():
        raise DataError(f"{dataset.name} has at most one image of each class; labels are checked by comparing images")
    alone = [f"'{escaped(name)}'" for name, number in zip(dataset.classes, counts, strict=True) if number == 1]
    if alone:
        found = f"{plural(len(alone), 'image')} {'is' if len(alone) == 1 else 'are'}"
        more = ", …" if len(alone) > _MAX_CLASSES_NAMED else ""
        progress.message(
            f"{found} not checked, alone in {'its' if len(alone) == 1 else 'their'} class: "
            f"{', '.join(alone[:_MAX_CLASSES_NAMED])}{more}"
        )
    return np.flatnonzero(counts[labels] > 1)


def _ranked(
    probabilities: NDArray[np.float64],
    dataset: Dataset,
    names: list[tuple[str, str]],
    compared: NDArray[np.int64],
    top: int | float | None,
) -> Suspects:
    """Returns the suspicious labels among `compared` ones of `dataset.train`, by predicted `probabilities`, [N, C]."""
    probabilities, labels, classes = probabilities[compared], dataset.train.labels[compared], dataset.classes
    estimate, ranking = estimate_label_errors(probabilities, labels), rank(probabilities, labels)
    doubted = ranking.order[probabilities.argmax(1)[ranking.order] != labels[ranking.order]]
    listed = doubted[: _row_limit(top, estimate.total, len(labels))]
    rows = tuple(
        Suspect(
            names[compared[index]][0],
            names[compared[index]][1],
            classes[labels[index]],
            classes[ranking.suggested[index]],
            float(ranking.scores[index]),
            float(probabilities[index, labels[index]]),
            float(probabilities[index, ranking.suggested[index]]),
        )
        for index in listed
    )
    pairs = tuple((classes[label], classes[other], count) for label, other, count in estimate.pairs)
    images = dataset.without_margin(dataset.train).images[compared[listed]]
    return Suspects(rows, estimate.total, pairs, len(labels), images)


def _row_limit(top: int | float | None, estimated: int, num_images: int) -> int:
    """Returns the largest number of rows to list."""
    if top is None:
        return min(estimated, max(1, round(num_images * _MAX_LISTED)))
    return top if isinstance(top, int) else round(num_images * top)
