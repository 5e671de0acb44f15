"""A preview of images, as evaluation and as training show them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.data.augment import Augmentation
from tenfold.data.augment.trivial import operation_text
from tenfold.data.types import Dataset, Split
from tenfold.recipes.augment_section import AugmentSection

NUM_VERSIONS = 7
"""Augmented versions of each image in a preview."""


class Preview(NamedTuple):
    """Images for a grid.

    Args:
        images: uint8 [M, H, W, 3], of the network's size.
        titles: M titles of one or two lines.
    """

    images: NDArray[np.uint8]
    titles: list[str]


def preview(dataset: Dataset, split: Split, indices: NDArray[np.int64]) -> Preview:
    """Returns images as evaluation sees them, with their classes."""
    chosen = dataset.without_margin(split.subset(indices))
    return Preview(chosen.images, [dataset.classes[label] for label in chosen.labels])


def augmented_preview(
    dataset: Dataset, split: Split, indices: NDArray[np.int64], section: AugmentSection, seed: int
) -> Preview:
    """Returns each image as evaluation sees it, then as the first seven augmented epochs show it.

    The titles of augmented images say their epoch, their operation of TrivialAugment, or what was mixed into them.

    Args:
        dataset: of the split.
        split: to choose from.
        indices: of R images.
        section: `[data.augment]` of a recipe.
        seed: `train.seed` of the run that is previewed.

    Returns:
        A preview with M = 8·R, image by image.

    Raises:
        RecipeError: when the augmentation does not fit the images.
    """
    augmentation = Augmentation(**section.model_dump(), image_size=dataset.image_size)
    augmentation.check(dataset.image_size)
    first = 0 if section.first_epoch else 1
    epochs = range(first, first + NUM_VERSIONS)
    columns = [
        preview(dataset, split, indices),
        *(_epoch(augmentation, dataset.classes, split, indices, seed, epoch) for epoch in epochs),
    ]
    images = np.stack([column.images for column in columns], 1)  # R 8 H W 3
    titles = zip(*(column.titles for column in columns), strict=True)
    return Preview(images.reshape(-1, *images.shape[2:]), [title for row in titles for title in row])


def _epoch(
    augmentation: Augmentation,
    classes: tuple[str, ...],
    split: Split,
    indices: NDArray[np.int64],
    seed: int,
    epoch: int,
) -> Preview:
    """Returns images as an epoch shows them, R of them."""
    draws = augmentation.draw(len(split), seed=seed, epoch=epoch)

    def rows(indices: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        return {name: table[indices] for name, table in draws.items()}

    def augmented(indices: NDArray[np.int64]) -> torch.Tensor:
        return augmentation.apply(torch.from_numpy(split.images[indices]).permute(0, 3, 1, 2), rows(indices))

    images, titles = augmented(indices), [f"epoch {epoch + 1}"] * len(indices)
    if "operation" in draws:
        drawn = zip(draws["operation"][indices].tolist(), draws["level"][indices].tolist(), strict=True)
        titles = [operation_text(operation, level) for operation, level in drawn]
    if "partner" in draws:
        partners = draws["partner"][indices].numpy()
        images, weights = augmentation.mix(images, augmented(partners), rows(indices))
        names = ([classes[label] for label in split.labels[chosen]] for chosen in (indices, partners))
        mixed = zip(*names, weights.tolist(), strict=True)
        titles = [f"{weight:.0%} {own}\n{1 - weight:.0%} {partner}" for own, partner, weight in mixed]
    return Preview(images.permute(0, 2, 3, 1).contiguous().numpy(), titles)
