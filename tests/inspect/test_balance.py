"""Warnings about class counts at the start of training."""

import numpy as np
import pytest

from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset, Split
from tenfold.inspect.balance import label_warnings


def black_images(train: list[int], test: list[int]) -> Dataset:
    """Returns a dataset of black images with the given number of images per class."""

    def split(counts: list[int]) -> Split:
        labels = np.repeat(np.arange(len(counts)), counts)
        return Split(np.zeros((len(labels), 2, 2, 3), np.uint8), labels)

    return Dataset("black", tuple(f"c{n}" for n in range(len(train))), split(train), split(test))


def test_ordinary_data_gives_no_warning() -> None:
    assert label_warnings(build_shapes(1000, 200)) == ()
    assert label_warnings(black_images([34, 99], [60, 60])) == ()


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        ([50, 0], [100, 100], "1 class has no train images: 'c1'"),
        ([50, 50], [200, 0], "1 class has no test images: 'c1'"),
        ([20, 9], [100, 100], "1 class has fewer than 10 training images: 'c1' (9); add more images of it"),
        ([20, 9, 8], [50, 50, 50], "2 classes have fewer than 10 training images: 'c1' (9), 'c2' (8); add more images"),
        ([500, 50], [100, 100], "class imbalance: 'c0' has 500 training images, 'c1' has 50, 10 times fewer; go by"),
        ([5000, 20], [100, 100], "class imbalance: 'c0' has 5,000 training images, 'c1' has 20, 250 times fewer; go"),
        ([70, 20], [100, 100], "class imbalance: 'c0' has 70 training images, 'c1' has 20, 3.5 times fewer; go by"),
        ([50, 50], [10, 20], "only 30 test images: a 95 % interval of the accuracy is up to 34 points wide"),
        ([50, 50], [1, 0], "only 1 test image: a 95 % interval of the accuracy is up to 79 points wide"),
    ],
)
def test_unusual_class_counts_give_a_warning(train: list[int], test: list[int], sentence: str) -> None:
    assert label_warnings(black_images(train, test))[-1].startswith(sentence)


def test_imbalance_is_not_mentioned_where_a_recipe_makes_up_for_it() -> None:
    uneven = black_images([400, 20], [100, 100])
    (warning,) = label_warnings(uneven)
    assert warning.endswith("--set optim.class_weights=balanced or --set data.balance=1")
    assert label_warnings(uneven, balanced=True) == ()


def test_many_tiny_classes_are_counted_and_the_first_are_named() -> None:
    (warning,) = [text for text in label_warnings(black_images([2] * 40, [3] * 40)) if "fewer" in text]
    assert warning.startswith("40 classes have fewer than 10 training images: 'c0' (2), 'c1' (2)")
    assert "and 35 more" in warning
