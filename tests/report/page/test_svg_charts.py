"""Charts are compact, work in light and dark themes, and do not clash with one another on a page."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sweep_rows import sweep_row
from tenfold.evaluate.calibration import reject_curve, reliability
from tenfold.report.page.curves import curve_charts
from tenfold.report.page.reliability import reject_chart, reliability_chart
from tenfold.report.page.spread_charts import spread_chart
from tenfold.report.page.svg_charts import Chart, chart_axes, finished_chart, hover_series, thinned
from tenfold.report.study import Study

ROWS = [{"step": s, "time_s": s / 9, "lr": 0.1 / s, "train_loss": 3 / s, "val_loss": 4 / s} for s in range(1, 40)]


def random_reliability_chart() -> Chart:
    generator = np.random.default_rng(0)
    confidence = generator.random(900)
    return reliability_chart(reliability(confidence, generator.random(900) < confidence))


CHARTS: dict[str, Callable[[], Chart]] = {
    "curve": lambda: curve_charts(ROWS)["steps"][0],
    "reliability": random_reliability_chart,
    "reject": lambda: reject_chart(reject_curve([0.9, 0.8, 0.7], [True, True, False])),
    "spread": lambda: spread_chart(Study([sweep_row({}, accuracy) for accuracy in (0.7, 0.8)], ())),
}


@pytest.fixture(params=CHARTS)
def make_chart(request: pytest.FixtureRequest) -> Callable[[], Chart]:
    return CHARTS[request.param]


def test_every_color_is_a_variable_of_the_page(make_chart: Callable[[], Chart]) -> None:
    svg = make_chart().svg
    assert re.findall(r"var\(--(\w+)\)", svg)
    assert "#" not in svg
    assert "rgb" not in svg


def test_a_chart_has_no_ids_that_could_clash(make_chart: Callable[[], Chart]) -> None:
    root = ElementTree.fromstring(make_chart().svg)
    names = {name for element in root.iter() for name in element.attrib}
    assert names.isdisjoint({"id", "clip-path", "style", "class"})
    assert all(element.tag not in ("use", "defs", "metadata", "style") for element in root.iter())


def test_the_same_data_give_the_same_bytes(make_chart: Callable[[], Chart]) -> None:
    assert make_chart() == make_chart()


def test_points_lie_within_the_chart(make_chart: Callable[[], Chart]) -> None:
    chart = make_chart()
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', chart.svg)[0])
    points = [point for series in chart.series for point in series.points]
    assert points
    assert all(0 <= x <= width and 0 <= y <= height for x, y, _ in points)


def test_a_description_is_escaped() -> None:
    with chart_axes() as axes:
        chart = finished_chart(axes, "t", '"><script>', [])
    assert ElementTree.fromstring(chart.svg).get("aria-label") == '"><script>'
    assert "<script>" not in chart.svg


def test_names_are_escaped() -> None:
    with chart_axes() as axes:
        axes.set_xlabel("<b>&猫")
        svg = finished_chart(axes, "t", "", []).svg
    assert "<b>" not in svg
    assert "<b>&猫" in [text.text for text in ElementTree.fromstring(svg).iter("text")]


def test_markers_are_circles_at_the_tooltip_points() -> None:
    with chart_axes() as axes:
        axes.plot([1, 2, 3], [5, 4, 9], marker="o", markersize=5)
        found = hover_series(axes, "a", "blue", [1, 2, 3], [5, 4, 9], ["", "", ""])
        svg = finished_chart(axes, "t", "", [found]).svg
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in ElementTree.fromstring(svg).iter("circle")]
    assert len(circles) == 3
    assert np.allclose(circles, [point[:2] for point in found.points], atol=0.11)
    assert {circle.attrib["r"] for circle in ElementTree.fromstring(svg).iter("circle")} == {"2.5"}


@given(st.lists(st.floats(-1e9, 1e9), max_size=300), st.integers(4, 60))
def test_a_thinned_line_keeps_its_ends_and_extremes(values: list[float], max_points: int) -> None:
    kept = thinned(values, max_points)
    assert len(kept) <= max_points
    assert kept == sorted(set(kept))
    if values:
        assert (kept[0], kept[-1]) == (0, len(values) - 1)
        assert {min(values), max(values)} <= {values[index] for index in kept}
