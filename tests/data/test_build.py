"""Tests of building datasets from folders, archives, CIFAR and shapes."""

import io
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from harness.images import class_tree, encoded, noise, png, write_tree
from harness.needs import CIFAR10_JPEG, needs_real_data
from tenfold.core.errors import DataError, DownloadError, StorageError
from tenfold.data import build
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.sources.cifar import CifarArrays
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.store.cache_key import archive_digest, dataset_name
from tenfold.data.store.format import read_index
from tenfold.data.store.scan import check_labels, choose_size
from tenfold.data.store.store import list_stores
from tenfold.inspect.balance import label_warnings

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def few_shapes(monkeypatch):
    monkeypatch.setattr(build, "build_shapes", lambda *counts: build_shapes(*(counts or (200, 40))))


@pytest.fixture
def pets(tmp_path):
    return class_tree(tmp_path / "My pets!", {"train/cat": 6, "train/dog": 4, "test/cat": 2, "test/dog": 1})


def dataset_of(source: Path | str, **keys: object):
    return build_dataset(DataRequest(str(source), **keys))


def test_a_folder_becomes_a_dataset(pets):
    dataset = dataset_of(pets)
    assert (dataset.name, dataset.classes, dataset.fit) == ("My-pets", ("cat", "dog"), "crop")
    assert (len(dataset.train), len(dataset.test), dataset.val) == (10, 3, None)
    assert dataset.train.paths[6] == "train/dog/0.png"
    assert (dataset.train.images[6] == noise(seed=6)).all()
    assert dataset.train.labels.tolist() == [0] * 6 + [1] * 4
    assert dataset.notes == ()


def test_the_second_time_nothing_is_decoded(pets, monkeypatch):
    first = dataset_of(pets)
    monkeypatch.setattr("tenfold.data.store.writer.decode_all", None)
    assert dataset_of(pets).fingerprint == first.fingerprint


def test_a_changed_folder_is_decoded_again(pets):
    before = dataset_of(pets)
    (pets / "train/cat/0.png").write_bytes(png(99))
    after = dataset_of(pets)
    assert after.fingerprint != before.fingerprint
    assert (after.train.images[0] == noise(seed=99)).all()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_an_archive_gives_the_same_as_the_folder(pets, tmp_path, kind):
    packed = tmp_path / f"pets.{kind}"
    files = [path for path in sorted(pets.rglob("*")) if path.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for path in reversed(files):
                archive.write(path, path.relative_to(pets).as_posix())
    else:
        with tarfile.open(packed, f"w:{kind[4:]}") as archive:
            for path in reversed(files):
                archive.add(path, path.relative_to(pets).as_posix())
    from_archive, from_folder = dataset_of(packed), dataset_of(pets)
    assert from_archive.name == "pets"
    assert from_archive.fingerprint == from_folder.fingerprint
    assert from_archive.train.paths == from_folder.train.paths


def test_nothing_is_written_beside_the_images(pets):
    before = sorted(pets.parent.rglob("*"))
    dataset_of(pets)
    assert [path for path in sorted(pets.parent.rglob("*")) if "cache" not in path.parts] == before


def test_without_a_test_folder_a_stratified_fraction_is_drawn(tmp_path):
    root = class_tree(tmp_path / "data", {"a": 20, "b": 10})
    dataset = dataset_of(root, test_fraction=0.3, split_seed=5)
    assert Counter(dataset.test.labels.tolist()) == {0: 6, 1: 3}
    assert not set(dataset.test.paths) & set(dataset.train.paths)
    assert "no test folder: 0.3 of each class was drawn for testing (9 images, seed 5)" in dataset.notes[0]
    assert dataset_of(root, test_fraction=0.3, split_seed=5).test.paths == dataset.test.paths
    assert dataset_of(root, test_fraction=0.3, split_seed=6).test.paths != dataset.test.paths


@pytest.mark.parametrize("source", ["auto", "cifar10", "cifar100", "shapes", "pets"])
def test_a_data_dir_that_does_not_exist_is_refused_and_not_made(pets, tmp_path, cache, source):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(
        DataError, match=r"nowhere does not exist; expected a folder that holds CIFAR .*: mkdir .*nowhere"
    ):
        dataset_of(pets if source == "pets" else source, data_dir=str(nowhere))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is no folder; expected a folder that holds CIFAR or receives its"):
        dataset_of("auto", data_dir=str(tmp_path / "file"))
    assert not nowhere.exists()
    assert not cache.exists()


def test_a_data_dir_without_effect_is_noted(pets, tmp_path, cache):
    note = f"data_dir {tmp_path} has no effect on My-pets: it names a folder of CIFAR"
    assert note in dataset_of(pets, data_dir=str(tmp_path)).notes
    assert note not in dataset_of(pets).notes


def test_a_data_dir_that_is_gone_does_not_matter_where_its_images_are_prepared(tmp_path, cache, monkeypatch):
    images, labels = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8), np.arange(20) % 10
    arrays = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    arrays["classes"] = tuple("abcdefghij")
    monkeypatch.setattr("tenfold.data.build.load_cifar", lambda *_, **__: SimpleNamespace(**arrays))
    (tmp_path / "usb").mkdir()
    first = dataset_of("cifar10", data_dir=str(tmp_path / "usb"))
    (tmp_path / "usb").rmdir()
    assert dataset_of("cifar10", data_dir=str(tmp_path / "usb")).fingerprint == first.fingerprint


