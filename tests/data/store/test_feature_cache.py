"""Tests of the cache of features."""

import os
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.cache import cache_folder
from tenfold.data.store.feature_cache import FeatureCache, delete_features, features_bytes, features_folder, image_key

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
KEY = image_key(IMAGE)
FEATURES = np.array([1.5, -2.0], np.float32)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))


def filled(network: str = "ab", key: bytes = KEY) -> FeatureCache:
    """Returns a cache with one image, written to disk."""
    cache = FeatureCache(network, 2)
    cache.add(key, FEATURES)
    cache.flush()
    return cache


def test_features_are_found_again_by_the_pixels() -> None:
    filled()
    again = FeatureCache("ab", 2).get(image_key(IMAGE.copy()))
    assert again is not None
    assert again.tolist() == FEATURES.tolist()


def test_other_pixels_shapes_networks_and_sizes_have_none() -> None:
    filled()
    assert FeatureCache("ab", 2).get(image_key(IMAGE + 1)) is None
    assert image_key(IMAGE) != image_key(IMAGE.transpose(1, 0, 2).reshape(3, 2, 3))
    assert FeatureCache("cd", 2).get(KEY) is None
    assert FeatureCache("ab", 3).get(KEY) is None


def test_a_damaged_file_counts_as_none() -> None:
    filled()
    for file in features_folder().glob("*/*.npy"):
        whole = file.read_bytes()
        file.write_bytes(whole[:-3])
        assert FeatureCache("ab", 2).get(KEY) is None
        file.write_bytes(whole)
    assert FeatureCache("ab", 2).get(KEY) is not None


def test_a_cache_that_cannot_be_written_costs_nothing_but_time() -> None:
    (cache_folder() / "features").write_text("a file where the folder should be")
    assert filled().get(KEY) is not None


def test_features_are_listed_and_deleted() -> None:
    filled()
    assert features_bytes() > 0
    size = features_bytes()
    assert delete_features() == size
    assert not features_folder().exists()
    assert delete_features() == 0


def test_the_files_used_longest_ago_are_deleted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    filled("old")
    for old in features_folder().glob("*/*.npy"):
        os.utime(old, (1, 1))
    monkeypatch.setattr("tenfold.data.store.feature_cache.MAX_BYTES", int(1.5 * features_bytes()))
    filled("new")
    assert FeatureCache("old", 2).get(KEY) is None
    assert FeatureCache("new", 2).get(KEY) is not None
