"""Use of a run's page in a real browser without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    """The page opened as a file; at the end there must be no request, refusal or error."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    messages, requests = [], []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("dialog", lambda dialog: messages.append(dialog.message))
    opened.on("request", lambda request: requests.append(request.url.partition(",")[0]))
    opened.goto(page_file.as_uri())
    yield opened
    context.close()
    assert messages == []
    assert {url for url in requests if not url.startswith("data:image/")} == {page_file.as_uri()}


def test_a_click_on_a_cell_shows_its_images(page: Any) -> None:
    cell = page.locator("td[data-cell='1-0']")
    count, support = cell.get_attribute("data-count"), cell.get_attribute("data-support")
    cell.locator("button").click()
    shown = page.locator(".cell-images")
    assert shown.locator("h3").inner_text() == "dog predicted as cat"
    tiles = shown.locator(".tile")
    assert f"{count} of {support}" in shown.inner_text()
    assert f"{tiles.count()} of {count} shown" in shown.inner_text()
    assert tiles.count() == min(int(count), 24)
    confidences = [float(text.removesuffix(" %")) for text in shown.locator(".probability").all_inner_texts()]
    assert confidences == sorted(confidences, reverse=True)
    assert cell.locator("button").get_attribute("aria-pressed") == "true"


def test_the_tile_of_a_cell_shows_its_image(page: Any) -> None:
    page.locator("td[data-cell='1-0'] button").click()
    tile = page.locator(".cell-images .tile").first
    number = int(tile.get_attribute("title").removeprefix("test/").removesuffix(".png"))
    red, green, blue = middle_pixel(tile.screenshot())
    expected = (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 16)
    assert max(abs(a - b) for a, b in zip((red, green, blue), expected, strict=True)) < 8


def middle_pixel(png: bytes) -> tuple[int, ...]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB").getpixel((image.width // 2, image.height // 2))


def test_the_matrix_is_one_tab_stop_and_arrows_move_in_it(page: Any) -> None:
    buttons = page.locator("td[data-cell] button")
    assert page.locator("td[data-cell] button[tabindex='0']").count() == 1
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.dataset.cell") == "1-1"
    assert page.locator(".cell-images h3").inner_text() == "dog, correct"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.parentElement.dataset.cell") == "0-1"


def test_cells_switch_between_percentages_and_counts(page: Any) -> None:
    cell = page.locator("td[data-cell='0-0']")
    percentage = cell.inner_text()
    page.get_by_text("images", exact=True).first.click()
    assert cell.inner_text() == cell.get_attribute("data-count") != percentage


@pytest.mark.parametrize("column", [1, 3, 5])
def test_a_heading_sorts_its_column_in_both_directions(page: Any, column: int) -> None:
    heading = page.locator("table.sortable thead th").nth(column)
    cells = page.locator(f"table.sortable tbody td:nth-child({column + 1})")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    values = [float(text.removesuffix(" %")) for text in cells.all_inner_texts()]
    assert values == sorted(values, reverse=True)
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.locator("table.sortable [aria-sort]").count() == 1
    assert [float(text.removesuffix(" %")) for text in cells.all_inner_texts()] == sorted(values)


def test_curves_switch_between_steps_and_seconds(page: Any) -> None:
    steps, seconds = (page.locator("#curves .charts").nth(i) for i in (0, 1))
    assert (steps.is_visible(), seconds.is_visible()) == (True, False)
    page.get_by_text("seconds", exact=True).first.click()
    assert (steps.is_visible(), seconds.is_visible()) == (False, True)


def test_a_name_that_is_a_script_stays_a_name(page: Any) -> None:
    page.locator("td[data-cell='2-2'] button").click()
    assert page.locator(".cell-images h3").inner_text() == "<script>alert(1)</script>, correct"
    assert page.locator("table.sortable tbody th").nth(2).inner_text() == "<script>alert(1)</script>"


def test_a_pair_opens_to_show_its_images(page: Any) -> None:
    pair = page.locator(".pairs details").first
    assert not pair.locator(".tile").first.is_visible()
    pair.locator("summary").press("Enter")
    assert pair.locator(".tile").first.is_visible()


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_the_page_never_scrolls_horizontally(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.locator("td[data-cell='1-0'] button").click()
    assert page.evaluate(CONTRAST) == []


def test_printing_opens_all_details_and_hides_controls(page: Any) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    for control in ("nav", ".switch", ".copy", ".hint"):
        assert not page.locator(control).first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_the_page_is_readable_without_scripts(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator(".accuracy").is_visible()
    assert page.locator("#curves svg").first.is_visible()
    assert not page.locator(".copy").first.is_visible()
    page.locator(".pairs summary").first.click()
    assert page.locator(".pairs .tile").first.is_visible()
    context.close()


# Returns texts with a contrast below 4.5 (3 for large text) to their background, by the formula of WCAG 2.
CONTRAST = """
() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], back) => [r, g, b].map((value, i) => value * a + back[i] * (1 - a));
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, background(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faults = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, style = getComputedStyle(element);
    const words = texts.currentNode.textContent.trim();
    const isText = !["SCRIPT", "STYLE", "desc", "title", "DESC"].includes(element.tagName);
    if (!words || words === "·" || !isText || !element.checkVisibility()) continue;
    const color = element instanceof SVGElement ? style.fill : style.color;
    const back = background(element);
    const [a, b] = [luminance(over(parse(color), back)), luminance(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const least = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if (ratio < least) faults.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faults;
}
"""
