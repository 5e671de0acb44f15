"""Sprite sheets: every image is found at the position of its tile."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tenfold.report.page.sprites import SpriteSheet, shrunk, sprite_sheet


def decoded(sheet: SpriteSheet) -> np.ndarray:
    head, _, data = sheet.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == sheet.size
        return np.asarray(image.convert("RGB")).astype(int)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 130), st.integers(1, 130), st.integers(0, 9))
def test_a_tile_shows_its_image_and_no_neighbor(count: int, height: int, width: int, seed: int) -> None:
    colors = np.random.default_rng(seed).integers(0, 256, (count, 3), dtype=np.uint8)
    images = np.broadcast_to(colors[:, None, None], (count, height, width, 3))
    sheet = sprite_sheet(images)
    assert sheet is not None
    assert max(sheet.width, sheet.height) <= 96
    assert sheet.count == count
    whole = decoded(sheet)
    for number, color in enumerate(colors.astype(int)):
        column, row = sheet.position(number)
        left, top = column * sheet.step[0], row * sheet.step[1]
        tile = whole[top : top + sheet.height, left : left + sheet.width]
        middle = tile[tile.shape[0] // 2, tile.shape[1] // 2]
        assert np.abs(middle - color).max() <= 12


def test_tile_steps_are_multiples_of_jpeg_blocks() -> None:
    sheet = sprite_sheet(np.zeros((3, 28, 40, 3), np.uint8))
    assert sheet is not None
    assert (sheet.width, sheet.height, sheet.step) == (40, 28, (48, 32))


def test_a_sheet_above_the_size_limit_is_made_smaller() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    full, small = sprite_sheet(images), sprite_sheet(images, max_bytes=60_000)
    assert full is not None
    assert small is not None
    assert len(base64.b64decode(small.uri.partition(",")[2])) <= 60_000
    assert small.width < full.width


def test_no_images_make_no_sheet() -> None:
    assert sprite_sheet(np.zeros((0, 32, 32, 3), np.uint8)) is None


@pytest.mark.parametrize(("size", "expected"), [((224, 112), (96, 48)), ((500, 1), (96, 1)), ((32, 20), (32, 20))])
def test_large_images_shrink_and_keep_their_aspect_ratio(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shrunk(np.zeros((2, *size, 3), np.uint8)).shape == (2, *expected, 3)


@pytest.mark.parametrize(("side", "zoom", "phone_zoom"), [(8, 12, 9), (28, 3, 2), (32, 3, 2), (64, 1.5, 1.125)])
def test_small_images_are_enlarged_by_an_integer(side: int, zoom: float, phone_zoom: float) -> None:
    sheet = sprite_sheet(np.zeros((1, side, side, 3), np.uint8))
    assert sheet is not None
    assert (sheet.zoom, sheet.phone_zoom) == (zoom, phone_zoom)
