"""Tests of what the check says about center crops."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.data.request import DataRequest
from tenfold.inspect.center_crop import crop_findings
from tenfold.inspect.dataset_check import inspect_source

SQUARE = (64, 64)


def sentences(sizes: dict[tuple[int, int], int], fit: str = "crop", image_size: tuple[int, int] = SQUARE) -> list[str]:
    return [finding.sentence for finding in crop_findings(Counter(sizes), image_size, fit)]


def test_long_images_are_noted_with_a_remedy() -> None:
    (found,) = sentences({(200, 300): 9, (100, 400): 1})
    assert found.startswith(
        "the center crop leaves out 33 % of the area of the median image, 75 % of the most elongated"
    )
    assert found.endswith("--set data.fit=pad (or stretch) keeps all of it")


def test_photos_of_usual_proportions_are_noted_without_a_remedy() -> None:
    (found,) = sentences({(375, 500): 5, (500, 375): 5})
    assert found == "the center crop leaves out 25 % of the area of the median image, 25 % of the most elongated one"


def test_a_fraction_counts() -> None:
    (found,) = sentences({(375, 500): 5}, "crop:0.8:bilinear")
    assert found.startswith("the center crop of data.fit = crop:0.8:bilinear leaves out 52 % of the area")


@pytest.mark.parametrize(
    ("sizes", "fit", "image_size"),
    [
        ({(100, 110): 9, (100, 300): 1}, "crop", SQUARE),  # one odd image among many
        ({(100, 100): 9}, "crop:0.5", SQUARE),  # nothing is lost to proportions
        ({(100, 300): 9}, "pad", SQUARE),
        ({(100, 300): 9}, "crop", (32, 96)),
        ({}, "crop", SQUARE),
    ],
)
def test_nothing_is_said_of(sizes: dict[tuple[int, int], int], fit: str, image_size: tuple[int, int]) -> None:
    assert sentences(sizes, fit, image_size) == []


def test_the_sizes_are_those_of_upright_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    turned = Image.Exif()
    turned[0x0112] = 6  # by 90°
    random = np.random.default_rng(0)
    for index in range(8):
        folder = tmp_path / "photos" / "train" / ("cat", "dog")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(random.integers(0, 256, (20, 60, 3), np.uint8))
        image.save(folder / f"{index}.jpg", exif=turned)

    def rules(size: tuple[int, int]) -> list[str]:
        found = inspect_source(DataRequest(str(tmp_path / "photos"), image_size=size))
        return [finding.rule for finding in found.findings if finding.rule == "center-crop"]

    assert rules((24, 8)) == []
    assert rules((8, 24)) == ["center-crop"]
