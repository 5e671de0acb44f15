"""Training curves: values, tooltips and descriptions for screen readers."""

import math
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.report.page.curves import curve_charts, overlay_charts
from tenfold.report.page.svg_charts import MAX_POINTS, Chart

ROWS = [
    {"step": 10, "time_s": 1.5, "lr": 0.4, "train_loss": 2.0, "train_accuracy": 0.3, "val_loss": None},
    {"step": 20, "time_s": 3.0, "lr": 0.2, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.25},
    {"step": 20, "time_s": 3.0, "test_accuracy": 0.625},
]


def chart_titled(charts: tuple[Chart, ...], title: str) -> Chart:
    (found,) = [chart for chart in charts if chart.title == title]
    return found


def test_tooltips_show_every_value_with_its_step_or_time() -> None:
    charts = curve_charts(ROWS)
    texts = {
        unit: {series.name: [text for *_, text in series.points] for chart in charts[unit] for series in chart.series}
        for unit in charts
    }
    loss = chart_titled(charts["steps"], "Loss")
    assert [[text for *_, text in series.points] for series in loss.series] == [
        ["2.000 at step 10", "1.000 at step 20"],
        ["1.250 at step 20"],
    ]
    assert texts["steps"]["test"] == ["62.5 % at step 20"]
    assert texts["seconds"]["learning rate"] == ["0.4 at 1.5 s", "0.2 at 3.0 s"]


def test_the_objective_is_a_third_line_of_the_loss_only() -> None:
    charts = curve_charts([{**row, "train_objective": 1.5 * row.get("train_loss", 1.0)} for row in ROWS[:2]])["steps"]
    assert [series.name for series in chart_titled(charts, "Loss").series] == ["train", "validation", "objective"]
    assert [series.name for series in chart_titled(charts, "Accuracy").series] == ["train"]


def test_steps_and_seconds_show_the_same_metrics() -> None:
    charts = curve_charts(ROWS)
    assert list(charts) == ["steps", "seconds"]
    names = [[(chart.title, [s.name for s in chart.series]) for chart in charts[unit]] for unit in charts]
    assert names[0] == names[1]
    assert [title for title, _ in names[0]] == ["Loss", "Accuracy", "Learning rate"]


def test_a_metric_without_values_has_no_chart() -> None:
    assert curve_charts([]) == {"steps": (), "seconds": ()}
    (chart,) = curve_charts([{"step": 1, "time_s": 1.0, "lr": 0.1, "train_loss": math.nan}])["steps"]
    assert chart.title == "Learning rate"


def test_the_description_summarizes_each_curve() -> None:
    description = chart_titled(curve_charts(ROWS)["steps"], "Loss").description
    assert description == (
        "Loss until step 20: train from 2.000 to 1.000, lowest 1.000, highest 2.000; validation 1.250."
    )


def test_thinning_keeps_a_single_peak() -> None:
    rows = [{"step": s, "time_s": s / 10, "train_loss": 1.0 + (s == 7777)} for s in range(20_000)]
    (chart,) = curve_charts(rows)["steps"]
    (series,) = chart.series
    assert len(series.points) <= MAX_POINTS
    assert "2.000 at step 7,777" in [text for *_, text in series.points]
    assert series.points[-1][2] == "1.000 at step 19,999"


def test_a_loss_over_many_decades_has_a_logarithmic_axis() -> None:
    rows = [{"step": s, "time_s": s, "train_loss": 10.0**-s} for s in range(6)]
    (chart,) = curve_charts(rows)["steps"]
    heights = np.diff([y for _, y, _ in chart.series[0].points])
    assert chart.title == "Loss, logarithmic"
    assert np.allclose(heights, heights[0], atol=0.25)


def test_long_training_is_labeled_in_hours() -> None:
    rows = [{"step": s, "time_s": s * 3600.0, "lr": 0.1} for s in range(8)]
    (chart,) = curve_charts(rows)["seconds"]
    assert ">hours<" in chart.svg
    assert chart.series[0].points[-1][2] == "0.1 at 7 h 0 min"


def test_overlaid_curves_show_the_best_run_on_top() -> None:
    runs = {name: [{"step": s, "time_s": s, "train_accuracy": 0.1 * s} for s in (1, 2)] for name in ("<a>", "b", "c")}
    (chart,) = overlay_charts(runs, best="<a>")["steps"]
    assert [(series.name, series.color) for series in chart.series] == [("b", "blue"), ("c", "blue"), ("<a>", "orange")]
    assert not chart.legend
    assert "3 runs with final values from 20.0 % to 20.0 %" in chart.description


VALUES = st.one_of(st.none(), st.just(""), st.floats(width=32), st.floats(0, 1), st.integers(-5, 10**6))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"step": st.integers(0, 10**6), "time_s": st.floats(0, 1e6)},
            optional=dict.fromkeys(("lr", "train_loss", "train_accuracy", "val_accuracy", "test_loss"), VALUES),
        ),
        max_size=8,
    )
)
@settings(max_examples=15, deadline=None)
def test_any_metrics_can_be_drawn(rows: list[dict[str, float]]) -> None:
    for charts in curve_charts(rows).values():
        for chart in charts:
            assert re.fullmatch(r"<svg.*</svg>", chart.svg, re.DOTALL)
            assert "nan" not in chart.svg
