"""Charts of a run are written for any length, number of classes and names. Their appearance was checked by eye."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

import tenfold
from harness.rendered import pixels_of, shows_color
from harness.tiny import dataset, recipe
from tenfold.core.errors import RunError, StorageError
from tenfold.evaluate.metrics import per_class_results
from tenfold.report.plots.canvas import ORANGE, chart
from tenfold.report.plots.run_charts import plot_confusion, plot_curves, plot_per_class, plot_run
from tenfold.runs.run_folder import RunFolder

STRANGE_NAMES = ("$x_1", "a\nb", "\udcff\x1b[2J", "猫", "<b>&", "long " * 40)


def test_a_finished_run_can_be_drawn_again_from_its_folder(tmp_path: Path) -> None:
    short = recipe("mlp", "train.duration=4 steps")
    folder = RunFolder.open(tenfold.train(short, data=dataset(), runs=tmp_path).path)
    before = {path.name: path.read_bytes() for path in folder.plots.iterdir()}
    for path in folder.plots.iterdir():
        path.unlink()
    plot_run(folder, dataset())
    assert {path.name: path.read_bytes() for path in folder.plots.iterdir()} == before
    assert len(before) == 5
    assert all(min(pixels_of(folder.plots / name).shape[:2]) > 200 for name in before)


def test_an_unfinished_run_cannot_be_drawn(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "tiny", "mlp", "begun")
    with pytest.raises(RunError, match=r"summary\.json is missing; finish the run: tenfold train --resume"):
        plot_run(folder, dataset())


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
def test_curves_of_any_length_are_drawn(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    plot_curves(rows, tmp_path / "curves.png")
    assert pixels_of(tmp_path / "curves.png").shape == (525, 1350, 3)


def test_validation_points_have_their_own_color(tmp_path: Path) -> None:
    plot_curves([{"step": 1, "train_loss": 1.0}], tmp_path / "without.png")
    plot_curves([{"step": 1, "train_loss": 1.0, "val_loss": 1.1}], tmp_path / "with.png")
    assert not shows_color(tmp_path / "without.png", ORANGE)
    assert shows_color(tmp_path / "with.png", ORANGE)


def test_captions_stand_below_the_curves(tmp_path: Path) -> None:
    plot_curves([{"step": 1, "train_loss": 1.0, "train_objective": 1.2}], tmp_path / "noted.png", ["A note. " * 40])
    assert pixels_of(tmp_path / "noted.png").shape[0] > 525 + 40


@pytest.mark.parametrize("classes", [1, 2, 10, 21, 100, 300])
def test_charts_take_any_number_of_classes(tmp_path: Path, classes: int) -> None:
    confusion = np.random.default_rng(0).integers(0, 9, (classes, classes))
    confusion[0] = 0  # a class without images
    names = [f"class number {i}" for i in range(classes)]
    plot_confusion(confusion, names, tmp_path / "confusion.png")
    plot_per_class(per_class_results(torch.from_numpy(confusion), names), tmp_path / "bars.png")
    for name in ("confusion.png", "bars.png"):
        height, width, _ = pixels_of(tmp_path / name).shape
        assert 100 < width < 3000
        assert 100 < height < 3200


def test_class_names_of_any_kind_are_drawn(tmp_path: Path) -> None:
    confusion = torch.eye(len(STRANGE_NAMES), dtype=torch.int64)
    plot_confusion(confusion.numpy(), STRANGE_NAMES, tmp_path / "a.png")
    plot_per_class(per_class_results(confusion, STRANGE_NAMES), tmp_path / "b.png")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_values_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_confusion(np.eye(3, dtype=np.int64), "xyz", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_drawing_changes_no_global_setting(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    plot_curves([], tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before


def test_a_chart_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), chart(tmp_path / "a.png", 2, 2):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        plot_curves([], tmp_path / "missing" / "curves.png")
