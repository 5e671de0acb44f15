"""Tests of splits and datasets: inconsistent parts are refused."""

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.data.types import Dataset, Split


def split(count: int = 4, height: int = 8, width: int = 8, classes: int = 2) -> Split:
    images = np.arange(count * height * width * 3).reshape(count, height, width, 3).astype(np.uint8)
    return Split(images, np.arange(count) % classes, tuple(f"{i}.png" for i in range(count)))


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"images are float32 \[2, 8, 8, 3\]; expected uint8 \[N, H, W, 3\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"images are uint8 \[2, 3, 8, 8\]"),
        (np.zeros((8, 8, 3), np.uint8), r"images are uint8 \[8, 8, 3\]"),
    ],
)
def test_images_of_another_shape_or_dtype_are_refused(images: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=found):
        Split(images, np.zeros(2, np.int64))


@pytest.mark.parametrize("labels", [np.zeros(2, np.int32), np.zeros(3, np.int64), np.zeros((2, 1), np.int64)])
def test_labels_of_another_shape_or_dtype_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"labels are int\d\d \[.*\]; expected int64 \[2\], one for each image"):
        Split(np.zeros((2, 8, 8, 3), np.uint8), labels)


def test_each_image_needs_a_path() -> None:
    with pytest.raises(DataError, match="1 paths for 2 images"):
        Split(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64), ("a.png",))


def test_each_image_needs_a_group_and_keeps_it_in_a_subset() -> None:
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64)
    with pytest.raises(DataError, match="1 groups for 2 images"):
        Split(images, labels, groups=("a",))
    assert Split(images, labels, groups=("a", "b")).subset(np.array([1])).groups == ("b",)


def test_a_subset_keeps_images_labels_and_paths_together() -> None:
    whole = split()
    part = whole.subset(np.array([3, 0]))
    assert len(part) == 2
    assert np.array_equal(part.images, whole.images[[3, 0]])
    assert part.labels.tolist() == [1, 0]
    assert part.paths == ("3.png", "0.png")


def test_a_dataset_knows_its_splits_and_size() -> None:
    dataset = Dataset("tiny", ("a", "b"), split(4, 8, 10), split(2, 8, 10))
    assert list(dataset.splits()) == ["train", "test"]
    assert dataset.image_size == (8, 10)
    assert list(Dataset("tiny", ("a", "b"), split(), split(), split()).splits()) == ["train", "test", "val"]


def test_splits_of_different_image_sizes_are_refused() -> None:
    with pytest.raises(DataError, match=r"test images are \[8, 9, 3\], train images \[8, 8, 3\]; expected one size"):
        Dataset("tiny", ("a", "b"), split(), split(4, 8, 9))


def test_labels_without_a_class_are_refused() -> None:
    with pytest.raises(DataError, match="val labels run from 0 to 2; expected 0 to 1 for 2 classes"):
        Dataset("tiny", ("a", "b"), split(), split(), split(classes=3))


def test_negative_labels_are_refused() -> None:
    below = Split(np.zeros((1, 8, 8, 3), np.uint8), np.array([-1]))
    with pytest.raises(DataError, match="train labels run from -1 to -1"):
        Dataset("tiny", ("a", "b"), below, split())


def test_a_dataset_and_a_split_are_shown_in_a_line_without_pixels() -> None:
    dataset = Dataset("pets", ("cat", "dog"), split(1200, 2, 3), split(4, 2, 3), split(3, 2, 3))
    assert repr(dataset) == "Dataset('pets', 2 classes, 1,200 train, 4 test, 3 val, 3×2)"
    assert repr(dataset.train) == "Split(1,200 images, 3×2)"
