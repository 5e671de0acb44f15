"""Photos that are crops of one another, by features."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.images import png, write_tree
from harness.tiny import dataset
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Dataset, no_progress
from tenfold.inspect import similar_photos as module
from tenfold.inspect.findings import Finding
from tenfold.inspect.similar_photos import similar_photos
from tenfold.models.build import build_model
from tenfold.runs.artifact import Classifier

IMAGES = dataset(train=6, test=4)


def findings(
    monkeypatch: pytest.MonkeyPatch, features: np.ndarray, known: set[frozenset] = frozenset()
) -> list[Finding]:
    """Returns the findings for six training images and four test images with these features."""
    rows = iter(features)
    monkeypatch.setattr(module, "features_of", lambda _, images, **__: np.stack([next(rows) for _ in images]))
    preprocessing = Preprocessing((16, 16), "crop", (0.5,) * 3, (0.5,) * 3)
    model = build_model("mlp", {}, num_classes=3, image_size=(16, 16))
    found, pairs = similar_photos(IMAGES, Classifier(model, IMAGES.classes, preprocessing), known, no_progress)
    assert not pairs or [one.count for one in found] == [len(pairs)]
    return list(found)


def test_similar_photos_are_named_the_most_similar_first(monkeypatch: pytest.MonkeyPatch) -> None:
    features = 3 * np.eye(10, dtype=np.float32)
    features[8, 1] = 3 * 3  # test[2] is like train[1]: 0.95
    features[4] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]  # train[4] like train[0]: 1
    (found,) = findings(monkeypatch, features)
    assert (found.severity, found.count) == ("warning", 2)
    assert found.sentence == (
        "2 pairs of similar photos, perhaps crops of one another, 1 of them between train and test: look at them"
    )
    assert found.examples == ("train[0] and train[4] (1.00)", "train[1] and test[2] (0.95)")


def test_duplicates_that_are_known_are_not_named_again(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.eye(10, dtype=np.float32)
    features[4] = features[0]
    known = {frozenset((("train", 0), ("train", 4)))}
    assert findings(monkeypatch, features, known) == []
    (found,) = findings(monkeypatch, features)
    assert found.severity == "note"


def test_photos_that_all_look_alike_are_counted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = findings(monkeypatch, np.ones((10, 4), np.float32))
    assert found.sentence.startswith("many photos look alike (45 pairs), so crops of one another cannot be told")
    assert found.examples == ()


def test_many_photos_are_not_compared_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PHOTOS", 9)
    (found,) = findings(monkeypatch, np.ones((0, 4)))
    assert found.sentence == "crops of one another were not looked for: there are more than 9 photos"


def test_check_compares_photos_as_the_network_expects_them_and_no_small_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    photos = {
        f"{split}/{name}/{number}.png": png(seed * 4 + number, 70, 90)
        for seed, (split, name) in enumerate((("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")))
        for number in range(2)
    }
    asked: list[Dataset] = []
    similar = Finding("note", "similar-photos", "asked", 1)
    monkeypatch.setattr("tenfold.api.check.similar_photos", lambda data, *_: asked.append(data) or ((similar,), ()))
    found = tenfold.check(write_tree(tmp_path / "photos", photos))
    assert similar in found.findings
    assert (asked[0].image_size, asked[0].fit, len(asked[0].train)) == ((224, 224), "crop:0.875", 4)
    tenfold.check(IMAGES)
    tenfold.check(replace(IMAGES, typical_size=(64, 64)))
    assert len(asked) == 1


def test_photos_that_are_too_many_are_not_prepared_for_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "MAX_PHOTOS", 3)
    monkeypatch.setattr("tenfold.api.check.build_dataset", None)
    photos = {f"{name}/{number}.png": png(number, 70, 90) for name in "ab" for number in range(2)}
    found = tenfold.check(write_tree(tmp_path / "photos", photos))
    assert any("there are more than 3 photos" in finding.sentence for finding in found.findings)
