"""Charts of a run say what its tables say, in the drawing, to the pointer and to a screen reader."""

import math
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.evaluate.calibration import reject_curve, reliability
from tenfold.report.page.curves import overlay_charts
from tenfold.report.page.drawing import MOST_POINTS
from tenfold.report.page.reliability import Chart, curve_charts, reject_chart, reliability_chart

ROWS = [
    {"step": 10, "time_s": 1.5, "lr": 0.4, "train_loss": 2.0, "train_accuracy": 0.3, "val_loss": None},
    {"step": 20, "time_s": 3.0, "lr": 0.2, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.25},
    {"step": 20, "time_s": 3.0, "test_accuracy": 0.625},
]


def titled(charts: tuple[Chart, ...], title: str) -> Chart:
    (found,) = [chart for chart in charts if chart.title == title]
    return found


def test_every_measured_figure_is_found_with_its_step_and_its_second() -> None:
    charts = curve_charts(ROWS)
    texts = {
        clock: {series.name: [text for *_, text in series.points] for chart in charts[clock] for series in chart.series}
        for clock in charts
    }
    loss = titled(charts["steps"], "Loss")
    assert [[text for *_, text in series.points] for series in loss.series] == [
        ["2.000 at step 10", "1.000 at step 20"],
        ["1.250 at step 20"],
    ]
    assert texts["steps"]["test"] == ["62.5 % at step 20"]
    assert texts["seconds"]["learning rate"] == ["0.4 at 1.5 s", "0.2 at 3.0 s"]


def test_both_clocks_show_the_same_measures() -> None:
    charts = curve_charts(ROWS)
    assert list(charts) == ["steps", "seconds"]
    names = [[(chart.title, [s.name for s in chart.series]) for chart in charts[clock]] for clock in charts]
    assert names[0] == names[1]
    assert [title for title, _ in names[0]] == ["Loss", "Accuracy", "Learning rate"]


def test_what_was_not_measured_has_no_chart() -> None:
    assert curve_charts([]) == {"steps": (), "seconds": ()}
    (chart,) = curve_charts([{"step": 1, "time_s": 1.0, "lr": 0.1, "train_loss": math.nan}])["steps"]
    assert chart.title == "Learning rate"


def test_a_description_tells_where_each_curve_went() -> None:
    words = titled(curve_charts(ROWS)["steps"], "Loss").description
    assert words == ("Loss until step 20: train from 2.000 to 1.000, lowest 1.000, highest 2.000; validation 1.250.")


def test_a_long_run_keeps_the_one_peak_that_it_had() -> None:
    rows = [{"step": s, "time_s": s / 10, "train_loss": 1.0 + (s == 7777)} for s in range(20_000)]
    (chart,) = curve_charts(rows)["steps"]
    (series,) = chart.series
    assert len(series.points) <= MOST_POINTS
    assert "2.000 at step 7,777" in [text for *_, text in series.points]
    assert series.points[-1][2] == "1.000 at step 19,999"


def test_a_loss_over_many_decades_is_drawn_by_factors() -> None:
    rows = [{"step": s, "time_s": s, "train_loss": 10.0**-s} for s in range(6)]
    (chart,) = curve_charts(rows)["steps"]
    heights = np.diff([y for _, y, _ in chart.series[0].points])
    assert chart.title == "Loss, logarithmic"
    assert np.allclose(heights, heights[0], atol=0.25)


def test_hours_of_training_are_counted_in_hours() -> None:
    rows = [{"step": s, "time_s": s * 3600.0, "lr": 0.1} for s in range(8)]
    (chart,) = curve_charts(rows)["seconds"]
    assert ">hours<" in chart.svg
    assert chart.series[0].points[-1][2] == "0.1 at 7 h 0 min"


def test_curves_of_a_family_name_the_run_and_leave_the_best_on_top() -> None:
    runs = {name: [{"step": s, "time_s": s, "train_accuracy": 0.1 * s} for s in (1, 2)] for name in ("<a>", "b", "c")}
    (chart,) = overlay_charts(runs, best="<a>")["steps"]
    assert [(series.name, series.colour) for series in chart.series] == [("b", "blue"), ("c", "blue"), ("<a>", "warm")]
    assert not chart.legend
    assert "3 runs, which end between 20.0 % and 20.0 %" in chart.description


def test_bins_are_found_with_their_interval_and_their_pictures() -> None:
    probability, correct = np.array([0.9] * 8 + [0.3] * 2), np.array([True] * 6 + [False] * 4)
    bins = reliability(probability, correct)
    chart = reliability_chart(bins, calibrated=bins)
    assert [series.name for series in chart.series] == ["as trained", "calibrated"]
    low, high = bins[-1].interval
    said = f"90.0 % sure, 75.0 % right ({100 * low:.1f} – {100 * high:.1f} %), 8 pictures"
    assert chart.series[0].points[-1][2] == said
    assert "78.0 % sure on average, 60.0 % right, 10 pictures" in chart.description


def test_the_share_that_can_be_answered_with_two_percent_of_errors_is_marked() -> None:
    probability = np.linspace(0.999, 0.5, 100)
    curve = reject_curve(probability, np.arange(100) < 60)
    chart = reject_chart(curve)
    marked = chart.series[1]
    assert marked.name == "2 % wrong"
    answered = max(share for share, wrong in zip(curve.answered, curve.errors, strict=True) if wrong <= 0.02)
    assert f"{100 * answered:.1f} % answered, no more than 2.0 % wrong" in marked.points[0][2]
    near = min(chart.series[0].points, key=lambda point: abs(point[0] - marked.points[0][0]))
    assert abs(near[1] - marked.points[0][1]) < 1.0  # it lies on the curve


def test_a_network_that_errs_where_it_is_sure_has_no_mark() -> None:
    chart = reject_chart(reject_curve(np.array([0.9, 0.5]), np.array([False, True])))
    assert [series.name for series in chart.series] == ["wrong among answered"]
    assert "no threshold has 2.0 % wrong or less" in chart.description


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
def test_any_table_can_be_drawn(rows: list[dict[str, float]]) -> None:
    for charts in curve_charts(rows).values():
        for chart in charts:
            assert re.fullmatch(r"<svg.*</svg>", chart.svg, re.DOTALL)
            assert "nan" not in chart.svg
