"""Image grids have a title for each image and take any image size. Their appearance was checked by eye."""

from pathlib import Path

import numpy as np
import pytest

from harness.rendered import pixels_of, shows_color
from harness.tiny import CLASSES, make_split
from tenfold.core.errors import DataError
from tenfold.report.plots.canvas import ORANGE
from tenfold.report.plots.image_grids import (
    ImageSection,
    plot_grid,
    plot_preview,
    plot_sections,
    prediction_titles,
)

STRANGE_NAMES = ("$x_1", "a\nb", "\udcff\x1b[2J", "猫", "<b>&", "long " * 40)


def test_a_preview_returns_the_labels_and_depends_on_the_seed(tmp_path: Path) -> None:
    first = plot_preview(make_split(9, 0), CLASSES, tmp_path / "a.png", count=6, seed=1)
    again = plot_preview(make_split(9, 0), CLASSES, tmp_path / "b.png", count=6, seed=1)
    assert first == again
    assert len(first) == 6
    assert set(first) <= set(CLASSES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_preview_of_a_small_split_shows_all_images(tmp_path: Path) -> None:
    assert sorted(plot_preview(make_split(3, 0), CLASSES, tmp_path / "a.png")) == sorted(CLASSES)


def test_a_wrong_prediction_has_a_title_of_two_lines() -> None:
    assert prediction_titles(["cat", "ship"], ["cat", "plane"]) == ["cat", "plane\ntruth: ship"]
    with pytest.raises(ValueError, match="longer"):
        prediction_titles([], ["cat"])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 32), (28, 90), (200, 240), (300, 500), (2000, 3)])
def test_grids_take_images_of_any_size(tmp_path: Path, height: int, width: int) -> None:
    plot_grid(np.zeros((3, height, width, 3), np.uint8), ["a", "b", "c"], tmp_path / "grid.png", columns=2)
    assert pixels_of(tmp_path / "grid.png").shape[1] < 700


def test_small_images_are_enlarged_exactly(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    plot_grid(image, ["noise"], tmp_path / "grid.png")
    sheet = pixels_of(tmp_path / "grid.png")
    assert sheet.shape == (160 + 32 + 14, 160 + 28, 3)
    np.testing.assert_array_equal(sheet[32:192, 14:174], image[0].repeat(5, 0).repeat(5, 1))


def test_titles_are_drawn_in_their_color(tmp_path: Path) -> None:
    images = np.zeros((2, 32, 32, 3), np.uint8)
    plot_grid(images, ["cat", "dog"], tmp_path / "right.png")
    plot_grid(images, ["cat", "dog\ntruth: cat"], tmp_path / "wrong.png", colors=["#000000", ORANGE])
    assert not shows_color(tmp_path / "right.png", ORANGE)
    assert shows_color(tmp_path / "wrong.png", ORANGE)


@pytest.mark.parametrize(("num_images", "num_titles"), [(0, 0), (2, 1)])
def test_a_grid_without_a_title_for_each_image_is_refused(tmp_path: Path, num_images: int, num_titles: int) -> None:
    with pytest.raises(DataError, match=f"{num_images} images, {num_titles} titles"):
        plot_grid(np.zeros((num_images, 8, 8, 3), np.uint8), ["a"] * num_titles, tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


def test_titles_of_any_kind_are_drawn(tmp_path: Path) -> None:
    images = np.zeros((6, 8, 8, 3), np.uint8)
    plot_grid(images, STRANGE_NAMES, tmp_path / "a.png")
    plot_sections(STRANGE_NAMES[0], [ImageSection(STRANGE_NAMES[1], images, STRANGE_NAMES)], tmp_path / "b.png")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (300, 200), (20, 60)])
@pytest.mark.parametrize("counts", [(0, 1), (32, 0), (9, 32)])
def test_sections_of_images_of_any_shape_are_drawn(
    shape: tuple[int, int], counts: tuple[int, int], tmp_path: Path
) -> None:
    color = np.array([10, 200, 30], np.uint8)
    sections = [
        ImageSection(f"part {count}", np.broadcast_to(color, (count, *shape, 3)), ["cat\ndog"] * count)
        for count in counts
    ]
    plot_sections("heading", sections, tmp_path / "s.png")
    pixels = pixels_of(tmp_path / "s.png")
    assert 1400 < pixels.shape[1] < 1500
    assert shows_color(tmp_path / "s.png", ORANGE)
    covered = (np.abs(pixels.astype(int) - color).sum(2) < 12).sum()
    expected = sum(counts) * (1.1 * 150) ** 2 * shape[0] / shape[1]
    assert covered == pytest.approx(expected, rel=0.05)
