"""The training images that look most like some test images, by the features of a pretrained network.

B test images, N training images, D features.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.core.devices import choose_device
from tenfold.core.errors import DeviceError, TenfoldError
from tenfold.core.text import plural, printable
from tenfold.data.types import Dataset
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe
from tenfold.report.page.sprites import SpriteSheet, sprite_sheet
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor
from tenfold.runs.run_folder import RunFolder

_COUNT = 3
_MAX_SEARCHED = 20_000
"""Number of training images up to which they are searched: looking them up in the cache takes 3 s then."""

_MAX_COMPUTED = 400
"""Number of images whose features are computed for a page: two CPU cores take 7 s for 224×224."""


@dataclass(frozen=True)
class Neighbor:
    """A training image that looks like a test image.

    Args:
        tile: index of its tile in the sprite sheet.
        name: its path, or its position in the training split.
        class_name: name of its class.
    """

    tile: int
    name: str
    class_name: str


@dataclass(frozen=True)
class Neighbors:
    """The nearest training images of B test images.

    Args:
        images: for each of them, the nearest first.
        sheet: tiles of the training images.
    """

    images: tuple[tuple[Neighbor, ...], ...]
    sheet: SpriteSheet | None


def nearest_in_training(
    folder: RunFolder, dataset: Dataset, indices: NDArray[np.int64], model: nn.Module | None = None
) -> Neighbors | str | None:
    """Returns the training images nearest to some test images; why there are none; or None, where none are expected.

    They are expected of runs that start from pretrained weights. Likeness is the cosine similarity of features, most of
    which are in the cache since the training.

    Args:
        folder: folder of the run.
        dataset: dataset of the run.
        indices: int64 [B], positions in the test split.
        model: the network of a run that was trained with a custom `nn.Module`.
    """
    recipe = load_recipe(folder.recipe)
    if not recipe.model.starts_from_weights or not len(indices):
        return None
    if len(dataset.train) > _MAX_SEARCHED:
        return f"there are more than {_MAX_SEARCHED:,} training images"
    train = dataset.without_margin(dataset.train)
    try:
        file = folder.best if folder.best.is_file() else folder.last
        classifier = Classifier.load(file, device=_device_of(recipe), model=model)
        extractor = FeatureExtractor(classifier, torch.bfloat16 if recipe.train.precision == "bfloat16" else None)
        missing = extractor.num_missing(train.images)
        if missing > _MAX_COMPUTED:
            return f"the features of {plural(missing, 'training image')} are not in the cache"
        found = _directions(extractor, dataset.without_margin(dataset.test.subset(indices)).images)  # B D
        known = _directions(extractor, train.images)  # N D
    except TenfoldError as error:
        return str(error)
    nearest = np.argsort(-(found @ known.T), axis=1, kind="stable")[:, :_COUNT]  # B 3
    shown, tiles = np.unique(nearest, return_inverse=True)
    names = train.paths or tuple(map(str, range(len(train))))
    images = tuple(
        tuple(
            Neighbor(int(tile), printable(names[index]), printable(dataset.classes[train.labels[index]]))
            for index, tile in zip(row, row_tiles, strict=True)
        )
        for row, row_tiles in zip(nearest, tiles.reshape(nearest.shape), strict=True)
    )
    return Neighbors(images, sprite_sheet(train.images[shown]))


def _device_of(recipe: Recipe) -> torch.device:
    """Returns the device of the run, whose features are in the cache; the CPU where there is no such device."""
    try:
        return choose_device(recipe.train.device)
    except DeviceError:
        return torch.device("cpu")


def _directions(extractor: FeatureExtractor, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns features of length 1, float32 [B, D]."""
    return np.asarray(torch.nn.functional.normalize(torch.from_numpy(extractor.all_of(images))).numpy())
