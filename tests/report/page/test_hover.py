"""Tooltips of charts by pointer and arrow keys, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.predicted_sweeps import predicted_sweep
from tenfold.report.page.curves import curve_charts
from tenfold.report.page.sweep_page import write_sweep_page
from tenfold.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The first run of a sweep that has a page."""
    sweep = predicted_sweep(tmp_path_factory.mktemp("runs"))
    write_sweep_page(sweep)
    return RunFolder(sweep.run_path(sweep.trials()[0]))


@pytest.fixture
def page(browser: Any, folder: RunFolder) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto((folder.path.parent.parent / "report.html").as_uri())
    yield page
    page.close()
    assert errors == []


def figure_of(page: Any, title: str) -> Any:
    return page.locator("figure.chart:visible", has_text=title).first


def test_arrow_keys_move_from_point_to_point(page: Any, folder: RunFolder) -> None:
    (chart,) = [chart for chart in curve_charts(folder.read_metrics())["steps"] if chart.title == "Loss"]
    texts = [text for *_, text in chart.series[0].points]
    figure = figure_of(page, "Training loss")
    figure.locator(".canvas > svg").focus()
    shown = []
    for key in ("Home", "ArrowRight", "End", "ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        shown.append(figure.locator(".tooltip").inner_text().split("\n")[1])
    assert shown == [texts[index] for index in (0, 1, -1, -2, -1, -1)]
    page.keyboard.press("Escape")
    assert figure.locator(".tooltip").is_hidden()


def test_up_and_down_move_from_run_to_run(page: Any) -> None:
    figure = figure_of(page, "All runs")
    figure.locator(".canvas > svg").focus()
    page.keyboard.press("Home")
    names = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        names.append(figure.locator(".tooltip b").inner_text())
    assert names == ["seed 1", "seed 2", "seed 0", "seed 2"]


def test_the_pointer_finds_the_nearest_dot(page: Any) -> None:
    figure = figure_of(page, "All runs")
    figure.scroll_into_view_if_needed()
    dot = figure.locator("svg g > circle, svg > circle:not(.highlight)").nth(1).bounding_box()
    page.mouse.move(dot["x"] + dot["width"] / 2 + 3, dot["y"] + dot["height"] / 2)
    assert figure.locator(".tooltip b").inner_text() == "seed 1"
    page.mouse.move(5, 5)
    assert figure.locator(".tooltip").is_hidden()


def test_the_x_axis_switches_from_steps_to_seconds(page: Any) -> None:
    assert figure_of(page, "Training loss").locator("text", has_text="steps").is_visible()
    page.get_by_label("seconds").check(force=True)
    assert figure_of(page, "Training loss").locator("text", has_text="seconds").is_visible()
    assert page.locator("figure.chart:visible", has_text="Training loss").count() == 1


def test_the_dark_theme_has_other_line_colors(page: Any) -> None:
    line = "getComputedStyle(document.querySelector('.charts path[stroke=\"var(--blue)\"]')).stroke"
    light = page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(line) != light


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_sorts_by_its_numbers(page: Any) -> None:
    table = page.locator("#trials table")
    table.get_by_role("button", name="test accuracy").click()
    accuracies = [float(text.split()[0]) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(set(accuracies)) == 3


def test_the_page_is_one_file(folder: RunFolder) -> None:
    assert sorted(Path(folder.path.parent.parent).glob("*.html")) == [folder.path.parent.parent / "report.html"]