def test_a_dataset_knows_which_splits_were_drawn(pets, tmp_path):
    flat = class_tree(tmp_path / "flat", {"cat": 10, "dog": 10})
    assert dataset_of(pets).drawn == ()
    assert dataset_of(pets, val_fraction=0.25).drawn == ("val",)
    assert dataset_of(flat).drawn == dataset_of(flat).drawn == ("test",)
    assert dataset_of(flat, val_fraction=0.25).drawn == ("test", "val")


def test_a_store_from_before_drawn_splits_were_listed_tells_them_by_its_note(tmp_path):
    drawn, given = class_tree(tmp_path / "flat", {"cat": 10, "dog": 10}), tmp_path / "given"
    class_tree(given, {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    for source in (drawn, given):
        dataset_of(source)
    for store in list_stores():
        file = store.path / "index.json"
        value = json.loads(file.read_text("utf-8"))
        del value["drawn"]
        file.write_text(json.dumps(value), "utf-8")
        assert read_index(store.path).drawn == (("test",) if store.name == "flat" else ())


def test_validation_is_drawn_from_train_by_the_seed(pets):
    plain, drawn = dataset_of(pets), dataset_of(pets, val_fraction=0.25)
    assert Counter(drawn.val.labels.tolist()) == {0: 2, 1: 1}
    assert sorted(drawn.val.paths + drawn.train.paths) == sorted(plain.train.paths)
    assert (drawn.test.images == plain.test.images).all()
    assert dataset_of(pets, val_fraction=0.25).fingerprint == drawn.fingerprint != plain.fingerprint


def test_a_val_folder_wins_over_the_fraction(tmp_path):
    root = class_tree(tmp_path / "d", {"train/a": 4, "train/b": 4, "test/a": 1, "test/b": 1, "valid/a": 2})
    dataset = dataset_of(root, val_fraction=0.5)
    assert (len(dataset.train), len(dataset.val)) == (8, 2)
    assert dataset.notes == ()
    missing = [warning for warning in label_warnings(dataset) if "no val images" in warning]
    assert missing == ["1 class has no val images: 'b'"]  # said once, there


def test_small_images_of_one_size_keep_it_even_if_not_square(tmp_path):
    root = class_tree(tmp_path / "d", {"a": 4, "b": 4}, height=20, width=48)
    assert dataset_of(root).image_size == (20, 48)


def test_photos_are_brought_to_a_size_that_is_reported(tmp_path):
    root = class_tree(tmp_path / "d", {"a": 3, "b": 3}, height=80, width=100)
    write_tree(root, {"a/x.png": png(70, height=90, width=70)})
    dataset = dataset_of(root)
    assert dataset.image_size == (64, 64)
    expected = "images have different sizes (median 100×80): brought to 64×64 by center crop; "
    assert expected + "change with --set data.image_size=…" in dataset.notes


@pytest.mark.parametrize(("size", "expected"), [(16, (16, 16)), ((12, 20), (12, 20))])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_requested_size_is_made(pets, size, expected, fit):
    dataset = dataset_of(pets, image_size=size, fit=fit)
    assert (dataset.image_size, dataset.fit, dataset.notes) == (expected, fit, ())


@pytest.mark.parametrize(
    ("sizes", "chosen", "note"),
    [
        ({}, (32, 32), ""),
        ({(28, 28): 9}, (28, 28), ""),
        ({(64, 40): 9}, (64, 40), ""),
        ({(4, 40): 9}, (32, 32), "images are 40×4: brought to 32×32 by center crop"),
        ({(96, 96): 9}, (64, 64), "images are 96×96: brought to 64×64"),
        ({(30, 40): 9, (32, 40): 1}, (32, 32), r"different sizes \(median 40×30\): brought to 32×32"),
    ],
)
def test_the_size_is_chosen_from_the_images(sizes, chosen, note):
    size, text = choose_size(Counter(sizes), "crop")
    assert size == chosen
    assert bool(text) == bool(note)
    if note:
        with pytest.raises(DataError, match=note):
            raise DataError(text)


@pytest.mark.parametrize("size", ["auto", 16])
def test_a_dataset_knows_the_median_size_of_its_training_images_in_their_files(tmp_path, size):
    large = encoded(Image.new("RGB", (600, 400)), "JPEG")
    files = {f"train/{name}/{n}.jpg": large if n < 3 else png(n, 80, 50) for name in "ab" for n in range(5)}
    files |= {f"test/{name}/{n}.png": png(10 + n, 90, 90) for name in "ab" for n in range(9)}
    source = write_tree(tmp_path / "photos", files)
    assert dataset_of(source, image_size=size).typical_size == (400, 600)
    assert dataset_of(source, image_size=size).typical_size == (400, 600)  # from the store
    assert dataset_of("shapes", image_size=16).typical_size == (32, 32)


def test_unreadable_images_are_listed_and_left_out(tmp_path):
    root = class_tree(tmp_path / "d", {"train/a": 20, "train/b": 20, "test/a": 2, "test/b": 2})
    write_tree(root, {"train/a/3.png": b"", "train/b/notes.txt": b"text"})
    dataset = dataset_of(root)
    assert {one.path: one.reason for one in dataset.skipped} == {
        "train/a/3.png": "the file is empty",
        "train/b/notes.txt": "not an image: .txt",
    }
    assert "train/a/3.png" not in dataset.train.paths
    assert (dataset.train.images[3] == noise(seed=4)).all()
    assert dataset.train.labels.tolist() == [0] * 19 + [1] * 20


def test_too_many_unreadable_images_are_an_error(pets):
    write_tree(pets, {"train/cat/0.png": b"", "train/cat/1.png": b"no image"})
    with pytest.raises(
        DataError, match=r"2 of 13 images .* cannot be read \(at most 5 % may be unreadable\): train/cat/0"
    ) as e:
        dataset_of(pets)
    assert "--set data.max_unreadable=0.16" in str(e.value)
    assert len(dataset_of(pets, max_unreadable=0.16).train) == 8
    with pytest.raises(DataError, match="2 of 13"):
        dataset_of(pets)


def test_a_class_without_a_readable_image_is_named(pets):
    for number in range(4):
        write_tree(pets, {f"train/dog/{number}.png": b""})
    with pytest.raises(DataError, match="has no readable training image of dog"):
        dataset_of(pets, max_unreadable=0.9)


def test_an_image_in_train_and_test_is_reported_with_both_paths(pets):
    write_tree(pets, {"test/cat/0.png": png(2), "test/dog/0.png": encoded(Image.fromarray(noise(seed=7)), "BMP")})
    assert dataset_of(pets).notes == (
        "the same image is in train and test: train/cat/2.png and test/cat/0.png, and 1 more; "
        "results would look better than they are",
    )


@pytest.mark.parametrize("keys", [{"image_size": 4}, {"image_size": (32, 4000)}])
def test_a_size_out_of_range_is_refused(keys):
    with pytest.raises(DataError, match=r"data\.image_size is .*; expected 8 to 1024 pixels, or auto"):
        DataRequest(**keys)


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(DataError, match=r"cifar1 does not exist; did you mean 'cifar10'\?.* shapes, cifar10, cifar100"):
        dataset_of("cifar1")


def test_an_empty_validation_split_is_refused(tmp_path):
    root = class_tree(tmp_path / "d", {"train/a": 1, "train/b": 1, "test/a": 1})
    with pytest.raises(DataError, match=r"none left for validation; set data\.val_fraction=0"):
        dataset_of(root, val_fraction=0.1)


@pytest.mark.parametrize(
    ("classes", "train", "test", "message"),
    [
        (("a",), [0], [0], "x has 1 class; expected two or more"),
        (("a", "b"), [0, 2], [0], "labels from 0 to 2; expected 0 to 1 for 2 classes"),
        (("a", "b"), [0, -1], [0], "labels from -1 to 0"),
        (("a", "b"), [0, 0], [0], "no readable training image of b"),
        (("a", "b"), [0, 1], [], "no readable test image"),
    ],
)
def test_labels_that_cannot_be_trained_on_are_refused(classes, train, test, message):
    labels = {"train": np.array(train, dtype=np.int64), "test": np.array(test, dtype=np.int64)}
    with pytest.raises(DataError, match=message):
        check_labels(classes, labels, "x")


def test_shapes_come_from_the_store(few_shapes):
    dataset = dataset_of("shapes")
    drawn = build_shapes(200, 40)
    assert (dataset.name, dataset.classes) == ("shapes", drawn.classes)
    assert (dataset.train.images == drawn.train.images).all()
    assert (dataset.test.labels == drawn.test.labels).all()
    assert dataset.train.paths is None


def test_shapes_can_have_another_size(few_shapes):
    assert dataset_of("shapes", image_size=(24, 40), fit="pad").image_size == (24, 40)


def tiny_cifar(name, **_):
    images = np.stack([noise(32, 32, seed) for seed in range(6)])
    labels = np.array([0, 1] * 3)
    return CifarArrays(images[:4], labels[:4], images[4:], labels[4:], ("airplane", "automobile"))


def test_cifar_comes_from_the_store(monkeypatch):
    monkeypatch.setattr(build, "load_cifar", tiny_cifar)
    first = dataset_of("cifar100")
    monkeypatch.setattr(build, "load_cifar", None)
    again = dataset_of("cifar100")
    assert (again.name, len(again.train), len(again.test)) == ("cifar100", 4, 2)
    assert again.fingerprint == first.fingerprint


def test_auto_downloads_cifar_and_keeps_it(monkeypatch):
    monkeypatch.setattr(build, "load_cifar", tiny_cifar)
    monkeypatch.setattr(build, "downloadable", lambda source: True)
    assert dataset_of("auto").name == "cifar10"
    monkeypatch.setattr(build, "downloadable", None)
    assert dataset_of("auto").name == "cifar10"


def test_auto_falls_back_to_shapes_with_a_note(few_shapes, monkeypatch):
    monkeypatch.setattr(build, "downloadable", lambda source: False)
    descriptions = []
    dataset = build_dataset(DataRequest("auto"), lambda *progress: descriptions.append(progress[0]))
    assert dataset.name == "shapes"
    assert dataset.notes[0] == "no CIFAR-10 here and its host cannot be reached: using the built-in shapes"
    assert "Looking for CIFAR-10" in descriptions


def test_auto_falls_back_when_the_download_fails(few_shapes, monkeypatch):
    def fail(name, **_):
        raise DownloadError("reset")

    monkeypatch.setattr(build, "load_cifar", fail)
    monkeypatch.setattr(build, "downloadable", lambda source: True)
    assert "its host does not deliver it: using the built-in shapes" in dataset_of("auto").notes[0]


def test_progress_is_reported(pets):
    calls = []
    build_dataset(DataRequest(str(pets)), lambda *progress: calls.append(progress))
    assert calls[-1] == ("Preparing images", 13, 13)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("My cats & dogs.tar.gz", "My-cats-dogs"),
        ("cifar10-jpeg.tar.xz", "cifar10-jpeg"),
        ("mein O\u0308rdner", "mein-Ördner"),  # decomposed, as macOS wrote names
        ("猫.zip", "猫"),
        ("हिन्दी तस्वीरें", "हिन्दी-तस्वीरें"),
        ("a\u2028b\u200fc\udcff", "a-b-c"),
        ("..", "pictures"),
        ("a" * 99, "a" * 40),
    ],
)
def test_names_are_usable_as_folder_names(path, name):
    assert dataset_name(Path(path)) == name


