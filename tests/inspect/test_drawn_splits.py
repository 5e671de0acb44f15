"""Near duplicates between train and drawn splits: found in files, remembered, left out where they do not count."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.scenes import scene, scenes
from tenfold.api.data import in_memory
from tenfold.core.errors import StorageError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.duplicates.search import find_duplicates
from tenfold.data.store.leak_cache import delete_leaks
from tenfold.data.types import Dataset
from tenfold.inspect import drawn_splits
from tenfold.inspect.drawn_splits import drawn_leaks, leak_lines
from tenfold.recipes.schema import DataSection


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def no_progress(*_: object) -> None:
    """Ignores progress."""


def write_photos(root: Path, copies: str, groups: int = 8) -> Path:
    """Writes two classes of JPEG photos; each photo has two copies, made as `copies` says."""
    for number in range(2 * groups):
        folder = root / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray(scene(number, 96))
        for copy in range(3):
            changed, quality = photo, 92
            if copy and copies == "re-encoded":
                quality = 92 - 20 * copy
            if copy and copies == "cropped":
                changed = photo.crop((copy, copy, 96 - copy, 96 - copy))
            if copy and copies == "none":
                changed = Image.fromarray(scene(1000 * copy + number, 96))
            changed.save(folder / f"{number}-{copy}.jpg", quality=quality)
    return root


def dataset_with(root: Path, copies: str, **settings: object) -> Dataset:
    return build_dataset(DataRequest(str(write_photos(root, copies)), image_size=48, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("copies", ["exact", "re-encoded", "cropped"])
def test_test_images_with_copies_in_train_are_found(tmp_path: Path, copies: str) -> None:
    dataset = dataset_with(tmp_path / "photos", copies)
    paths = dataset.train.paths or ()
    trained = {Path(path).name.partition("-")[0] for path in paths}
    expected = [Path(path).name.partition("-")[0] in trained for path in dataset.test.paths or ()]
    leak = drawn_leaks(dataset, no_progress)["test"]
    assert leak.total == len(dataset.test)
    assert list(leak.indices) == np.flatnonzero(expected).tolist()
    assert (leak.exact > 0, leak.near > 0) == ((True, False) if copies == "exact" else (False, True))
    (line,) = leak_lines(dataset, {"test": leak})
    start = f"{len(leak.indices)} of {leak.total} test images have a near duplicate in train ({leak.exact} exact): "
    assert line.startswith(start)


def test_without_copies_nothing_is_said(tmp_path: Path) -> None:
    dataset = dataset_with(tmp_path / "photos", "none")
    leaks = drawn_leaks(dataset, no_progress)
    assert leaks["test"].indices == ()
    assert list(leak_lines(dataset, leaks)) == []


def test_drawn_validation_images_are_looked_at_too(tmp_path: Path) -> None:
    dataset = dataset_with(tmp_path / "photos", "exact", val_fraction=0.25)
    leaks = drawn_leaks(dataset, no_progress)
    assert dataset.val is not None
    assert leaks["val"].total == len(dataset.val)
    found = len(leaks["val"].indices)
    assert found > 0
    sentence = f"{found} of {len(dataset.val)} validation images have a near duplicate in train ({found} exact)"
    assert sentence in leak_lines(dataset, leaks)


def drawn_scenes() -> Dataset:
    """Returns a dataset whose test split counts as drawn; its second test image is in train too."""
    dataset = scenes([(scene(n), n % 2) for n in range(6)], [(scene(9), 0), (scene(3), 1)])
    return replace(dataset, drawn=("test",), fingerprint="0123456789abcdef0123")


def test_the_second_look_is_a_file_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn_leaks(drawn_scenes(), no_progress)
    assert first["test"].indices == (1,)
    monkeypatch.setattr(drawn_splits, "find_duplicates", None)
    assert drawn_leaks(drawn_scenes(), no_progress) == first


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", {}, {"version": 0}, {"fingerprint": "other"}, {"leaks": {}}, {"leaks": {"test": {"total": 2}}}],
)
def test_a_damaged_file_in_the_cache_is_replaced(cache: Path, damage: str | dict[str, object]) -> None:
    first = drawn_leaks(drawn_scenes(), no_progress)
    (file,) = (cache / "duplicates").iterdir()
    whole = file.read_text("utf-8")
    changed = damage if isinstance(damage, str) else json.dumps({**json.loads(whole), **damage} if damage else {})
    file.write_text(changed, "utf-8")
    assert drawn_leaks(drawn_scenes(), no_progress) == first
    assert file.read_text("utf-8") == whole


@pytest.mark.parametrize("change", [{"places": [7]}, {"places": []}, {"places": ["1"]}, {"total": 3}, {"near": 2}])
def test_a_leak_in_the_cache_that_cannot_be_is_replaced(cache: Path, change: dict[str, object]) -> None:
    first = drawn_leaks(drawn_scenes(), no_progress)
    (file,) = (cache / "duplicates").iterdir()
    value = json.loads(file.read_text("utf-8"))
    value["leaks"]["test"].update(change)
    file.write_text(json.dumps(value), "utf-8")
    assert drawn_leaks(drawn_scenes(), no_progress) == first


def test_a_cache_that_cannot_be_written_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no space")

    monkeypatch.setattr("tenfold.core.durable.make_folder", refuse)
    assert drawn_leaks(drawn_scenes(), no_progress)["test"].indices == (1,)


def test_splits_that_were_not_drawn_are_not_looked_at() -> None:
    dataset = replace(drawn_scenes(), drawn=())
    assert drawn_leaks(dataset, no_progress) == {}
    assert list(leak_lines(dataset, {})) == []


@pytest.mark.parametrize("limit", ["MAX_IMAGES", "MAX_PIXELS"])
def test_a_look_that_takes_too_long_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(drawn_splits, limit, 7)
    assert drawn_leaks(drawn_scenes(), no_progress) == {}
    (line,) = leak_lines(drawn_scenes(), {})
    assert line.startswith(
        "near duplicates between train and the drawn test images were not looked for: 8 images of 32"
    )


def test_the_short_search_finds_the_leak_of_the_whole_one(tmp_path: Path) -> None:
    dataset = dataset_with(tmp_path / "photos", "cropped")
    images = drawn_splits.DatasetImages(dataset)
    whole = find_duplicates(images, no_progress)
    assert drawn_leaks(dataset, no_progress)["test"] == drawn_splits.find_leak(images, whole)


def test_datasets_made_by_hand_do_not_share_what_is_remembered() -> None:
    leaking, clean = (
        replace(drawn_scenes(), fingerprint=""),
        scenes([(scene(n), n % 2) for n in range(6)], [(scene(9), 0)]),
    )
    clean = replace(clean, drawn=("test",), fingerprint="")
    first, second = (drawn_leaks(dataset, no_progress)["test"] for dataset in (leaking, clean))
    assert (first.indices, second.indices) == ((1,), ())
    names = [in_memory(dataset, DataSection(val_fraction=0.4)).fingerprint for dataset in (leaking, clean)]
    assert names[0] != names[1]


@pytest.mark.parametrize("name", ["a/b", "../x", "C:\\x"])
def test_any_name_of_a_dataset_is_remembered_inside_the_cache(cache: Path, name: str) -> None:
    dataset = replace(drawn_scenes(), name=name)
    drawn_leaks(dataset, no_progress)
    assert [path.parent for path in cache.parent.rglob("*.json")] == [cache / "duplicates"]
    delete_leaks(name)
    assert list((cache / "duplicates").iterdir()) == []
