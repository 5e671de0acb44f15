"""Tests of stores: written, opened, damaged, shared, deleted."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tenfold.core import durable
from tenfold.core.errors import DataError, StorageError
from tenfold.data.store.format import Index, PixelFile, read_index, write_index
from tenfold.data.store.leak_cache import read_leaks, write_leaks
from tenfold.data.store.store import (
    delete_all,
    delete_store,
    list_stores,
    open_or_build,
    store_key,
)
from tenfold.data.types import Leak

KEY = store_key("test")
SPLITS = {"train": 4, "test": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(folder: Path, value: int = 0) -> None:
    for split, count in SPLITS.items():
        np.save(folder / f"{split}-images.npy", np.full((count, 8, 9, 3), value, np.uint8))
        np.save(folder / f"{split}-labels.npy", np.arange(count) % 2)
    index = Index("tiny", ("a", "b"), "pad", "made up", SPLITS, (("x.txt", "why"),), ("a note",))
    write_index(folder, index, {"train": ["1", "2", "3", "4"], "test": None})


def refuse(folder: Path) -> None:
    raise AssertionError("the store should have been there")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_store_keeps_the_groups_of_its_images():
    groups = {"train": ["x", "x", "y", ""], "test": ["z", "z"]}

    def fill_with_groups(folder: Path) -> None:
        fill(folder)
        write_index(folder, read_index(folder), {"train": None, "test": None}, groups)

    opened = open_or_build("tiny", KEY, fill_with_groups)
    assert {name: list(split.groups or ()) for name, split in opened.splits().items()} == groups
    assert open_or_build("tiny", store_key("other"), fill).train.groups is None


def test_names_of_many_images_are_read_when_one_is_asked_for(cache, monkeypatch):
    monkeypatch.setattr("tenfold.data.store.opening._LAZY_BYTES", 10)

    def fill_with_names(folder: Path) -> None:
        fill(folder)
        write_index(folder, read_index(folder), {"train": list("abcd"), "test": list("ef")})

    train = open_or_build("tiny", KEY, fill_with_names).train
    chosen = train.subset(np.array([3, 0]))
    path = cache / f"stores/tiny-{KEY}/paths.json"
    kept = path.read_bytes()
    path.write_bytes(b"x" * len(kept))
    assert len(train.paths) == 4, "nothing was read so far"
    with pytest.raises(DataError, match=r"paths\.json does not hold 4 names for train; delete"):
        train.paths[0]
    path.write_bytes(kept)
    assert chosen.paths == ("d", "a")
    assert train.paths[1:3] == ("b", "c")
    assert repr(train.paths) == repr(tuple("abcd"))


def test_a_store_is_built_once_and_opened_again():
    built = open_or_build("tiny", KEY, fill)
    opened = open_or_build("tiny", KEY, refuse)
    assert opened.classes == ("a", "b")
    assert (opened.name, opened.fit, opened.notes) == ("tiny", "pad", ("a note",))
    assert [(one.path, one.reason) for one in opened.skipped] == [("x.txt", "why")]
    assert opened.train.paths == ("1", "2", "3", "4")
    assert opened.test.paths is None
    assert opened.image_size == (8, 9)
    assert opened.fingerprint == built.fingerprint
    assert not opened.train.images.flags.writeable


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_store_returns_what_was_written(tmp_path_factory, data):
    size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    splits_in = {
        split: data.draw(arrays.arrays(np.uint8, (data.draw(st.integers(1, 6)), *size, 3)))
        for split in data.draw(st.sampled_from([("train", "test"), ("train", "test", "val")]))
    }
    paths = {split: data.draw(st.lists(st.text(), min_size=len(x), max_size=len(x))) for split, x in splits_in.items()}
    labels = {split: np.arange(len(images)) % 2 for split, images in splits_in.items()}
    orders = {split: data.draw(st.permutations(range(len(images)))) for split, images in splits_in.items()}

    def build(folder: Path) -> None:
        for split, images in splits_in.items():
            file = PixelFile(folder / f"{split}-images.npy", len(images), size)
            for row in orders[split]:
                file.write(row, images[row])
            file.complete()
            np.save(folder / f"{split}-labels.npy", labels[split])
        counts = {split: len(images) for split, images in splits_in.items()}
        write_index(folder, Index("any", ("a", "b"), "crop", "", counts), paths)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENFOLD_CACHE", str(tmp_path_factory.mktemp("cache")))
        splits = open_or_build("any", KEY, build).splits()
    assert list(splits) == list(splits_in)
    for name, split in splits.items():
        assert (split.images == splits_in[name]).all()
        assert (split.labels == labels[name]).all()
        assert split.paths == tuple(paths[name])


@given(st.lists(st.booleans(), max_size=20))
def test_rows_that_were_never_written_leave_no_gap(tmp_path_factory, present):
    path = tmp_path_factory.mktemp("pixels") / "images.npy"
    file = PixelFile(path, len(present), (2, 3))
    for row in np.flatnonzero(present)[::-1]:
        file.write(int(row), np.full((2, 3, 3), row, np.uint8))
    assert file.complete() == sum(present)
    found = np.load(path, mmap_mode="r")
    assert found.shape == (sum(present), 2, 3, 3)
    assert found[:, 0, 0, 0].tolist() == np.flatnonzero(present).tolist()


def test_equal_content_means_an_equal_fingerprint():
    one = open_or_build("one", store_key(1), fill)
    two = open_or_build("two", store_key(2), fill)
    other = open_or_build("other", store_key(3), lambda folder: fill(folder, value=1))
    assert one.fingerprint == two.fingerprint != other.fingerprint


def damage_cut(store: Path) -> None:
    path = store / "train-images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def damage_missing(store: Path) -> None:
    (store / "test-labels.npy").unlink()


def damage_manifest(store: Path) -> None:
    (store / "manifest.json").write_text("{")


def damage_index(store: Path) -> None:
    text = (store / "index.json").read_text()
    (store / "index.json").write_text("[" * len(text.encode()))


def damage_labels(store: Path) -> None:
    np.save(store / "train-labels.npy", np.full(4, 99))


@pytest.mark.parametrize("damage", [damage_cut, damage_missing, damage_manifest, damage_index, damage_labels])
def test_a_damaged_store_is_built_again_with_a_note(cache, damage):
    whole = open_or_build("tiny", KEY, fill)
    damage(cache / f"stores/tiny-{KEY}")
    rebuilt = open_or_build("tiny", KEY, fill)
    assert rebuilt.notes[-1].startswith("the store of tiny was damaged and was built again: ")
    assert rebuilt.fingerprint == whole.fingerprint
    assert open_or_build("tiny", KEY, refuse).notes == ("a note",)


def test_a_failed_build_leaves_nothing_behind(cache):
    def fail(folder: Path) -> None:
        fill(folder)
        raise DataError("no good")

    with pytest.raises(DataError, match="no good"):
        open_or_build("tiny", KEY, fail)
    assert files_in(cache / "stores") == []
    assert open_or_build("tiny", KEY, fill).name == "tiny"


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_behind(cache, monkeypatch):
    class Full(durable.Disk):
        def sync(self, path: Path) -> None:
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(durable, "disk", Full())
    with pytest.raises(StorageError, match="the disk is full"):
        open_or_build("tiny", KEY, fill)
    assert files_in(cache / "stores") == []


def build_slowly(cache: str, log: str) -> None:
    os.environ["TENFOLD_CACHE"] = cache

    def build(folder: Path) -> None:
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        fill(folder)

    assert len(open_or_build("tiny", KEY, build).train) == 4


def build_and_die(cache: str, log: str) -> None:
    os.environ["TENFOLD_CACHE"] = cache

    def build(folder: Path) -> None:
        fill(folder)
        Path(log).write_text("building")
        time.sleep(60)

    open_or_build("tiny", KEY, build)


def test_of_several_processes_one_builds_and_the_others_wait(cache, tmp_path):
    log = tmp_path / "builders"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=build_slowly, args=(str(cache), str(log))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(log.read_text().splitlines()) == 1


def test_a_killed_builder_leaves_no_lock_and_no_files(cache, tmp_path):
    log = tmp_path / "started"
    worker = multiprocessing.get_context("fork").Process(target=build_and_die, args=(str(cache), str(log)))
    worker.start()
    while not log.exists():
        time.sleep(0.01)
    worker.kill()
    worker.join(60)
    assert files_in(cache / "stores")
    open_or_build("tiny", KEY, fill)
    assert [path.name for path in (cache / "stores").iterdir()] == [f"tiny-{KEY}"]


def test_stores_are_listed_with_their_sizes(cache):
    assert list_stores() == []
    open_or_build("tiny", KEY, fill)
    open_or_build("small", store_key(2), fill)
    (cache / "stores/.tenfold-tmp-1-abcdefabcdef").mkdir()
    small, tiny = list_stores()
    assert (small.name, tiny.name, tiny.key, tiny.num_images) == ("small", "tiny", KEY, 6)
    assert tiny.bytes == sum(path.stat().st_size for path in tiny.path.iterdir())
    assert json.loads((tiny.path / "index.json").read_text())["created"] == tiny.created


def test_a_damaged_store_is_listed_and_can_be_deleted(cache):
    open_or_build("tiny", KEY, fill)
    (cache / f"stores/tiny-{KEY}/index.json").write_text("[]")
    assert list_stores()[0].num_images == 0
    assert [store.name for store in delete_store("tiny")] == ["tiny"]
    assert list_stores() == []


def test_stores_are_deleted_by_name_by_key_and_altogether():
    for number in range(3):
        open_or_build("tiny", store_key(number), fill)
    open_or_build("other", KEY, fill)
    assert [store.key for store in delete_store(store_key(1))] == [store_key(1)]
    assert len(delete_store("tiny")) == 2
    with pytest.raises(DataError, match=r"no prepared copy 'othr'; did you mean 'other'\? \(known: other\)"):
        delete_store("othr")
    assert [store.name for store in delete_all()] == ["other"]
    with pytest.raises(DataError, match=r"no prepared copy 'x' \(known: none\)"):
        delete_store("x")


def test_an_unwritable_cache_is_reported_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(StorageError, match=r"cannot create .*TENFOLD_CACHE"):
        open_or_build("tiny", KEY, fill)


def test_keys_depend_on_the_settings():
    assert store_key(1, "crop") == store_key(1, "crop") != store_key(1, "pad")


def test_an_index_of_another_version_is_refused(cache):
    def older(folder: Path) -> None:
        fill(folder)
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**index, "format": 0}))

    with pytest.raises(DataError, match="format 0; expected 1"):
        open_or_build("tiny", KEY, older)
    assert replace(open_or_build("tiny", KEY, fill), notes=()).name == "tiny"


def test_with_a_store_goes_what_was_remembered_of_its_duplicates(cache):
    dataset = open_or_build("tiny", KEY, fill)
    leak = Leak(2, 1, 0, (1,))
    for name in ("tiny", "tiny-2"):
        write_leaks(replace(dataset, name=name), 1, {"test": leak})
    delete_store("tiny")
    assert read_leaks(dataset, 1) is None
    assert read_leaks(replace(dataset, name="tiny-2"), 1) == {"test": leak}


def test_the_size_of_a_store_of_photos_is_told_when_it_is_built(cache):
    def fill_with_photos(folder: Path) -> None:
        fill(folder)
        for split, count in SPLITS.items():
            np.save(folder / f"{split}-images.npy", np.zeros((count, 64, 65, 3), np.uint8))

    built = open_or_build("photos", KEY, fill_with_photos)
    assert built.notes == ("a note", f"store: 6 images at 65×64, 74.9 kB in {cache}")
    assert open_or_build("photos", KEY, refuse).notes == ("a note",)
