"""The right charts of a sweep are drawn, and any rows can be drawn. Their appearance was checked by eye."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.rendered import pixels_of, shows_color
from harness.sweep_rows import sweep_row, sweeps
from tenfold.core.errors import StorageError
from tenfold.report.plots import sweep_charts, sweep_keys
from tenfold.report.plots.axes import accuracy_limits, add_legend, needs_log_scale
from tenfold.report.plots.canvas import GREEN, ORANGE
from tenfold.report.plots.sweep_charts import plot_sweep
from tenfold.report.study import Study

WIDTHS = [
    sweep_row({"model.width": width}, accuracy, parameters=1000 * width, training_seconds=60.0 + width)
    for width, accuracy in ((30, 0.705), (50, 0.711), (70, 0.69), (90, 0.712))
]


def file_names(paths: list[Path]) -> list[str]:
    assert all(path.is_file() for path in paths)
    return [path.name for path in paths]


def test_a_sweep_of_widths_is_drawn_against_width_and_cost(tmp_path):
    drawn = plot_sweep(Study(WIDTHS, ["model.width"]), tmp_path / "new" / "plots")
    assert file_names(drawn) == ["model.width.png", "parameters.png", "seconds.png"]


def test_a_constant_cost_is_not_drawn(tmp_path):
    rows = [sweep_row({"optim.lr": lr}) for lr in (0.1, 0.2)]
    assert file_names(plot_sweep(Study(rows, ["optim.lr"]), tmp_path)) == ["optim.lr.png"]


def test_two_numeric_keys_have_a_common_chart(tmp_path):
    rows = [sweep_row({"a.x": x, "a.name": n, "b.y": y}) for x in (1, 2) for n in "pq" for y in (0.1, 0.2)]
    drawn = plot_sweep(Study(rows, ["a.x", "a.name", "b.y"]), tmp_path)
    assert file_names(drawn) == ["a.x.png", "a.name.png", "b.y.png", "a.x-b.y.png"]


def test_a_search_has_a_history_that_shows_pruned_trials(tmp_path):
    pruned = sweep_row({"lr": 0.3}, status="pruned", val_accuracy=0.2)
    rows = [sweep_row({"lr": lr}, val_accuracy=lr) for lr in (0.1, 0.2)]
    assert file_names(plot_sweep(Study(rows, ["lr"], "search"), tmp_path / "a")) == ["lr.png", "history.png"]
    plot_sweep(Study([*rows, pruned], ["lr"], "search"), tmp_path / "b")
    for name in ("lr.png", "history.png"):
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()


def test_seeds_have_their_own_chart(tmp_path):
    rows = [sweep_row({}, 0.9 + seed / 1000, seed=seed) for seed in range(3)]
    assert file_names(plot_sweep(Study(rows, [], "seeds"), tmp_path))[0] == "seeds.png"


@pytest.mark.parametrize("values", [(30, 50), ("sgd", "muon")])
def test_published_accuracies_are_drawn(tmp_path, values):
    rows = [sweep_row({"k": value}) for value in values]
    plot_sweep(Study(rows, ["k"]), tmp_path / "a")
    plot_sweep(Study(rows, ["k"]), tmp_path / "b", reference={values[0]: 0.68, "unknown": 0.1})
    assert (tmp_path / "a" / "k.png").read_bytes() != (tmp_path / "b" / "k.png").read_bytes()


def test_a_second_key_with_few_values_is_shown_by_color(tmp_path):
    rows = [sweep_row({"w": w, "lr": lr}) for w in (1, 2) for lr in (0.1, 0.2, 0.3)]
    plot_sweep(Study(rows, ["w", "lr"]), tmp_path)
    assert shows_color(tmp_path / "w.png", ORANGE)
    assert shows_color(tmp_path / "w.png", GREEN)
    plot_sweep(Study(rows[:1], ["w", "lr"]), tmp_path / "alone")
    assert not shows_color(tmp_path / "alone" / "w.png", GREEN)


def test_the_same_rows_give_the_same_files(tmp_path):
    for folder in ("a", "b"):
        plot_sweep(Study(WIDTHS, ["model.width"]), tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        plot_sweep(Study(WIDTHS, ["model.width"]), tmp_path / "file" / "plots")


def test_validation_ranks_only_if_every_finished_trial_has_it():
    both = [sweep_row({"k": 1}, 0.5, val_accuracy=0.9), sweep_row({"k": 2}, 0.6, val_accuracy=0.8)]
    assert Study(both, ["k"]).metric == "validation accuracy"
    assert Study(both, ["k"]).best.settings == {"k": 1}
    mixed = [both[0], sweep_row({"k": 2}, 0.6), sweep_row({"k": 3}, status="failed")]
    assert Study(mixed, ["k"]).metric == "test accuracy"
    assert Study(mixed, ["k"]).best.settings == {"k": 2}


def test_seeds_are_grouped_by_setting_and_other_trials_are_counted():
    rows = [sweep_row({"k": k}, a, seed=s) for k, s, a in ((1, 0, 0.5), (2, 0, 0.6), (1, 1, 0.7), (True, 0, 0.1))]
    study = Study([*rows, sweep_row({"k": 3}, status="failed"), sweep_row({"k": 4}, status="waiting")], ["k"])
    assert [(result.settings["k"], result.accuracies) for result in study.results] == [
        (1, (0.5, 0.7)),
        (2, (0.6,)),
        (True, (0.1,)),
    ]
    assert study.trials_text == "4 of 6 trials finished, 1 failed, 1 waiting"


def test_labels_are_the_last_part_of_a_key_unless_ambiguous():
    study = Study([], ["model.width", "optim.name", "data.size", "model.size"])
    assert list(study.labels.values()) == ["width", "optim.name", "data.size", "model.size"]
    assert study.setting_text({"model.width": 90, "data.size": None}).startswith("width=90, optim.name=none")


@given(st.lists(st.floats(0, 1), min_size=1))
def test_accuracy_limits_show_every_value_and_at_least_two_points(accuracies):
    low, high = accuracy_limits(accuracies)
    assert low <= min(accuracies) <= max(accuracies) <= high
    assert high - low >= 0.0199
    assert low >= -0.01
    assert high <= 1.01


def test_log_scales_are_for_positive_numbers_over_decades():
    assert not needs_log_scale([0, 1, 1000])
    assert not needs_log_scale([-1, 0.1], requested=True)
    assert not needs_log_scale([1, 50])
    assert needs_log_scale([1, 50], requested=True)
    assert not needs_log_scale([5], requested=True)


@given(sweep=sweeps(), kind=st.sampled_from(["grid", "search", "seeds"]), reference=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_can_be_drawn(tmp_path, sweep, kind, reference):
    keys, rows = sweep
    published = {0.5: 0.5, "sgd": 0.6, None: 0.7} if reference else None
    drawn = plot_sweep(Study(rows, keys, kind), tmp_path, reference=published)
    assert drawn
    for path in drawn:
        height, width, _ = pixels_of(path).shape
        assert 300 < width < 4000
        assert 200 < height < 4000


def test_the_title_of_a_legend_fits_beside_the_axes(tmp_path, monkeypatch):
    widths = []

    def measured(axes, handles, labels, title=None):
        add_legend(axes, handles, labels, title)
        figure = axes.figure
        box = axes.get_legend().get_window_extent(figure.canvas.get_renderer())
        widths.append(box.x1 / figure.bbox.width)

    monkeypatch.setattr(sweep_keys, "add_legend", measured)
    rows = [sweep_row({"optim.lr": lr, "train.batch_size": size}) for lr in (0.1, 0.3) for size in (8, 16)]
    plot_sweep(Study(rows, ["optim.lr", "train.batch_size"]), tmp_path)
    assert widths
    assert max(widths) <= 1


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [((0.001, 0.01, 0.1), True), ((0.1, 0.3, 1), True), ((0.1, 0.2, 0.3), False), ((0.01, 0.1), False)],
)
def test_a_grid_over_decades_has_a_logarithmic_axis(tmp_path, monkeypatch, values, logarithmic):
    scales = []
    monkeypatch.setattr(sweep_charts, "plot_numeric_key", lambda *arguments: scales.append(arguments[-1]))
    plot_sweep(Study([sweep_row({"lr": value}) for value in values], ["lr"]), tmp_path)
    assert scales == [logarithmic]
