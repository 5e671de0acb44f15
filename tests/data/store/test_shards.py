"""Tests of large splits: stored in shards, read as an array is, prepared again from where a process was killed."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.decode.margin import centered, sides
from tenfold.data.request import DataRequest
from tenfold.data.store import shards
from tenfold.data.store.shards import Shard, ShardedImages, chosen, joined, sharded
from tenfold.data.store.store import delete_store, list_stores, list_unfinished, open_or_build, store_key
from tenfold.data.store.unfinished import finished_files, record_finished
from tenfold.data.store.writer import fill_from_arrays
from tenfold.data.types import Dataset, Split, no_progress

NOISE = np.random.default_rng(0).integers(0, 256, (50, 8, 10, 3), np.uint8)
SHARD = 7 * NOISE[0].nbytes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def stored(shard_size: int, name: str = "noise") -> Dataset:
    labels = np.arange(50) % 2
    dataset = Dataset(name, ("a", "b"), Split(NOISE, labels), Split(NOISE[:5], labels[:5]))
    request = DataRequest("x", shard_size=shard_size)
    key = store_key(name, shard_size)
    return open_or_build(name, key, lambda folder: fill_from_arrays(folder, dataset, request, "", no_progress))


def test_a_large_split_is_stored_in_shards_and_has_the_fingerprint_of_one_file() -> None:
    large, small = stored(SHARD), stored(10**9)
    assert isinstance(large.train.images, ShardedImages)
    assert isinstance(large.test.images, np.ndarray), "a small split is a memory map as ever"
    assert isinstance(small.train.images, np.ndarray)
    (_, folder) = sorted((Path(store.path) for store in list_stores()), key=lambda path: len(list(path.iterdir())))
    assert len(list(folder.glob("train-images-*.npy"))) == 8
    assert (np.asarray(large.train.images) == NOISE).all()
    assert large.fingerprint == small.fingerprint
    assert large.train.digest() == small.train.digest()


@pytest.mark.parametrize(
    "key",
    [3, -1, np.int64(49), slice(5, 40), slice(None, None, -3), slice(9, 3), [4, 4, -50, 20], [], np.arange(50) % 3 == 0,
     np.array([[1, 2], [48, 7]]), (slice(2, 30), slice(1, 5)), (7, slice(None), 3)],
    ids=str,
)  # fmt: skip
def test_sharded_images_are_read_as_an_array_is(key: object) -> None:
    images = stored(SHARD).train.images
    assert (images.shape, images.ndim, images.dtype, images.nbytes) == (NOISE.shape, 4, np.uint8, NOISE.nbytes)
    found = images[key]  # type: ignore[index]
    assert found.shape == NOISE[key].shape  # type: ignore[index]
    assert (found == NOISE[key]).all()  # type: ignore[index]


def test_sharded_images_are_chosen_joined_and_cropped_without_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    images = stored(SHARD).train.images
    with pytest.raises(IndexError, match="out of range for 50 images"):
        images[[50]]
    few = np.array([30, 2, 3, 4, 44, 2])
    assert isinstance(chosen(images, few), np.ndarray), "a small choice is a copy"
    monkeypatch.setattr(shards, "_COPY_BELOW", 0)
    some = chosen(chosen(images, np.arange(49, -1, -1)), few)
    assert sharded(some) is not None
    assert (np.stack(list(some)) == NOISE[::-1][few]).all()
    both = joined([some, NOISE[:3], images])
    assert sharded(both) is not None
    assert (both[:] == np.concatenate([NOISE[::-1][few], NOISE[:3], NOISE])).all()
    small = centered(both, (4, 6))
    assert sides(small) == (4, 6)
    assert (small[[8, 0]] == centered(both[[8, 0]], (4, 6))).all()
    assert (pickle.loads(pickle.dumps(both))[5:9] == both[5:9]).all()


def test_a_shard_that_became_shorter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.npy"
    path.write_bytes(bytes(3 * 100))
    images = ShardedImages([Shard(path, 0, 2)], (10, 10))
    assert not images[0].any()
    with pytest.raises(DataError, match=r"short\.npy is shorter than it was"):
        images[1]


def photos(folder: Path, count: int = 30) -> Path:
    for index in range(count):
        path = folder / "train" / "ab"[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(NOISE[index]).save(path)
    (folder / "test").mkdir()
    for name in "ab":
        (folder / "test" / name).mkdir()
        Image.fromarray(NOISE[40]).save(folder / "test" / name / "x.png")
    return folder


def test_unreadable_images_leave_no_gap_in_shards(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    (source / "train" / "a" / "04.png").write_bytes(b"no image")
    request = DataRequest(str(source), image_size=(8, 10), shard_size=SHARD)
    train = build_dataset(request).train
    assert sharded(train.images) is not None
    assert len(train) == 29
    assert train.paths is not None
    for image, path, label in zip(train.images, train.paths, train.labels, strict=True):
        assert (image == NOISE[int(path[-6:-4])]).all()
        assert "ab"[label] in path


def test_the_record_of_a_lost_file_does_not_stand_for_one_that_is_half_written(tmp_path: Path) -> None:
    finished_files(tmp_path, {"size": 8})
    for name in ("kept", "lost"):
        record_finished(tmp_path, {"file": name, "bytes": 3})
    (tmp_path / "kept").write_bytes(b"abc")
    for _ in range(2):
        assert list(finished_files(tmp_path, {"size": 8})) == ["kept"]
        (tmp_path / "lost").write_bytes(bytes(3))  # as written by a process that is killed then


def test_preparing_goes_on_after_a_kill_without_doing_finished_shards_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = photos(tmp_path / "photos")
    (source / "train" / "a" / "02.png").write_bytes(b"no image")
    program = f"""
import os, signal
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.store import split_files

record = split_files.record_finished
def record_and_die(folder, line):
    record(folder, line)
    if line["file"].endswith("00002.npy"):
        os.kill(os.getpid(), signal.SIGKILL)
split_files.record_finished = record_and_die
build_dataset(DataRequest({str(source)!r}, shard_size={SHARD}))
"""
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = (cache / "stores").iterdir()
    before = {path.name: path.stat().st_ino for path in folder.glob("train-images-0000[012].npy")}
    assert len(before) == 3
    assert not list_stores(), "an unfinished store is not there yet"
    assert [(store.name, store.path) for store in list_unfinished()] == [("photos", folder)]

    monkeypatch.setattr("tenfold.data.store.writer.choose_size", None)  # nor are sizes looked at again
    train = build_dataset(DataRequest(str(source), shard_size=SHARD)).train
    (store,) = list_stores()
    assert {name: (store.path / name).stat().st_ino for name in before} == before
    assert not (store.path / "finished.jsonl").exists()
    assert not folder.exists()
    assert train.paths is not None
    assert all((image == NOISE[int(path[-6:-4])]).all() for image, path in zip(train.images, train.paths, strict=True))
    assert len(train) == 29

    folder.mkdir()
    (folder / "finished.jsonl").write_text('{"plan": {"size": [8, 10]}}\n')
    assert [deleted.path for deleted in delete_store("photos")] == [store.path, folder]
    assert not folder.exists()
