"""Charts of sweeps: which are drawn, and that any rows can be drawn. How they look was judged by eye."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.sweep_rows import sweep_row, sweeps
from tenfold.core.errors import StorageError
from tenfold.report.outcomes import Study
from tenfold.report.plots.axes import accuracy_limits, suits_logarithm
from tenfold.report.plots.canvas import GREEN, WARM
from tenfold.report.plots.sweep_charts import draw_sweep

WIDTHS = [
    sweep_row({"model.width": width}, accuracy, parameters=1000 * width, training_seconds=60.0 + width)
    for width, accuracy in ((30, 0.705), (50, 0.711), (70, 0.69), (90, 0.712))
]


def names_of(paths: list[Path]) -> list[str]:
    assert all(path.is_file() for path in paths)
    return [path.name for path in paths]


def shows(path: Path, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    with Image.open(path) as image:
        return bool((np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).sum(2) < 12).any())


def test_a_width_study_is_drawn_against_width_parameters_and_seconds(tmp_path):
    drawn = draw_sweep(WIDTHS, ["model.width"], tmp_path / "new" / "plots")
    assert names_of(drawn) == ["model.width.png", "parameters.png", "seconds.png"]


def test_costs_in_which_no_two_settings_differ_are_not_drawn(tmp_path):
    rows = [sweep_row({"optim.lr": lr}) for lr in (0.1, 0.2)]
    assert names_of(draw_sweep(rows, ["optim.lr"], tmp_path)) == ["optim.lr.png"]


def test_two_numeric_keys_have_a_chart_together(tmp_path):
    rows = [sweep_row({"a.x": x, "a.name": n, "b.y": y}) for x in (1, 2) for n in "pq" for y in (0.1, 0.2)]
    drawn = draw_sweep(rows, ["a.x", "a.name", "b.y"], tmp_path)
    assert names_of(drawn) == ["a.x.png", "a.name.png", "b.y.png", "a.x-b.y.png"]


def test_a_search_has_a_history_in_which_pruned_trials_are_seen(tmp_path):
    pruned = sweep_row({"lr": 0.3}, status="pruned", val_accuracy=0.2)
    rows = [sweep_row({"lr": lr}, val_accuracy=lr) for lr in (0.1, 0.2)]
    assert names_of(draw_sweep(rows, ["lr"], tmp_path / "a", "search")) == ["lr.png", "history.png"]
    draw_sweep([*rows, pruned], ["lr"], tmp_path / "b", "search")
    for name in ("lr.png", "history.png"):
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()


def test_seeds_have_a_chart_of_their_own(tmp_path):
    rows = [sweep_row({}, 0.9 + seed / 1000, seed=seed) for seed in range(3)]
    assert names_of(draw_sweep(rows, [], tmp_path, "seeds"))[0] == "seeds.png"


@pytest.mark.parametrize("values", [(30, 50), ("sgd", "muon")])
def test_reported_accuracies_are_drawn_beside_ours(tmp_path, values):
    rows = [sweep_row({"k": value}) for value in values]
    draw_sweep(rows, ["k"], tmp_path / "a")
    draw_sweep(rows, ["k"], tmp_path / "b", reference={values[0]: 0.68, "unknown": 0.1})
    assert (tmp_path / "a" / "k.png").read_bytes() != (tmp_path / "b" / "k.png").read_bytes()


def test_another_key_with_few_values_is_told_apart_by_colour(tmp_path):
    rows = [sweep_row({"w": w, "lr": lr}) for w in (1, 2) for lr in (0.1, 0.2, 0.3)]
    draw_sweep(rows, ["w", "lr"], tmp_path)
    assert shows(tmp_path / "w.png", WARM)
    assert shows(tmp_path / "w.png", GREEN)
    draw_sweep(rows[:1], ["w", "lr"], tmp_path / "alone")
    assert not shows(tmp_path / "alone" / "w.png", GREEN)


def test_the_same_rows_give_the_same_files(tmp_path):
    for folder in ("a", "b"):
        draw_sweep(WIDTHS, ["model.width"], tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        draw_sweep(WIDTHS, ["model.width"], tmp_path / "file" / "plots")


def test_validation_decides_only_where_every_finished_trial_has_it():
    both = [sweep_row({"k": 1}, 0.5, val_accuracy=0.9), sweep_row({"k": 2}, 0.6, val_accuracy=0.8)]
    assert Study(both, ["k"]).measure == "validation accuracy"
    assert Study(both, ["k"]).best.settings == {"k": 1}
    mixed = [both[0], sweep_row({"k": 2}, 0.6), sweep_row({"k": 3}, status="failed")]
    assert Study(mixed, ["k"]).measure == "test accuracy"
    assert Study(mixed, ["k"]).best.settings == {"k": 2}


def test_seeds_of_one_setting_are_gathered_and_trials_without_a_result_only_counted():
    rows = [sweep_row({"k": k}, a, seed=s) for k, s, a in ((1, 0, 0.5), (2, 0, 0.6), (1, 1, 0.7), (True, 0, 0.1))]
    study = Study([*rows, sweep_row({"k": 3}, status="failed"), sweep_row({"k": 4}, status="waiting")], ["k"])
    assert [(outcome.settings["k"], outcome.accuracies) for outcome in study.outcomes] == [
        (1, (0.5, 0.7)),
        (2, (0.6,)),
        (True, (0.1,)),
    ]
    assert study.trials == "4 of 6 trials finished, 1 failed, 1 waiting"


def test_keys_are_called_by_their_last_word_unless_that_says_nothing():
    study = Study([], ["model.width", "optim.name", "data.size", "model.size"])
    assert list(study.labels.values()) == ["width", "optim.name", "data.size", "model.size"]
    assert study.setting({"model.width": 90, "data.size": None}).startswith("width=90, optim.name=none")


@given(st.lists(st.floats(0, 1), min_size=1))
def test_accuracy_axes_show_every_point_and_never_magnify_noise(shares):
    low, high = accuracy_limits(shares)
    assert low <= min(shares) <= max(shares) <= high
    assert high - low >= 0.0199
    assert low >= -0.01
    assert high <= 1.01


def test_logarithmic_axes_are_for_positive_numbers_that_grow_by_factors():
    assert not suits_logarithm([0, 1, 1000])
    assert not suits_logarithm([-1, 0.1], asked_for=True)
    assert not suits_logarithm([1, 50])
    assert suits_logarithm([1, 50], asked_for=True)
    assert not suits_logarithm([5], asked_for=True)


@given(sweep=sweeps(), kind=st.sampled_from(["grid", "search", "seeds"]), reference=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_can_be_drawn(tmp_path, sweep, kind, reference):
    keys, rows = sweep
    told = {0.5: 0.5, "sgd": 0.6, None: 0.7} if reference else None
    drawn = draw_sweep(rows, keys, tmp_path, kind, reference=told)
    assert drawn
    for path in drawn:
        with Image.open(path) as image:
            assert 300 < image.width < 4000
            assert 200 < image.height < 4000
