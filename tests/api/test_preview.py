"""A preview shows what evaluation and training show."""

import numpy as np
import torch

from harness.tiny import recipe
from tenfold.api.preview import NUM_VERSIONS, augmented_preview, preview
from tenfold.data.types import Dataset, Split
from tenfold.engine.precision import choose_hardware
from tenfold.engine.setup import training_loader

SETTINGS = (
    *("data.augment.flip=random", "data.augment.crop=[0.3, 1]", "data.augment.trivial=true", "data.augment.erase=0.5"),
    *("data.augment.mixup=0.5", "train.batch_size=5", "train.seed=4"),
)


def stored_with_a_margin() -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)
    split = Split(images, np.arange(12) % 2)
    return Dataset("noise", ("cat", "dog"), split, split, fit="crop:0.8")


def test_augmented_versions_are_those_of_the_training() -> None:
    dataset, chosen, indices = stored_with_a_margin(), recipe("mlp", *SETTINGS), np.array([7, 2, 9])
    found = augmented_preview(dataset, dataset.train, indices, chosen.data.augment, seed=4)
    rows = found.images.reshape(3, 1 + NUM_VERSIONS, 16, 16, 3)
    assert np.array_equal(rows[:, 0], dataset.train.images[indices][:, 2:18, 2:18])
    assert found.titles[::8] == ["dog", "cat", "dog"]
    loader = training_loader(chosen, dataset, choose_hardware(chosen.train))
    for epoch in range(NUM_VERSIONS):
        batches = list(loader.epoch(epoch))
        images, order = (torch.cat([batch[i] for batch in batches]) for i in (0, 2))
        shown = images[order.argsort()][indices].permute(0, 2, 3, 1)
        assert np.array_equal(rows[:, 1 + epoch], shown.numpy())


def test_a_plain_preview_leaves_the_margin_out() -> None:
    dataset, indices = stored_with_a_margin(), np.array([3, 0])
    found = preview(dataset, dataset.train, indices)
    assert np.array_equal(found.images, dataset.train.images[indices][:, 2:18, 2:18])
    assert found.titles == ["dog", "cat"]
