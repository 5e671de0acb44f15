"""Charts: written whole, of any size, for any name. How they look was judged by eye."""

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.core.errors import DataError, StorageError
from tenfold.evaluate.metrics import per_class_results
from tenfold.report.plots.canvas import WARM, chart
from tenfold.report.plots.run_charts import plot_confusion, plot_curves, plot_grid, plot_per_class

STRANGE = ("$x_1", "a\nb", "\udcff\x1b[2J", "猫", "<b>&", "long " * 40)


def _pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _shows(path, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(_pixels(path).astype(int) - wanted).sum(2) < 12).any())


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 500, "train_loss": 2.1}],
        [{"step": "500", "train_loss": "2.1", "train_accuracy": "", "val_loss": None}],
        [{"step": 1, "train_loss": float("nan"), "train_accuracy": float("inf")}],
        [{"step": s, "train_loss": 1 / s, "train_accuracy": 1 - 1 / s, "val_accuracy": 0.5} for s in range(1, 200)],
        [{"step": 10, "test_accuracy": 1.0, "test_loss": 0.0}],
    ],
)
def test_curves_of_any_length_are_drawn(tmp_path, rows):
    plot_curves(rows, tmp_path / "curves.png")
    assert _pixels(tmp_path / "curves.png").shape == (525, 1350, 3)


def test_validation_points_are_drawn_in_their_colour(tmp_path):
    plot_curves([{"step": 1, "train_loss": 1.0}], tmp_path / "without.png")
    plot_curves([{"step": 1, "train_loss": 1.0, "val_loss": 1.1}], tmp_path / "with.png")
    assert not _shows(tmp_path / "without.png", WARM)
    assert _shows(tmp_path / "with.png", WARM)


@pytest.mark.parametrize("classes", [1, 2, 10, 21, 100, 300])
def test_charts_take_any_number_of_classes(tmp_path, classes):
    generator = np.random.default_rng(0)
    confusion = generator.integers(0, 9, (classes, classes))
    confusion[0] = 0  # a class without pictures
    names = [f"class number {i}" for i in range(classes)]
    plot_confusion(confusion, names, tmp_path / "confusion.png")
    plot_per_class(per_class_results(torch.from_numpy(confusion), names), tmp_path / "bars.png")
    for name in ("confusion.png", "bars.png"):
        height, width, _ = _pixels(tmp_path / name).shape
        assert 100 < width < 3000
        assert 100 < height < 3200


def test_names_of_any_kind_are_drawn_as_they_are(tmp_path):
    confusion = torch.eye(len(STRANGE), dtype=torch.int64)
    plot_confusion(confusion.numpy(), STRANGE, tmp_path / "a.png")
    plot_per_class(per_class_results(confusion, STRANGE), tmp_path / "b.png")
    plot_grid(np.zeros((6, 8, 8, 3), np.uint8), STRANGE, tmp_path / "c.png")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 32), (28, 90), (200, 240), (300, 500), (2000, 3)])
def test_grids_take_pictures_of_any_size(tmp_path, height, width):
    plot_grid(np.zeros((3, height, width, 3), np.uint8), ["a", "b", "c"], tmp_path / "grid.png", columns=2)
    assert _pixels(tmp_path / "grid.png").shape[1] < 700


def test_small_pictures_stay_sharp_and_true_in_colour(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    plot_grid(image, ["noise"], tmp_path / "grid.png")
    sheet = _pixels(tmp_path / "grid.png")
    assert sheet.shape == (160 + 32 + 14, 160 + 28, 3)
    np.testing.assert_array_equal(sheet[32:192, 14:174], image[0].repeat(5, 0).repeat(5, 1))


def test_a_wrong_title_stands_out(tmp_path):
    images = np.zeros((2, 32, 32, 3), np.uint8)
    plot_grid(images, ["cat", "dog"], tmp_path / "right.png")
    plot_grid(images, ["cat", "dog\ntruth: cat"], tmp_path / "wrong.png", colours=["#000000", WARM])
    assert not _shows(tmp_path / "right.png", WARM)
    assert _shows(tmp_path / "wrong.png", WARM)


@pytest.mark.parametrize(("images", "titles"), [(0, 0), (2, 1)])
def test_a_grid_without_a_title_for_each_picture_is_refused(tmp_path, images, titles):
    with pytest.raises(DataError, match=f"{images} pictures, {titles} titles"):
        plot_grid(np.zeros((images, 8, 8, 3), np.uint8), ["a"] * titles, tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


def test_the_same_figures_give_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        plot_confusion(np.eye(3, dtype=np.int64), "xyz", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_drawing_changes_no_global_setting(tmp_path):
    before = dict(matplotlib.rcParams)
    plot_curves([], tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before


def test_a_chart_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), chart(tmp_path / "a.png", 2, 2):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match="missing"):
        plot_curves([], tmp_path / "missing" / "curves.png")