def test_an_archive_is_identified_by_its_bytes(tmp_path, monkeypatch):
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert archive_digest(one) == archive_digest(two)
    monkeypatch.setattr("tenfold.data.store.cache_key._MAX_HASHED", 1)
    monkeypatch.setattr("tenfold.data.store.cache_key._END_BYTES", 2)
    before = archive_digest(one)
    one.write_bytes(b"sama")
    assert archive_digest(one) != before


def test_a_damaged_archive_is_refused(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("a/1.png", "b/1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(png())
            archive.addfile(member, io.BytesIO(png()))
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(stream.getvalue()[:-40])
    with pytest.raises(DataError, match=r"cut\.tar\.gz cannot be read as an archive"):
        dataset_of(path)


def test_a_cache_that_cannot_be_written_is_one_clear_line(pets, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="TENFOLD_CACHE"):
        dataset_of(pets)


@needs_real_data
def test_one_in_a_hundred_real_images_is_decoded(tmp_path):
    few = tmp_path / "few.tar"
    with tarfile.open(CIFAR10_JPEG) as source, tarfile.open(few, "w") as target:
        for member in source:
            if member.name.endswith("00.jpg"):
                target.addfile(member, source.extractfile(member))
    dataset = dataset_of(few, max_unreadable=0)
    assert dataset.image_size == (32, 32)
    assert (len(dataset.train), len(dataset.test), len(dataset.classes)) == (500, 100, 10)
    assert dataset.skipped == ()
    assert 100 < dataset.train.images.mean() < 140
    assert dataset.notes == ()


def test_the_store_of_auto_serves_the_size_that_was_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (20, 16), (number, 0, 0)).save(folder / name / f"{number}.png")
    chosen = build_dataset(DataRequest(str(folder)))
    named = build_dataset(DataRequest(str(folder), image_size=chosen.image_size))
    assert named.fingerprint == chosen.fingerprint
    assert [store.name for store in list_stores()].count("pets") == 1
