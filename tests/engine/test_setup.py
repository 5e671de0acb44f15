"""The training loader that a recipe describes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import tiny
from tenfold.core.errors import RecipeError
from tenfold.data.types import Dataset
from tenfold.engine.precision import choose_hardware
from tenfold.engine.setup import training_loader
from tenfold.recipes.schema import Recipe


def indices(recipe: Recipe, data: Dataset, epoch: int = 0) -> list[torch.Tensor]:
    loader = training_loader(recipe, data, choose_hardware(recipe.train))
    return [batch.indices for batch in loader.epoch(epoch)]


def sorted_by_class(data: Dataset) -> Dataset:
    """Returns the images in the order of class folders."""
    return replace(data, train=data.train.subset(np.argsort(data.train.labels, kind="stable")))


def test_augmentation_that_does_not_fit_is_refused() -> None:
    recipe = tiny.recipe("mlp", "data.augment.shift=16")
    message = r"data.augment.shift = 16 for images of 16×16; expected at most 15"
    with pytest.raises(RecipeError, match=message) as caught:
        training_loader(recipe, tiny.dataset(), choose_hardware(recipe.train))
    assert caught.value.is_everywhere, "one of several processes prints it"


@pytest.mark.parametrize(("keys", "sizes"), [((), [8, 8, 8, 1]), (("train.drop_last=true",), [8, 8, 8])])
def test_all_batches_but_the_last_have_the_recipes_size(keys: tuple[str, ...], sizes: list[int]) -> None:
    data = tiny.dataset(train=33)
    assert [len(batch) for batch in indices(tiny.recipe("mlp", *keys), data)] == [8, *sizes]


def test_without_shuffle_only_an_order_by_class_is_shuffled_once() -> None:
    recipe, data = tiny.recipe("mlp", "train.shuffle=false"), tiny.dataset(train=24)
    stored = torch.arange(24)
    assert torch.equal(torch.cat(indices(recipe, data)), stored)
    shuffled = torch.cat(indices(recipe, sorted_by_class(data)))
    assert not torch.equal(shuffled, stored)
    assert torch.equal(shuffled.sort().values, stored)
    assert torch.equal(shuffled, torch.cat(indices(recipe, sorted_by_class(data), epoch=1)))


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_have_the_recipes_memory_format(channels_last: bool) -> None:
    recipe = tiny.recipe("mlp", f"train.channels_last={str(channels_last).lower()}")
    batch = next(training_loader(recipe, tiny.dataset(), choose_hardware(recipe.train)).epoch(0))
    assert batch.images.is_contiguous(memory_format=torch.channels_last) == channels_last
