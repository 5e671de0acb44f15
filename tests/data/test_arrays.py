"""Images and labels in memory: what is accepted, and what is refused in one line."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.data.arrays import images_of, labels_of

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "value",
    [
        RGB,
        list(RGB),
        tuple(RGB),
        RGB.transpose(0, 3, 1, 2),
        torch.from_numpy(RGB),
        torch.from_numpy(RGB).permute(0, 3, 1, 2),
        list(torch.from_numpy(RGB)),
        [Image.fromarray(image) for image in RGB],
    ],
)
def test_images_of_one_meaning_are_accepted(value: object) -> None:
    assert np.array_equal(images_of(value, "images"), RGB)


def test_gray_images_get_three_equal_channels() -> None:
    found = images_of(RGB[..., 0], "images")
    assert found.shape == RGB.shape
    assert all(np.array_equal(found[..., channel], RGB[..., 0]) for channel in range(3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (RGB / 255, "images are an array of float64 [4, 6, 5, 3]; expected uint8 [N, H, W, 3] in RGB order"),
        (RGB / 255, "gray [N, H, W]; for values in [0, 1]: (images * 255).round(), converted to uint8"),
        (RGB.astype(np.int64), "images are an array of int64 [4, 6, 5, 3]; expected"),
        (RGB.tolist(), "gray [N, H, W]; for values in 0–255: np.array(images, np.uint8)"),
        (RGB[..., :2], "images are an array of uint8 [4, 6, 5, 2]; expected"),
        (RGB[:0], "images are an array of uint8 [0, 6, 5, 3]; expected"),
        ([RGB[0], RGB[1][:3]], "images are a list of ndarray [6, 5, 3] and ndarray [3, 5, 3]; expected"),
        (["a.jpg", "b.jpg"], "images are an array of <U5 [2]; expected"),
        (5, "images are an int; expected"),
        (None, "images are a NoneType; expected"),
    ],
)
def test_other_images_are_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        images_of(value, "images")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        (np.array(["cat", "dog"]), ["cat", "dog"]),
        ((3, 1), [3, 1]),
        (torch.tensor([1, 0]), [1, 0]),
        (np.array([1, 0], np.uint8), [1, 0]),
    ],
)
def test_labels_are_names_or_integers(value: object, expected: list[object]) -> None:
    assert labels_of(value, "labels") == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), "labels are an array of float64 [3]; expected one class name or integer for each image"),
        (np.zeros((2, 3), np.int64), "labels are an array of int64 [2, 3]; expected"),
        ([1, "cat"], "labels are a list of int and str; expected"),
        ([None, None], "labels are a list of NoneType; expected"),
        ([True, False], "labels are an array of bool [2]; expected"),
        ("cats", "labels are a str; expected"),
        ([], "labels are an array of float64 [0]; expected"),
    ],
)
def test_other_labels_are_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        labels_of(value, "labels")
