"""The images of a run's page: most confident errors, least confident predictions, and images of each confusion cell.

N images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tenfold.core.text import printable
from tenfold.data.types import Dataset
from tenfold.report.page.confusion import ConfusionCell
from tenfold.report.page.explanations import Explanations, explain, overlaid
from tenfold.report.page.neighbors import Neighbor, Neighbors, nearest_in_training
from tenfold.report.page.predictions import Predictions, mismatch
from tenfold.report.page.sprites import SpriteSheet, shrunk, sprite_sheet
from tenfold.runs.run_folder import RunFolder

GALLERY_IMAGES = 24
MAX_CELL_IMAGES = 1_152


@dataclass(frozen=True)
class GalleryImage:
    """An image of the page.

    Args:
        tile: index of its tile in the sprite sheet.
        name: its path, or its position in the test split.
        true: name of its class.
        predicted: name of the predicted class.
        confidence: probability of the predicted class.
        top_classes: names and probabilities of the most probable classes; empty where the model is not available.
        neighbors: the training images that look most like it, the nearest first; empty where they were not looked for.
    """

    tile: int
    name: str
    true: str
    predicted: str
    confidence: float
    top_classes: tuple[tuple[str, float], ...] = ()
    neighbors: tuple[Neighbor, ...] = ()

    @property
    def is_correct(self) -> bool:
        """Whether the image was predicted correctly."""
        return self.true == self.predicted


@dataclass(frozen=True)
class Gallery:
    """Images with a sprite sheet of their own.

    Args:
        images: the images in their order.
        sheet: tiles of the images.
        heatmaps: tiles of the Grad-CAM overlays, in the same order; None where there are none.
        neighbors: tiles of the nearest training images; None where there are none.
    """

    images: tuple[GalleryImage, ...]
    sheet: SpriteSheet | None
    heatmaps: SpriteSheet | None = None
    neighbors: SpriteSheet | None = None


@dataclass(frozen=True)
class PageImages:
    """All images of a page.

    Args:
        errors: images predicted wrongly with the highest confidence.
        unsure: images predicted with the lowest confidence.
        cells: images by the key of their cell in the confusion matrix.
        sheet: tiles of `cells`.
        missing: sentences saying why explanations, heatmaps or nearest training images are missing.
    """

    errors: Gallery
    unsure: Gallery
    cells: Mapping[str, tuple[GalleryImage, ...]]
    sheet: SpriteSheet | None
    missing: tuple[str, ...]


def page_images(
    folder: RunFolder,
    dataset: Dataset | None,
    predictions: Predictions,
    cells: Sequence[ConfusionCell],
    model: nn.Module | None,
) -> PageImages | str:
    """Returns the images of a page, or why there are none.

    Args:
        folder: folder of the run.
        dataset: the dataset of the run, where it is available.
        predictions: predictions of the test images.
        cells: cells of the confusion matrix that show images.
        model: the network of a run that was trained with a custom `nn.Module`.
    """
    if dataset is None:
        return "the test images were not found"
    if reason := mismatch(dataset.test, dataset.classes, predictions):
        return reason
    errors, unsure = most_confident_errors(predictions), least_confident(predictions)
    both = np.concatenate([errors, unsure])
    test = dataset.without_margin(dataset.test)
    split = test.subset(both)
    explanations = explain(folder, split, predictions, both, model)
    images = _described(predictions, both, explanations)
    heatmaps = None
    if not isinstance(explanations, str) and explanations.activations is not None:
        heatmaps = shrunk(overlaid(split.images, explanations.activations))
    by_cell = images_by_cell(predictions, cells)
    in_cells = np.array([index for indices in by_cell.values() for index in indices], np.int64)
    described = iter(_described(predictions, in_cells))
    half = len(errors)
    neighbors = nearest_in_training(folder, dataset, errors, model)
    error_gallery = _gallery(images[:half], split.images[:half], None if heatmaps is None else heatmaps[:half])
    return PageImages(
        errors=_with_neighbors(error_gallery, neighbors),
        unsure=_gallery(images[half:], split.images[half:], None if heatmaps is None else heatmaps[half:]),
        cells={key: tuple(next(described) for _ in indices) for key, indices in by_cell.items()},
        sheet=sprite_sheet(test.images[in_cells]),
        missing=tuple(_missing(explanations, neighbors)),
    )


def most_confident_errors(predictions: Predictions, max_images: int = GALLERY_IMAGES) -> NDArray[np.int64]:
    """Returns the indices of the images predicted wrongly with the highest confidence, int64 [≤ max_images]."""
    wrong = np.flatnonzero(~predictions.is_correct)
    return wrong[np.argsort(-predictions.shown[wrong], kind="stable")][:max_images]


def least_confident(predictions: Predictions, max_images: int = GALLERY_IMAGES) -> NDArray[np.int64]:
    """Returns the indices of the images predicted with the lowest confidence, int64 [≤ max_images]."""
    return np.argsort(predictions.shown, kind="stable")[:max_images]


def images_by_cell(
    predictions: Predictions,
    cells: Sequence[ConfusionCell],
    max_images: int = MAX_CELL_IMAGES,
    per_cell: int = GALLERY_IMAGES,
) -> Mapping[str, tuple[int, ...]]:
    """Returns the indices of images by the key of their confusion cell, highest confidence first.

    Cells get images in turns, so that a low `max_images` does not leave the last cells empty.

    Args:
        predictions: predictions of the N images.
        cells: cells in the order in which they get images.
        max_images: maximum number of images in all cells.
        per_cell: maximum number of images in one cell.
    """
    candidates = {cell.key: _most_confident_of(predictions, cell)[:per_cell] for cell in cells}
    chosen: dict[str, list[int]] = {key: [] for key in candidates}
    for turn in range(per_cell):
        for key, indices in candidates.items():
            if max_images > 0 and turn < len(indices):
                chosen[key].append(indices[turn])
                max_images -= 1
    return {key: tuple(indices) for key, indices in chosen.items()}


def _most_confident_of(predictions: Predictions, cell: ConfusionCell) -> list[int]:
    indices = np.flatnonzero((predictions.true == cell.true) & (predictions.predicted == cell.predicted))
    order: list[int] = indices[np.argsort(-predictions.shown[indices], kind="stable")].tolist()
    return order


def _described(
    predictions: Predictions, indices: NDArray[np.int64], explanations: Explanations | str = ""
) -> tuple[GalleryImage, ...]:
    classes = [printable(name) for name in predictions.classes]
    return tuple(
        GalleryImage(
            tile=tile,
            name=printable(predictions.names[index]),
            true=classes[predictions.true[index]],
            predicted=classes[predictions.predicted[index]],
            confidence=float(predictions.shown[index]),
            top_classes=() if isinstance(explanations, str) else explanations.top_classes[tile],
        )
        for tile, index in enumerate(indices.tolist())
    )


def _gallery(images: Sequence[GalleryImage], pixels: NDArray[np.uint8], heatmaps: NDArray[np.uint8] | None) -> Gallery:
    numbered = tuple(replace(image, tile=tile) for tile, image in enumerate(images))
    return Gallery(numbered, sprite_sheet(pixels), None if heatmaps is None else sprite_sheet(heatmaps))


def _with_neighbors(gallery: Gallery, neighbors: Neighbors | str | None) -> Gallery:
    if not isinstance(neighbors, Neighbors):
        return gallery
    images = tuple(
        replace(image, neighbors=found) for image, found in zip(gallery.images, neighbors.images, strict=True)
    )
    return replace(gallery, images=images, neighbors=neighbors.sheet)


def _missing(explanations: Explanations | str, neighbors: Neighbors | str | None) -> Iterator[str]:
    if isinstance(explanations, str):
        yield f"Most probable classes and Grad-CAM heatmaps are not shown: {printable(explanations)}."
    elif explanations.activations is None:
        yield "Grad-CAM heatmaps are not shown: the network has no suitable convolution."
    if isinstance(neighbors, str):
        yield f"Nearest training images are not shown: {printable(neighbors)}."
