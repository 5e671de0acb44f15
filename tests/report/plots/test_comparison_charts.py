"""Charts of a comparison are written for any number of runs and any names. Their appearance was checked by eye."""

from pathlib import Path
from typing import Any

import pytest

from harness.rendered import pixels_of, shows_color
from tenfold.report.plots.canvas import BLUE, GREEN, ORANGE
from tenfold.report.plots.comparison_charts import (
    colors_of,
    plot_accuracies,
    plot_class_differences,
    plot_overlaid_curves,
)

STRANGE_NAMES = ("$x_1", "a\nb", "\udcff\x1b[2J", "猫", "[bold]", "long " * 40)


def run_row(accuracy: float = 0.5) -> dict[str, float]:
    return {"test_accuracy": accuracy, "test_low": accuracy - 0.1, "test_high": accuracy + 0.1}


def class_row(name: str, run: str, difference: float) -> dict[str, Any]:
    interval = (difference - 0.03, difference + 0.03)
    return {"run": run, "name": name, "difference": difference, "interval": interval}


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_every_label_has_its_own_color(count: int) -> None:
    labels = [str(i) for i in range(count)]
    colors = colors_of([*labels, *labels])
    assert list(colors) == labels
    assert len(set(colors.values())) == count


@pytest.mark.parametrize("count", [1, 2, 8, 60])
def test_accuracies_of_any_number_of_runs_are_drawn(count: int, tmp_path: Path) -> None:
    rows = [run_row(0.5 + i / 200) for i in range(count)]
    plot_accuracies([f"run {i}" for i in range(count)], ["a"] * count, rows, tmp_path / "a.png")
    height, width, _ = pixels_of(tmp_path / "a.png").shape
    assert 700 < width < 1800
    assert 200 < height < 4000
    assert shows_color(tmp_path / "a.png", BLUE)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 5, "time_s": 1.0, "train_loss": 2.0}],
        [{"step": 5, "time_s": 1.0, "train_loss": float("nan"), "train_accuracy": None, "val_loss": ""}],
        [{"step": s, "time_s": s / 9, "train_loss": 1 / s, "train_accuracy": 1 - 1 / s} for s in range(1, 900)],
    ],
)
@pytest.mark.parametrize("count", [1, 40])
def test_curves_of_any_length_and_number_are_drawn(rows: list[dict[str, Any]], count: int, tmp_path: Path) -> None:
    plot_overlaid_curves([f"run number {i}" for i in range(count)], [rows] * count, tmp_path / "c.png")
    height, width, _ = pixels_of(tmp_path / "c.png").shape
    assert width == 1440
    assert 1000 < height < 1600


def test_each_run_and_its_validation_has_its_color(tmp_path: Path) -> None:
    def curve(offset: float) -> list[dict[str, float]]:
        return [{"step": s, "time_s": s, "train_loss": s + offset} for s in range(5)]

    path = tmp_path / "curves.png"
    plot_overlaid_curves(["a"], [curve(0)], path)
    assert [shows_color(path, color) for color in (BLUE, ORANGE)] == [True, False]
    plot_overlaid_curves(["a", "b", "c"], [curve(0), curve(1), [{"step": 1, "time_s": 1, "val_loss": 2.0}]], path)
    assert all(shows_color(path, color) for color in (BLUE, ORANGE, GREEN))


@pytest.mark.parametrize(("classes", "runs"), [(1, 2), (10, 2), (10, 7), (100, 3)])
def test_differences_of_any_number_of_classes_are_drawn(classes: int, runs: int, tmp_path: Path) -> None:
    names = [f"run {i}" for i in range(runs)]
    rows = [class_row(f"class {c}", run, (c + 1) / 300) for c in range(classes) for run in names[1:]]
    plot_class_differences(names, names, rows, tmp_path / "d.png")
    height, width, _ = pixels_of(tmp_path / "d.png").shape
    assert 700 < width < 1200
    assert 250 < height < 4000
    assert shows_color(tmp_path / "d.png", ORANGE)


def test_run_names_of_any_kind_are_drawn(tmp_path: Path) -> None:
    names = STRANGE_NAMES
    plot_accuracies(names, names, [run_row()] * len(names), tmp_path / "a.png")
    plot_overlaid_curves(names, [[{"step": 1, "time_s": 1, "train_loss": 1}]] * len(names), tmp_path / "b.png")
    plot_class_differences(names, names, [class_row(name, names[1], 0.1) for name in names], tmp_path / "c.png")
    assert len(list(tmp_path.iterdir())) == 3
