"""The width exercise as a table and a chart. How the chart looks was judged by eye."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tenfold.report.plots.canvas import BLUE, GREEN, WARM
from tenfold.report.plots.width_chart import plot_widths, width_table

USED = {"cpu": "cpu, 2 threads, bfloat16", "cuda": "cuda (NVIDIA H100), bfloat16", "mps": "mps, float32"}
SPEEDS = {"cpu": 1.0, "cuda": 12.3456, "mps": 0.5}


def rows(*devices: str, widths: tuple[int, ...] = (6, 30, 90, 170)) -> list[dict[str, float | int]]:
    """Returns rows for devices of which the first is the baseline."""
    base = devices[0]
    return [
        {"width": width, "parameters": 1000 * width}
        | {f"{device}_per_second": 20_000 / width * SPEEDS[device] for device in devices}
        | {f"{device}_speedup": SPEEDS[device] / SPEEDS[base] for device in devices[1:]}
        for width in widths
    ]


def printed(table: object) -> list[list[str]]:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.split() for line in capture.get().splitlines() if line.strip()]


def drawn(path: Path, *devices: str, **options: object) -> np.ndarray:
    used = {device: USED[device] for device in devices}
    plot_widths(rows(*devices, **options), used, devices[0], 4, path)  # type: ignore[arg-type]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def shows(pixels: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(pixels - wanted).sum(2) < 12).any())


def test_the_table_holds_a_line_for_each_width() -> None:
    heading, _, first, *others = printed(width_table(rows("cpu", "cuda"), ["cpu", "cuda"], "cpu"))
    assert " ".join(heading) == "width parameters cpu, pictures/s cuda, pictures/s cuda ÷ cpu"
    assert first == ["6", "6,000", "3,333", "41,152", "12.3"]
    assert len(others) == 3


def test_a_single_device_has_no_speed_up() -> None:
    heading, *_ = printed(width_table(rows("cpu"), ["cpu"], "cpu"))
    assert " ".join(heading) == "width parameters cpu, pictures/s"


def test_each_device_is_drawn_in_a_colour_of_its_own(tmp_path: Path) -> None:
    colours = {"cpu": BLUE, "cuda": WARM, "mps": GREEN}
    for devices in (("cpu",), ("cpu", "cuda"), ("cpu", "cuda", "mps")):
        pixels = drawn(tmp_path / "width.png", *devices)
        assert [name for name, colour in colours.items() if shows(pixels, colour)] == list(devices)


def test_the_speed_up_stands_beside_the_speed(tmp_path: Path) -> None:
    one, two = drawn(tmp_path / "one.png", "cpu"), drawn(tmp_path / "two.png", "cpu", "cuda")
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] > 1.8 * one.shape[1]


@pytest.mark.parametrize("widths", [(30,), (90, 30), (30, 31), tuple(range(1, 40)), (1, 1_000_000)])
def test_any_number_of_widths_is_drawn(tmp_path: Path, widths: tuple[int, ...]) -> None:
    assert shows(drawn(tmp_path / "width.png", "cpu", "cuda", widths=widths), BLUE)


def test_more_devices_than_colours_are_drawn(tmp_path: Path) -> None:
    devices = [f"cuda:{number}" for number in range(6)]
    row = {"width": 6, "parameters": 1} | {f"{device}_per_second": 1e3 for device in devices}
    row |= {f"{device}_speedup": 1.0 for device in devices[1:]}
    plot_widths([row], dict.fromkeys(devices, "a GPU"), "cuda:0", 4, tmp_path / "width.png")
    assert (tmp_path / "width.png").stat().st_size > 0


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    ordered = drawn(tmp_path / "a.png", "cpu", widths=(6, 30, 90))
    assert np.array_equal(drawn(tmp_path / "b.png", "cpu", widths=(90, 6, 30)), ordered)
