"""Images and labels in memory as a dataset: what is accepted, and what is refused in one line."""

import re

import numpy as np
import pytest
import torch

from tenfold.core.errors import DataError
from tenfold.data.in_memory import read_in_memory

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 6, 3), dtype=np.uint8)
NAMES = ["dog", "cat"] * 5


@pytest.mark.parametrize("pair", [(IMAGES, NAMES), [list(IMAGES), np.array(NAMES)], (torch.from_numpy(IMAGES), NAMES)])
def test_a_pair_gets_a_stratified_test_split(pair: object) -> None:
    splits, classes, drawn = read_in_memory(pair, 0.2, seed=0)
    assert (classes, drawn) == (("cat", "dog"), ("test",))
    assert {name: np.bincount(split.labels).tolist() for name, split in splits.items()} == {
        "train": [4, 4],
        "test": [1, 1],
    }
    used = np.concatenate([splits["train"].images, splits["test"].images])
    assert sorted(image.tobytes() for image in used) == sorted(image.tobytes() for image in IMAGES)
    for split in splits.values():
        for image, label in zip(split.images, split.labels, strict=True):
            (position,) = (i for i, other in enumerate(IMAGES) if np.array_equal(image, other))
            assert classes[label] == NAMES[position]


def test_given_splits_are_used_whole_and_integers_sort_by_value() -> None:
    data = {"train": (IMAGES[:6], [10, 9, 2, 2, 9, 10]), "test": (IMAGES[6:8], [9, 2]), "val": (IMAGES[8:], [10, 10])}
    splits, classes, drawn = read_in_memory(data, 0.2, seed=0)
    assert (classes, drawn) == (("2", "9", "10"), ())
    assert {name: split.labels.tolist() for name, split in splits.items()} == {
        "train": [2, 1, 0, 0, 1, 2],
        "test": [1, 0],
        "val": [2, 2],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "data is an int; expected a dataset's name or path, a Dataset, (images, labels), or"),
        ([1, 2], "data is an array of int64 [2]; expected a dataset's name or path"),
        (IMAGES, "data is an array of uint8 [10, 8, 6, 3]; expected a dataset's name"),
        (("a", "b"), "data is an array of <U1 [2]; expected a dataset's name"),
        ({}, "data has no split; expected train, with test and val where they exist"),
        ({"train": IMAGES}, "data['train'] is an array of uint8 [10, 8, 6, 3]; expected (images, labels)"),
        ({"tests": (IMAGES, NAMES)}, "data has the splits tests; expected train, test and val"),
        ({"test": (IMAGES, NAMES)}, "data has test; expected train"),
        ((IMAGES / 255, NAMES), "train images are an array of float64 [10, 8, 6, 3]; expected uint8"),
        ((IMAGES, [0.5] * 10), "train labels are an array of float64 [10]; expected one class name or integer"),
        ((IMAGES, NAMES[:4]), "labels are int64 [4]; expected int64 [10], one for each image"),
        ((IMAGES[:2], ["cat", "dog"]), "train has one image per class and none left for testing; pass a test split"),
        ({"train": (IMAGES, NAMES), "test": (IMAGES[:2], ["cow", "cat"])}, "test has labels that train does not have"),
        ({"train": (IMAGES, NAMES), "test": (IMAGES[:2], [0, 1])}, "train does not have (0, 1); expected cat, dog"),
    ],
)
def test_what_is_no_dataset_is_refused_in_one_line(data: object, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_in_memory(data, 0.2, seed=0)
    assert "\n" not in str(raised.value)
