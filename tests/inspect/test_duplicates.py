"""Copies are found however they were changed, and nothing else is."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.images import noise
from harness.scenes import brighter, jpeg, resized_and_back, scene, scenes, shifted
from tenfold.data.sources.shapes import build_shapes
from tenfold.inspect import duplicates as search
from tenfold.inspect.dataset_check import inspect_dataset
from tenfold.inspect.duplicates import candidates, find_twins, leak_of, pairs_of
from tenfold.inspect.gallery import Gallery
from tenfold.inspect.similarity import likeness, traits

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "re-encoded": lambda picture: jpeg(picture, 80),
    "resized and back": resized_and_back,
    "shifted": lambda picture: shifted(picture, 1, 0),
    "shifted aside": lambda picture: shifted(picture, 0, -1),
    "brighter": lambda picture: brighter(picture, 12),
    "darker": lambda picture: brighter(picture, -12),
    "mirrored": lambda picture: picture[:, ::-1],
    "mirrored and re-encoded": lambda picture: jpeg(picture[:, ::-1].copy(), 80),
}


def quiet(*_: object) -> None:
    """Watches nothing."""


def copied(side: int, start: int, change: Callable[[np.ndarray], np.ndarray]) -> list[tuple[int, int]]:
    """Returns the pairs found in eight scenes for training and the changed copies of three of them for testing."""
    train = [(scene(start + n, side), n % 2) for n in range(8)]
    test = [(np.ascontiguousarray(change(scene(start + n, side))), n % 2) for n in (1, 4, 6)]
    found = inspect_dataset(scenes(train, test))
    return [(pair.first.index, pair.second.index) for pair in found.pairs if pair.across]


@pytest.mark.parametrize("change", CHANGES)
@given(start=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_a_changed_copy_is_found_and_no_other_picture(change: str, start: int) -> None:
    assert set(copied(32, start * 8, CHANGES[change])) == {(1, 0), (4, 1), (6, 2)}


@pytest.mark.parametrize("side", [16, 28, 64, 96])
def test_copies_are_found_in_pictures_of_other_sizes(side: int) -> None:
    assert set(copied(side, 40, lambda picture: jpeg(picture, 80))) == {(1, 0), (4, 1), (6, 2)}


@given(seed=st.integers(0, 2**31), side=st.sampled_from([8, 32, 40]))
@settings(max_examples=20, deadline=None)
def test_independent_noise_has_no_duplicates(seed: int, side: int) -> None:
    pictures = [(noise(side, side, seed + n), n % 2) for n in range(40)]
    assert inspect_dataset(scenes(pictures[:30], pictures[30:])).pairs == ()


@given(seed=st.integers(0, 2**20))
@settings(max_examples=5, deadline=None)
def test_different_drawings_have_no_duplicates(seed: int) -> None:
    assert inspect_dataset(build_shapes(100, 20, seed=seed)).pairs == ()


def test_two_plain_skies_are_not_one_picture() -> None:
    def sky(seed: int) -> np.ndarray:
        light = np.linspace(120, 220, 32)[:, None, None] + np.array([-60, 0, 30])
        return (light + np.random.default_rng(seed).normal(0, 3, (32, 32, 3))).clip(0, 255).astype(np.uint8)

    assert likeness(sky(0)[None], sky(1)[None]) == 0
    assert likeness(sky(0)[None], brighter(sky(0), 9)[None]) > 0


def test_exact_copies_are_exact_and_name_the_first_of_their_kind() -> None:
    one, other = scene(1), scene(2)
    found = inspect_dataset(scenes([(one, 0), (other, 1), (one, 0)], [(one, 0), (scene(3), 1)], paths=True))
    told = [(pair.rule, pair.first.name, pair.second.name, pair.across) for pair in found.pairs]
    assert told == [("exact", "train/0.png", "test/0.png", True), ("exact", "train/0.png", "train/2.png", False)]


def test_a_group_of_equal_test_pictures_leaks_as_a_whole() -> None:
    copy = jpeg(scene(1), 80)
    data = scenes([(scene(1), 0), (scene(2), 1)], [(copy, 0), (scene(5), 0), (copy, 0), (scene(2), 1)])
    leak = inspect_dataset(data).leak
    assert leak is not None
    assert (leak.total, leak.exact, leak.near, leak.places) == (4, 1, 2, (0, 2, 3))


def test_duplicates_within_the_test_split_do_not_leak() -> None:
    gallery = Gallery(scenes([(scene(1), 0), (scene(2), 1)], [(scene(3), 0), (jpeg(scene(3), 80), 0)]))
    twins = find_twins(gallery, quiet)
    assert leak_of(gallery, twins).places == ()
    (pair,) = pairs_of(gallery, twins)
    assert not pair.across


def test_the_same_picture_with_two_labels_is_a_conflict() -> None:
    found = inspect_dataset(scenes([(scene(1), 0), (scene(1), 1), (scene(2), 1)], [(scene(3), 0)]))
    assert [pair.conflict for pair in found.pairs] == [True]
    (finding,) = [one for one in found.findings if one.rule == "conflict"]
    assert finding.severity == "warning"
    assert finding.sentence == "1 pair of duplicates with two different labels"
    assert finding.examples == ("train[0] and train[1]",)


def test_pictures_of_one_colour_are_told_and_not_compared() -> None:
    blue, nearly = np.full((32, 32, 3), 90, np.uint8), np.full((32, 32, 3), 91, np.uint8)
    found = inspect_dataset(scenes([(blue, 0), (nearly, 1), (scene(1), 0)], [(scene(2), 1)]))
    assert [picture.name for picture in found.flat] == ["train[0]", "train[1]"]
    assert found.pairs == ()


@given(seed=st.integers(0, 2**31), count=st.integers(0, 700))
@settings(max_examples=8, deadline=None)
def test_the_search_in_blocks_finds_the_pairs_that_one_large_product_finds(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 64)).astype(np.float32)
    for place in range(0, count - 1, 3):
        values[random.integers(place + 1, count)] = values[place] + random.normal(size=64) * 0.3
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    turned = values.copy()
    turned[:, 32:] *= -1
    agreement = np.maximum(values @ values.T, values @ turned.T)
    expected = {(i, j) for i, j in zip(*np.nonzero(agreement > search.ALIKE), strict=True) if i < j}
    found = candidates(values, quiet)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert np.allclose(found.agreement, agreement[found.first, found.second], atol=1e-5)
    assert not found.more


def test_a_film_does_not_fill_the_memory_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_PAIRS", 50)
    frames = [brighter(scene(1), n - 20) for n in range(40)]
    found = inspect_dataset(scenes([(frame, 0) for frame in frames], [(scene(9), 1)]))
    assert 0 < len(found.pairs) <= 50
    assert "crowded" in [finding.rule for finding in found.findings]


def test_traits_are_those_of_single_pictures_however_many_are_looked_at_together() -> None:
    images = np.stack([scene(n, 24) for n in range(5)])
    together = traits(np.repeat(images, 700, axis=0), quiet)
    alone = traits(images[3:4], quiet)
    assert np.allclose(together.signatures[3 * 700 + 5], alone.signatures[0], atol=1e-5)
    assert together.digests[3 * 700 + 5] == alone.digests[0]
    assert together.ranges[3 * 700 + 5] == np.ptp(images[3].reshape(-1, 3), axis=0).max()
