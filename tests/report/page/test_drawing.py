"""Charts are small, fit light and dark paper, and do not clash with one another on a page."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sweep_rows import sweep_row
from tenfold.evaluate.calibration import reject_curve, reliability
from tenfold.report.outcomes import Study
from tenfold.report.page.drawing import drawing, finished, hover, thinned
from tenfold.report.page.family_charts import spread_chart
from tenfold.report.page.reliability import Chart, curve_charts, reject_chart, reliability_chart

STEPS = [{"step": s, "time_s": s / 9, "lr": 0.1 / s, "train_loss": 3 / s, "val_loss": 4 / s} for s in range(1, 40)]


def _reliability() -> Chart:
    generator = np.random.default_rng(0)
    probability = generator.random(900)
    return reliability_chart(reliability(probability, generator.random(900) < probability))


KINDS: dict[str, Callable[[], Chart]] = {
    "curve": lambda: curve_charts(STEPS)["steps"][0],
    "reliability": _reliability,
    "reject": lambda: reject_chart(reject_curve([0.9, 0.8, 0.7], [True, True, False])),
    "spread": lambda: spread_chart(Study([sweep_row({}, share) for share in (0.7, 0.8)], ())),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[], Chart]:
    return KINDS[request.param]


def test_every_colour_is_one_of_the_page(kind: Callable[[], Chart]) -> None:
    svg = kind().svg
    assert re.findall(r"var\(--(\w+)\)", svg)
    assert "#" not in svg
    assert "rgb" not in svg


def test_nothing_is_named_that_a_second_chart_could_name_too(kind: Callable[[], Chart]) -> None:
    root = ElementTree.fromstring(kind().svg)
    names = {name for element in root.iter() for name in element.attrib}
    assert names.isdisjoint({"id", "clip-path", "style", "class"})
    assert all(element.tag not in ("use", "defs", "metadata", "style") for element in root.iter())


def test_the_same_figures_give_the_same_bytes(kind: Callable[[], Chart]) -> None:
    assert kind() == kind()


def test_points_lie_within_the_drawing(kind: Callable[[], Chart]) -> None:
    chart = kind()
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', chart.svg)[0])
    points = [point for series in chart.series for point in series.points]
    assert points
    assert all(0 <= x <= width and 0 <= y <= height for x, y, _ in points)


def test_a_description_is_escaped() -> None:
    with drawing() as axes:
        chart = finished(axes, "t", '"><script>', [])
    assert ElementTree.fromstring(chart.svg).get("aria-label") == '"><script>'
    assert "<script>" not in chart.svg


def test_names_are_escaped() -> None:
    with drawing() as axes:
        axes.set_xlabel("<b>&猫")
        svg = finished(axes, "t", "", []).svg
    assert "<b>" not in svg
    assert "<b>&猫" in [text.text for text in ElementTree.fromstring(svg).iter("text")]


def test_marks_are_circles_where_the_pointer_finds_them() -> None:
    with drawing() as axes:
        axes.plot([1, 2, 3], [5, 4, 9], marker="o", markersize=5)
        found = hover(axes, "a", "blue", [1, 2, 3], [5, 4, 9], ["", "", ""])
        svg = finished(axes, "t", "", [found]).svg
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in ElementTree.fromstring(svg).iter("circle")]
    assert len(circles) == 3
    assert np.allclose(circles, [point[:2] for point in found.points], atol=0.11)
    assert {circle.attrib["r"] for circle in ElementTree.fromstring(svg).iter("circle")} == {"2.5"}


@given(st.lists(st.floats(-1e9, 1e9), max_size=300), st.integers(4, 60))
def test_a_thinned_line_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    kept = thinned(values, most)
    assert len(kept) <= max(most, 0)
    assert kept == sorted(set(kept))
    if values:
        assert (kept[0], kept[-1]) == (0, len(values) - 1)
        assert {min(values), max(values)} <= {values[place] for place in kept}
