"""Sheets of tiles: every picture is found again where the sheet says it is."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tenfold.report.page.sprites import Sheet, sheet_of, shrunk


def decoded(sheet: Sheet) -> np.ndarray:
    head, _, data = sheet.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == sheet.size
        return np.asarray(image.convert("RGB")).astype(int)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 130), st.integers(1, 130), st.integers(0, 9))
def test_a_tile_is_its_picture_and_none_of_its_neighbours(count: int, height: int, width: int, seed: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3), dtype=np.uint8)
    images = np.broadcast_to(colours[:, None, None], (count, height, width, 3))
    sheet = sheet_of(images)
    assert sheet is not None
    assert max(sheet.width, sheet.height) <= 96
    assert sheet.count == count
    whole = decoded(sheet)
    for number, colour in enumerate(colours.astype(int)):
        column, row = sheet.place(number)
        left, top = column * sheet.step[0], row * sheet.step[1]
        tile = whole[top : top + sheet.height, left : left + sheet.width]
        middle = tile[tile.shape[0] // 2, tile.shape[1] // 2]
        assert np.abs(middle - colour).max() <= 12


def test_steps_are_whole_blocks_so_that_tiles_do_not_run_into_each_other() -> None:
    sheet = sheet_of(np.zeros((3, 28, 40, 3), np.uint8))
    assert sheet is not None
    assert (sheet.width, sheet.height, sheet.step) == (40, 28, (48, 32))


def test_a_sheet_that_takes_too_much_is_made_smaller() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    full, small = sheet_of(images), sheet_of(images, most_bytes=60_000)
    assert full is not None
    assert small is not None
    assert len(base64.b64decode(small.uri.partition(",")[2])) <= 60_000
    assert small.width < full.width


def test_no_picture_makes_no_sheet() -> None:
    assert sheet_of(np.zeros((0, 32, 32, 3), np.uint8)) is None


@pytest.mark.parametrize(("size", "expected"), [((224, 112), (96, 48)), ((500, 1), (96, 1)), ((32, 20), (32, 20))])
def test_large_pictures_shrink_and_keep_their_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shrunk(np.zeros((2, *size, 3), np.uint8)).shape == (2, *expected, 3)


@pytest.mark.parametrize(("side", "zoom", "on_a_phone"), [(8, 12, 9), (28, 3, 2), (32, 3, 2), (64, 1.5, 1.125)])
def test_small_pictures_are_shown_whole_times_larger(side: int, zoom: float, on_a_phone: float) -> None:
    sheet = sheet_of(np.zeros((1, side, side, 3), np.uint8))
    assert sheet is not None
    assert (sheet.zoom, sheet.phone_zoom) == (zoom, on_a_phone)
