"""Duplicates are found after common edits, and different images are not duplicates."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.images import noise
from harness.scenes import brighter, jpeg, resized_and_back, scene, scenes, shifted
from tenfold.data.duplicates import search as duplicates
from tenfold.data.duplicates.dataset_images import DatasetImages
from tenfold.data.duplicates.search import candidate_pairs, duplicate_pairs, find_duplicates, find_leak
from tenfold.data.duplicates.similarity import image_features, likeness
from tenfold.data.sources.shapes import build_shapes
from tenfold.inspect.dataset_check import inspect_dataset

EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "re-encoded": lambda image: jpeg(image, 80),
    "resized and back": resized_and_back,
    "shifted down": lambda image: shifted(image, 1, 0),
    "shifted left": lambda image: shifted(image, 0, -1),
    "brighter": lambda image: brighter(image, 12),
    "darker": lambda image: brighter(image, -12),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and re-encoded": lambda image: jpeg(image[:, ::-1].copy(), 80),
}


def no_progress(*_: object) -> None:
    """Ignores progress."""


def pairs_across(side: int, seed: int, edit: Callable[[np.ndarray], np.ndarray]) -> set[tuple[int, int]]:
    """Returns the pairs found between eight training images and edited copies of numbers 1, 4 and 6 in test."""
    train = [(scene(seed + n, side), n % 2) for n in range(8)]
    test = [(np.ascontiguousarray(edit(scene(seed + n, side))), n % 2) for n in (1, 4, 6)]
    found = inspect_dataset(scenes(train, test))
    return {(pair.first.index, pair.second.index) for pair in found.pairs if pair.across}


@pytest.mark.parametrize("edit", EDITS)
@given(start=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_edited_copies_are_found_and_other_images_are_not(edit: str, start: int) -> None:
    assert pairs_across(32, start * 8, EDITS[edit]) == {(1, 0), (4, 1), (6, 2)}


@pytest.mark.parametrize("side", [16, 28, 64, 96])
def test_copies_are_found_at_other_image_sizes(side: int) -> None:
    assert pairs_across(side, 40, lambda image: jpeg(image, 80)) == {(1, 0), (4, 1), (6, 2)}


@given(seed=st.integers(0, 2**31), side=st.sampled_from([8, 32, 40]))
@settings(max_examples=20, deadline=None)
def test_independent_noise_has_no_duplicates(seed: int, side: int) -> None:
    images = [(noise(side, side, seed + n), n % 2) for n in range(40)]
    assert inspect_dataset(scenes(images[:30], images[30:])).pairs == ()


@given(seed=st.integers(0, 2**20))
@settings(max_examples=5, deadline=None)
def test_different_drawings_have_no_duplicates(seed: int) -> None:
    assert inspect_dataset(build_shapes(100, 20, seed=seed)).pairs == ()


def test_two_plain_skies_are_not_duplicates() -> None:
    def sky(seed: int) -> np.ndarray:
        light = np.linspace(120, 220, 32)[:, None, None] + np.array([-60, 0, 30])
        return (light + np.random.default_rng(seed).normal(0, 3, (32, 32, 3))).clip(0, 255).astype(np.uint8)

    assert likeness(sky(0)[None], sky(1)[None]) == 0
    assert likeness(sky(0)[None], brighter(sky(0), 9)[None]) > 0


def test_exact_duplicates_name_the_first_copy() -> None:
    one, other = scene(1), scene(2)
    found = inspect_dataset(scenes([(one, 0), (other, 1), (one, 0)], [(one, 0), (scene(3), 1)], paths=True))
    pairs = [(pair.rule, pair.first.name, pair.second.name, pair.across) for pair in found.pairs]
    assert pairs == [("exact", "train/0.png", "test/0.png", True), ("exact", "train/0.png", "train/2.png", False)]


def test_every_copy_in_a_group_of_equal_test_images_leaks() -> None:
    copy = jpeg(scene(1), 80)
    data = scenes([(scene(1), 0), (scene(2), 1)], [(copy, 0), (scene(5), 0), (copy, 0), (scene(2), 1)])
    leak = inspect_dataset(data).leak
    assert leak is not None
    assert leak.to_json() == {"total": 4, "exact": 1, "near": 2, "places": (0, 2, 3)}


def test_duplicates_within_the_test_split_do_not_leak() -> None:
    images = DatasetImages(scenes([(scene(1), 0), (scene(2), 1)], [(scene(3), 0), (jpeg(scene(3), 80), 0)]))
    found = find_duplicates(images, no_progress)
    assert find_leak(images, found).indices == ()
    (pair,) = duplicate_pairs(images, found)
    assert not pair.across


def test_duplicates_with_different_labels_are_a_conflict() -> None:
    found = inspect_dataset(scenes([(scene(1), 0), (scene(1), 1), (scene(2), 1)], [(scene(3), 0)]))
    assert [pair.conflict for pair in found.pairs] == [True]
    (finding,) = [one for one in found.findings if one.rule == "conflict"]
    assert finding.severity == "warning"
    assert finding.sentence == "1 pair of duplicates with different labels"
    assert finding.examples == ("train[0] and train[1]",)


def test_single_color_images_are_listed_and_not_compared() -> None:
    blue, nearly = np.full((32, 32, 3), 90, np.uint8), np.full((32, 32, 3), 91, np.uint8)
    found = inspect_dataset(scenes([(blue, 0), (nearly, 1), (scene(1), 0)], [(scene(2), 1)]))
    assert [image.name for image in found.flat] == ["train[0]", "train[1]"]
    assert found.pairs == ()


@given(seed=st.integers(0, 2**31), count=st.integers(0, 700))
@settings(max_examples=8, deadline=None)
def test_the_blocked_search_finds_the_pairs_of_one_full_product(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 64)).astype(np.float32)
    for index in range(0, count - 1, 3):
        values[random.integers(index + 1, count)] = values[index] + random.normal(size=64) * 0.3
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    mirrored = values.copy()
    mirrored[:, 32:] *= -1
    agreement = np.maximum(values @ values.T, values @ mirrored.T)
    expected = {(i, j) for i, j in zip(*np.nonzero(agreement > duplicates.MIN_AGREEMENT), strict=True) if i < j}
    found = candidate_pairs(values, no_progress)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert np.allclose(found.agreement, agreement[found.first, found.second], atol=1e-5)
    assert not found.truncated


def test_video_frames_are_capped_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 50)
    frames = [brighter(scene(1), n - 20) for n in range(40)]
    found = inspect_dataset(scenes([(frame, 0) for frame in frames], [(scene(9), 1)]))
    assert 0 < len(found.pairs) <= 50
    assert "crowded" in [finding.rule for finding in found.findings]


def test_features_do_not_depend_on_the_chunk() -> None:
    images = np.stack([scene(n, 24) for n in range(5)])
    together = image_features(np.repeat(images, 700, axis=0), no_progress)
    alone = image_features(images[3:4], no_progress)
    assert np.allclose(together.signatures[3 * 700 + 5], alone.signatures[0], atol=1e-5)
    assert together.digests[3 * 700 + 5] == alone.digests[0]
    assert together.ranges[3 * 700 + 5] == np.ptp(images[3].reshape(-1, 3), axis=0).max()
