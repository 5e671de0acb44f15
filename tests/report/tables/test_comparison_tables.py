"""Tables and charts of a comparison: whole, of any size, for any name. How they look was judged by eye."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tenfold.report.plots.canvas import BLUE, GREEN, WARM
from tenfold.report.plots.comparison_charts import (
    colours_of,
    plot_accuracies,
    plot_class_differences,
    plot_overlaid_curves,
)
from tenfold.report.plots.image_grids import Section, plot_sections
from tenfold.report.tables.comparison_tables import (
    classes_table,
    differences_table,
    distinct,
    group_pairs_table,
    groups_table,
    noise_warning,
    pairs_table,
    runs_table,
    verdict,
    write_rows,
)

STRANGE = ("$x_1", "a\nb", "\udcff\x1b[2J", "猫", "[bold]", "long " * 40)


def text(table) -> str:
    console = Console(width=200, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def words(table) -> list[str]:
    """Returns the words of the last line that is not empty."""
    return [line for line in text(table).splitlines() if line.strip()][-1].split()


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _shows(path: Path, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(_pixels(path).astype(int) - wanted).sum(2) < 12).any())


def pair(**changes):
    return {
        "first": "a", "second": "b", "difference": 0.0125, "interval": (-0.004, 0.029), "only_first": 10,
        "only_second": 1020, "total": 4000, "p": 0.3125, "p_holm": 0.625, "within_noise": True, **changes,
    }  # fmt: skip


def run_row(name="a", accuracy=0.5):
    return {
        "run": name, "test_accuracy": accuracy, "test_low": accuracy - 0.1, "test_high": accuracy + 0.1,
        "val_accuracy": None, "parameters": 295096, "steps": 20, "training_seconds": 8.25,
    }  # fmt: skip


def class_row(name, run, difference):
    return {
        "run": run, "name": name, "pictures": 400, "first_accuracy": 0.5, "accuracy": 0.5 + difference,
        "difference": difference, "interval": (difference - 0.03, difference + 0.03),
    }  # fmt: skip


def test_a_pair_is_told_with_difference_interval_counts_and_verdict():
    found = " ".join(words(pairs_table([pair()])))
    assert found == "b a +1.25 −0.40 to +2.90 1,020 10 0.312 within noise"


def test_several_pairs_show_the_corrected_p_too():
    rows = [pair(), pair(p=1e-9, p_holm=2e-9, within_noise=False)]
    assert "p (Holm)" in text(pairs_table(rows))
    assert words(pairs_table(rows))[-5:] == ["<", "0.001", "<", "0.001", "better"]


@pytest.mark.parametrize(
    ("difference", "noise", "word"),
    [(1, False, "better"), (-1, False, "worse"), (1, True, "within noise")],
)
def test_the_verdict_follows_the_test(difference, noise, word):
    assert verdict({"difference": difference, "within_noise": noise}) == word


def test_noise_is_said_in_words():
    assert str(noise_warning([pair()])).startswith("within noise: p = 0.312; 4,000 test pictures do not tell which")
    assert str(noise_warning([pair(), pair(within_noise=False)])).startswith("within noise: 1 of 2 pairs; do not rank")
    assert noise_warning([pair(within_noise=False)]) is None


def test_validation_is_a_column_only_where_there_is_one():
    assert "validation" not in text(runs_table([run_row()]))
    assert words(runs_table([run_row() | {"val_accuracy": 0.625}])) == (
        ["a", "50.0", "%", "40.0–60.0", "%", "62.5", "%", "295,096", "20", "8.2", "s"]
    )


def test_recipes_stand_in_columns_and_many_of_them_in_lines():
    few = text(differences_table(["a", "b"], {"optim.nesterov": (True, False), "model.hidden": ([4, 8], None)}))
    assert ["optim.nesterov", "true", "false"] in [line.split() for line in few.splitlines()]
    assert ["model.hidden", "[4,", "8]", "–"] in [line.split() for line in few.splitlines()]
    many = text(differences_table([str(i) for i in range(12)], {"train.seed": tuple(range(100, 112))}))
    assert ["11", "111"] in [line.split() for line in many.splitlines()]


def test_groups_show_mean_and_deviation():
    rows = [{"name": "lr=0.1", "seeds": (0, 1, 2), "mean": 0.9412, "deviation": 0.0021}]
    assert words(groups_table(rows)) == ["lr=0.1", "3", "94.12", "±", "0.21", "%"]
    rows = [{"first": "a", "second": "b", "difference": -0.01, "interval": None, "within_noise": True}]
    assert words(group_pairs_table(rows)) == ["b", "a", "−1.00", "–", "within", "noise"]


def test_classes_show_points_of_each_run_and_an_interval_for_one():
    one = classes_table(["a", "b"], [class_row("cat", "b", -0.25)])
    assert words(one) == ["cat", "400", "50.0", "%", "−25.00", "−28.00", "to", "−22.00"]
    two = classes_table(["a", "b", "c"], [class_row("cat", "c", -0.25), class_row("cat", "b", 0.125)])
    assert words(two) == ["cat", "400", "50.0", "%", "+12.50", "−25.00"]


def test_names_on_the_screen_are_no_markup():
    assert "[bold]" in text(runs_table([run_row("[bold]")]))
    assert "\x1b" not in text(runs_table([run_row("\x1b[2J")]))


def test_shortened_names_stay_different():
    names = [f"a-very-long-name-{i}-with-a-long-end-too" for i in range(3)]
    assert len(set(distinct(names, 12))) == 3
    assert distinct(["a", "a"], 12) == ["a", "a"]
    assert distinct([], 12) == []


def test_csv_has_low_and_high_for_an_interval(tmp_path):
    rows = [{"a": 1, "interval": (0.1, 0.2), "b": True}, {"a": "x,y", "interval": None, "b": [1, "z"]}]
    write_rows(tmp_path / "x.csv", ["b", "interval", "a"], rows)
    assert list(csv.reader((tmp_path / "x.csv").read_text("utf-8").splitlines())) == [
        ["b", "low", "high", "a"],
        ["true", "0.1", "0.2", "1"],
        ["[1, z]", "", "", "x,y"],
    ]


def test_csv_without_rows_has_a_header(tmp_path):
    write_rows(tmp_path / "x.csv", ["key", "interval"], [])
    assert (tmp_path / "x.csv").read_text("utf-8") == "key,low,high\n"


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_every_label_has_a_colour_of_its_own(count):
    labels = [str(i) for i in range(count)]
    colours = colours_of([*labels, *labels])
    assert list(colours) == labels
    assert len(set(colours.values())) == count


@pytest.mark.parametrize("count", [1, 2, 8, 60])
def test_accuracies_of_any_number_are_drawn(count, tmp_path):
    rows = [run_row(accuracy=0.5 + i / 200) for i in range(count)]
    plot_accuracies([f"run {i}" for i in range(count)], ["a"] * count, rows, tmp_path / "a.png")
    height, width, _ = _pixels(tmp_path / "a.png").shape
    assert 700 < width < 1800
    assert 200 < height < 4000
    assert _shows(tmp_path / "a.png", BLUE)


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
def test_curves_of_any_length_and_number_are_drawn(rows, count, tmp_path):
    plot_overlaid_curves([f"run number {i}" for i in range(count)], [rows] * count, tmp_path / "c.png")
    height, width, _ = _pixels(tmp_path / "c.png").shape
    assert width == 1440
    assert 1000 < height < 1600


def test_each_run_and_its_validation_is_seen_in_its_colour(tmp_path):
    def curve(offset: float) -> list[dict[str, float]]:
        return [{"step": s, "time_s": s, "train_loss": s + offset} for s in range(5)]

    one = tmp_path / "one.png"
    plot_overlaid_curves(["a"], [curve(0)], one)
    assert _shows(one, BLUE)
    assert not _shows(one, WARM)
    plot_overlaid_curves(["a", "b", "c"], [curve(0), curve(1), [{"step": 1, "time_s": 1, "val_loss": 2.0}]], one)
    assert _shows(one, BLUE)
    assert _shows(one, WARM)
    assert _shows(one, GREEN)


@pytest.mark.parametrize(("classes", "runs"), [(1, 2), (10, 2), (10, 7), (100, 3)])
def test_class_differences_of_any_number_are_drawn(classes, runs, tmp_path):
    names = [f"run {i}" for i in range(runs)]
    rows = [class_row(f"class {c}", run, (c + 1) / 300) for c in range(classes) for run in names[1:]]
    plot_class_differences(names, names, rows, tmp_path / "d.png")
    height, width, _ = _pixels(tmp_path / "d.png").shape
    assert 700 < width < 1200
    assert 250 < height < 4000
    assert _shows(tmp_path / "d.png", WARM)


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (300, 200), (20, 60)])
@pytest.mark.parametrize("counts", [(0, 1), (32, 0), (9, 32)])
def test_sections_of_pictures_of_any_shape_are_drawn(shape, counts, tmp_path):
    colour = np.array([10, 200, 30], np.uint8)
    sections = [
        Section(f"part {count}", np.broadcast_to(colour, (count, *shape, 3)), ["cat\ndog"] * count) for count in counts
    ]
    plot_sections("heading", sections, tmp_path / "s.png")
    pixels = _pixels(tmp_path / "s.png")
    assert 1400 < pixels.shape[1] < 1500
    assert _shows(tmp_path / "s.png", WARM)
    covered = (np.abs(pixels.astype(int) - colour).sum(2) < 12).sum()
    expected = sum(counts) * (1.1 * 150) ** 2 * shape[0] / shape[1]
    assert covered == pytest.approx(expected, rel=0.05)


def test_names_of_any_kind_are_drawn_as_they_are(tmp_path):
    rows = [run_row(name) for name in STRANGE]
    plot_accuracies(STRANGE, STRANGE, rows, tmp_path / "a.png")
    plot_overlaid_curves(STRANGE, [[{"step": 1, "time_s": 1, "train_loss": 1}]] * 6, tmp_path / "b.png")
    plot_class_differences(STRANGE, STRANGE, [class_row(name, STRANGE[1], 0.1) for name in STRANGE], tmp_path / "c.png")
    images = np.zeros((6, 8, 8, 3), np.uint8)
    plot_sections(STRANGE[0], [Section(STRANGE[1], images, STRANGE)], tmp_path / "d.png")
    assert len(list(tmp_path.iterdir())) == 4
