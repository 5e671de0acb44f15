"""Mean and deviation of pixels against NumPy's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.data import statistics
from tenfold.data.statistics import channel_statistics


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_statistics_are_those_of_all_pixels(count: int, height: int, width: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    mean, deviation = channel_statistics(images)
    pixels = images.reshape(-1, 3).astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean(0), abs=1e-12)
    assert deviation == pytest.approx(np.maximum(pixels.std(0), 1 / 255), abs=1e-7)


def test_parts_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(1).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    whole = channel_statistics(images)
    monkeypatch.setattr(statistics, "_CHUNK", 3)
    assert channel_statistics(images) == whole


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_channel_of_one_value_gets_a_harmless_deviation(value: int) -> None:
    mean, deviation = channel_statistics(np.full((2, 3, 3, 3), value, np.uint8))
    assert mean == pytest.approx((value / 255,) * 3)
    assert deviation == (1 / 255,) * 3


def test_channels_are_kept_apart() -> None:
    images = np.zeros((1, 1, 2, 3), np.uint8)
    images[0, 0, :, 0], images[0, 0, :, 2] = (0, 255), (255, 255)
    mean, deviation = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.0, 1.0))
    assert deviation == pytest.approx((0.5, 1 / 255, 1 / 255))
