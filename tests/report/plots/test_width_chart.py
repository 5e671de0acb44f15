"""The width chart shows each device. Its appearance was checked by eye."""

from pathlib import Path

import pytest

from harness.rendered import pixels_of, shows_color
from tenfold.report.plots.canvas import BLUE, GREEN, ORANGE
from tenfold.report.plots.width_chart import plot_widths

DESCRIPTIONS = {"cpu": "cpu, 2 threads, bfloat16", "cuda": "cuda (NVIDIA H100), bfloat16", "mps": "mps, float32"}
SPEEDS = {"cpu": 1.0, "cuda": 12.3456, "mps": 0.5}


def rows(*devices: str, widths: tuple[int, ...] = (6, 30, 90, 170)) -> list[dict[str, float | int]]:
    """Returns rows for devices; the first is the baseline."""
    base = devices[0]
    return [
        {"width": width, "parameters": 1000 * width}
        | {f"{device}_per_second": 20_000 / width * SPEEDS[device] for device in devices}
        | {f"{device}_speedup": SPEEDS[device] / SPEEDS[base] for device in devices[1:]}
        for width in widths
    ]


def draw(path: Path, *devices: str, **options: object) -> None:
    descriptions = {device: DESCRIPTIONS[device] for device in devices}
    plot_widths(rows(*devices, **options), descriptions, devices[0], 4, path)  # type: ignore[arg-type]


def test_each_device_has_its_own_color(tmp_path: Path) -> None:
    colors, path = {"cpu": BLUE, "cuda": ORANGE, "mps": GREEN}, tmp_path / "width.png"
    for devices in (("cpu",), ("cpu", "cuda"), ("cpu", "cuda", "mps")):
        draw(path, *devices)
        assert [name for name, color in colors.items() if shows_color(path, color)] == list(devices)


def test_the_speed_up_is_drawn_beside_the_speed(tmp_path: Path) -> None:
    draw(tmp_path / "one.png", "cpu")
    draw(tmp_path / "two.png", "cpu", "cuda")
    one, two = pixels_of(tmp_path / "one.png"), pixels_of(tmp_path / "two.png")
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] > 1.8 * one.shape[1]


@pytest.mark.parametrize("widths", [(30,), (90, 30), (30, 31), tuple(range(1, 40)), (1, 1_000_000)])
def test_any_number_of_widths_is_drawn(tmp_path: Path, widths: tuple[int, ...]) -> None:
    draw(tmp_path / "width.png", "cpu", "cuda", widths=widths)
    assert shows_color(tmp_path / "width.png", BLUE)


def test_more_devices_than_colors_are_drawn(tmp_path: Path) -> None:
    devices = [f"cuda:{number}" for number in range(6)]
    row = {"width": 6, "parameters": 1} | {f"{device}_per_second": 1e3 for device in devices}
    row |= {f"{device}_speedup": 1.0 for device in devices[1:]}
    plot_widths([row], dict.fromkeys(devices, "a GPU"), "cuda:0", 4, tmp_path / "width.png")
    assert (tmp_path / "width.png").stat().st_size > 0


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "cpu", widths=(6, 30, 90))
    draw(tmp_path / "b.png", "cpu", widths=(90, 6, 30))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
