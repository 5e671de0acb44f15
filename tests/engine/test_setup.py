"""The training pictures as a recipe wants them."""

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


def class_by_class(data: Dataset) -> Dataset:
    """Returns the pictures as class folders store them."""
    return replace(data, train=data.train.subset(np.argsort(data.train.labels, kind="stable")))


def test_augmentation_that_does_not_fit_is_refused() -> None:
    recipe = tiny.recipe("mlp", "data.augment.shift=16")
    with pytest.raises(RecipeError, match=r"data.augment.shift = 16 for pictures of 16×16; expected at most 15"):
        training_loader(recipe, tiny.dataset(), choose_hardware(recipe.train))


@pytest.mark.parametrize(("keys", "sizes"), [((), [8, 8, 8, 1]), (("train.drop_last=true",), [8, 8, 8])])
def test_batches_are_as_large_as_the_recipe_says_but_for_the_last(keys: tuple[str, ...], sizes: list[int]) -> None:
    data = tiny.dataset(train=33)
    assert [len(batch) for batch in indices(tiny.recipe("mlp", *keys), data)] == [8, *sizes]


def test_an_order_that_is_kept_is_the_stored_one_unless_that_is_class_by_class() -> None:
    recipe, data = tiny.recipe("mlp", "train.shuffle=false"), tiny.dataset(train=24)
    stored = torch.arange(24)
    assert torch.equal(torch.cat(indices(recipe, data)), stored)
    mixed = torch.cat(indices(recipe, class_by_class(data)))
    assert not torch.equal(mixed, stored)
    assert torch.equal(mixed.sort().values, stored)
    assert torch.equal(mixed, torch.cat(indices(recipe, class_by_class(data), epoch=1)))


@pytest.mark.parametrize("channels_last", [True, False])
def test_pictures_lie_in_memory_as_the_recipe_says(channels_last: bool) -> None:
    recipe = tiny.recipe("mlp", f"train.channels_last={str(channels_last).lower()}")
    batch = next(training_loader(recipe, tiny.dataset(), choose_hardware(recipe.train)).epoch(0))
    assert batch.images.is_contiguous(memory_format=torch.channels_last) == channels_last
