"""Tests of loading CIFAR: folders, archives and downloads, also damaged ones."""

import hashlib
import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.nasty_server import serving
from tenfold.core.errors import DataError, DownloadError, UsageError
from tenfold.data.sources.cifar import CifarArrays, downloadable, find_cifar, load_cifar, mirrors, source_named
from tenfold.data.sources.cifar_files import CIFAR10, CIFAR100, CifarForm, CifarSource, Part

COUNT = 6  # images in a file


def rows_and_labels(seed: int, classes: int) -> tuple[np.ndarray, list[int]]:
    """Returns rows in CIFAR's format, uint8 [COUNT, 3072], and their labels."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (COUNT, 3072), np.uint8), draw.integers(0, classes, COUNT).tolist()


def file_content(source: CifarSource, form: CifarForm, seed: int) -> bytes:
    rows, labels = rows_and_labels(seed, len(source.classes))
    if not form.binary:
        coarse = [0] * COUNT
        return pickle.dumps({b"data": rows, b"coarse_labels": coarse, source.label_key: labels}, protocol=2)
    before = np.zeros((COUNT, source.label_bytes), np.uint8)
    before[:, -1] = labels
    return np.concatenate([before, rows], axis=1).tobytes()


def small_source(source: CifarSource, number: int, folder: Path) -> tuple[CifarSource, CifarForm, dict[str, bytes]]:
    """Returns `source` cut down to a few images in one of its forms, and its files."""
    form = source.forms[number]
    names = [part.name for part in (*form.train, *form.test)]
    files = {name: file_content(source, form, seed) for seed, name in enumerate(names)}
    parts = {name: Part(name, COUNT, hashlib.md5(data).hexdigest() * (not form.binary)) for name, data in files.items()}
    archive = pack(form.folder, files)
    form = replace(
        form,
        md5=hashlib.md5(archive).hexdigest(),
        size=len(archive),
        train=tuple(parts[part.name] for part in form.train),
        test=tuple(parts[part.name] for part in form.test),
    )
    (folder / form.archive).write_bytes(archive)
    (folder / form.folder).mkdir()
    for name, data in files.items():
        (folder / form.folder / name).write_bytes(data)
    return replace(source, forms=(form,), mirrors=("https://tenfold.invalid",)), form, files


def pack(folder: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def assert_equal(arrays: CifarArrays, source: CifarSource) -> None:
    form = source.forms[0]
    seeds = range(len(form.train) + len(form.test))
    expected = [rows_and_labels(seed, len(source.classes)) for seed in seeds]
    rows = np.concatenate([rows for rows, _ in expected])
    labels = np.concatenate([labels for _, labels in expected])
    images = np.concatenate([arrays.train_images, arrays.test_images])
    assert images.dtype == np.uint8
    assert images.shape == (COUNT * len(seeds), 32, 32, 3)
    assert images[3, 5, 7, 2] == rows[3, 2 * 1024 + 5 * 32 + 7]
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(-1, 3072), rows)
    assert arrays.train_labels.dtype == arrays.test_labels.dtype == np.int64
    np.testing.assert_array_equal(np.concatenate([arrays.train_labels, arrays.test_labels]), labels)
    assert arrays.classes == source.classes


FORMS = [(CIFAR10, 0), (CIFAR10, 1), (CIFAR100, 0), (CIFAR100, 1)]
NAMES = ["cifar10", "cifar10 binary", "cifar100", "cifar100 binary"]
every_form = pytest.mark.parametrize(("full", "number"), FORMS, ids=NAMES)


@every_form
def test_an_extracted_folder_is_read(tmp_path: Path, full: CifarSource, number: int) -> None:
    source, form, _ = small_source(full, number, tmp_path)
    (tmp_path / form.archive).unlink()
    assert find_cifar(source, tmp_path, tmp_path / "cache") == tmp_path / form.folder
    assert_equal(load_cifar(source, data_dir=tmp_path, cache=tmp_path / "cache"), source)
    assert_equal(load_cifar(source, data_dir=tmp_path / form.folder, cache=tmp_path / "cache"), source)
    assert {path.name for path in tmp_path.iterdir()} == {form.folder}


@every_form
def test_an_archive_is_read_without_extracting(tmp_path: Path, full: CifarSource, number: int) -> None:
    source, form, files = small_source(full, number, tmp_path)
    for name in files:
        (tmp_path / form.folder / name).unlink()
    steps: list[tuple[str, int, int]] = []
    assert_equal(
        load_cifar(source, data_dir=tmp_path, cache=tmp_path, progress=lambda *step: steps.append(step)),
        source,
    )
    assert steps[-1] == (f"Reading {source.name}", len(files), len(files))
    assert not list((tmp_path / form.folder).iterdir())


@every_form
def test_a_missing_dataset_is_downloaded(
    tmp_path: Path, full: CifarSource, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, form, _ = small_source(full, number, tmp_path)
    with serving((tmp_path / form.archive).read_bytes()) as served:
        monkeypatch.setenv("TENFOLD_MIRRORS", f" {served.url}/,https://tenfold.invalid ")
        assert downloadable(source)
        assert_equal(load_cifar(source, data_dir=None, cache=tmp_path / "cache"), source)
        assert_equal(load_cifar(source, data_dir=None, cache=tmp_path / "cache"), source)
        assert len(served.ranges) == 1
    assert find_cifar(source, None, tmp_path / "cache") == tmp_path / "cache/downloads" / form.archive


def test_it_is_downloaded_into_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, form, _ = small_source(CIFAR10, 0, tmp_path)
    with serving((tmp_path / form.archive).read_bytes()) as served:
        monkeypatch.setenv("TENFOLD_MIRRORS", served.url)
        load_cifar(source, data_dir=tmp_path / "mine", cache=tmp_path / "cache")
    assert (tmp_path / "mine" / form.archive).is_file()
    assert not (tmp_path / "cache").exists()


def test_a_failed_download_leaves_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, form, _ = small_source(CIFAR10, 0, tmp_path)
    with serving(b"", "404") as served:
        monkeypatch.setenv("TENFOLD_MIRRORS", served.url)
        assert not downloadable(source)
        with pytest.raises(DownloadError, match=rf"{form.archive} could not be downloaded.*{form.md5}"):
            load_cifar(source, data_dir=None, cache=tmp_path / "cache")
    assert find_cifar(source, None, tmp_path / "cache") is None


@pytest.mark.parametrize("change", ["cut", "altered", "empty"])
@pytest.mark.parametrize("where", ["data_batch_3", "archive"])
def test_a_cut_or_altered_file_is_named_with_both_checksums(tmp_path: Path, where: str, change: str) -> None:
    source, form, files = small_source(CIFAR10, 0, tmp_path)
    path = tmp_path / form.folder / where
    if where == "archive":
        for name in files:
            (tmp_path / form.folder / name).unlink()
        path = tmp_path / form.archive
    data = path.read_bytes()
    expected = hashlib.md5(data).hexdigest()
    changes = {"cut": data[:-100], "altered": data[:500] + bytes([data[500] ^ 1]) + data[501:], "empty": b""}
    path.write_bytes(changes[change])
    actual = hashlib.md5(changes[change]).hexdigest()
    with pytest.raises(DataError, match=rf"{path.name} \(\d+ bytes\) has MD5 {actual}, expected {expected}") as caught:
        load_cifar(source, data_dir=tmp_path, cache=tmp_path)
    assert "--data-dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == changes[change]


@pytest.mark.parametrize("full", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_a_cut_binary_file_is_named_with_both_sizes(tmp_path: Path, full: CifarSource) -> None:
    source, form, files = small_source(full, 1, tmp_path)
    name = form.test[0].name
    (tmp_path / form.folder / name).write_bytes(files[name][:-1])
    size = len(files[name])
    with pytest.raises(DataError, match=f"{name} holds {size - 1} bytes, expected {size}; move it away"):
        load_cifar(source, data_dir=tmp_path, cache=tmp_path)


def test_an_archive_wins_over_an_incomplete_folder(tmp_path: Path) -> None:
    source, form, _ = small_source(CIFAR10, 0, tmp_path)
    (tmp_path / form.folder / "data_batch_4").unlink()
    assert_equal(load_cifar(source, data_dir=tmp_path, cache=tmp_path), source)


def test_an_incomplete_folder_alone_is_an_error_with_the_missing_files(tmp_path: Path) -> None:
    source, form, _ = small_source(CIFAR10, 0, tmp_path)
    (tmp_path / form.archive).unlink()
    (tmp_path / form.folder / "data_batch_4").unlink()
    (tmp_path / form.folder / "test_batch").unlink()
    with pytest.raises(DataError, match=f"{form.folder} lacks data_batch_4, test_batch; .*--data-dir"):
        load_cifar(source, data_dir=tmp_path, cache=tmp_path)


def without_checksums(source: CifarSource) -> CifarSource:
    form = source.forms[0]
    train, test = (tuple(replace(part, md5="") for part in parts) for parts in (form.train, form.test))
    return replace(source, forms=(replace(form, train=train, test=test),))


ROWS = np.zeros((COUNT, 3072), np.uint8)
WRONG = {
    "no data": ({b"labels": [0] * COUNT}, "holds pixels of shape no array"),
    "too few rows": ({b"data": ROWS[1:], b"labels": [0] * COUNT}, r"shape \[5, 3072\], expected \[6, 3072\]"),
    "no labels": ({b"data": ROWS}, "holds no labels"),
    "labels as text": ({b"data": ROWS, b"labels": ["0"] * COUNT}, "holds no labels"),
    "too few labels": ({b"data": ROWS, b"labels": [0]}, "holds 1 labels, expected 6"),
    "label out of range": ({b"data": ROWS, b"labels": [0, 1, 2, 3, 4, 10]}, "labels from 0 to 10, expected 0 to 9"),
    "negative label": ({b"data": ROWS, b"labels": [0, 1, 2, 3, 4, -1]}, "labels from -1 to 4, expected 0 to 9"),
    "huge label": ({b"data": ROWS, b"labels": [0, 1, 2, 3, 4, 1 << 70]}, "expected 0 to 9"),
    "another type": ([1, 2], "is refused"),
}


@pytest.mark.parametrize("name", WRONG)
def test_batches_with_other_content_are_refused(tmp_path: Path, name: str) -> None:
    source, form, _ = small_source(CIFAR10, 0, tmp_path)
    value, message = WRONG[name]
    (tmp_path / form.folder / "test_batch").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(DataError, match=message):
        load_cifar(without_checksums(source), data_dir=tmp_path, cache=tmp_path)


def test_a_complete_archive_without_a_file_is_an_error(tmp_path: Path) -> None:
    source, form, files = small_source(CIFAR10, 0, tmp_path)
    del files["data_batch_2"]
    archive = pack(form.folder, files)
    source = replace(source, forms=(replace(form, md5=hashlib.md5(archive).hexdigest()),))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / form.archive).write_bytes(archive)
    with pytest.raises(DataError, match=rf"{form.archive} lacks data_batch_2;"):
        load_cifar(source, data_dir=tmp_path / "other", cache=tmp_path)


def test_the_environment_replaces_the_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENFOLD_MIRRORS", raising=False)
    assert mirrors(CIFAR10) == ("https://www.cs.toronto.edu/~kriz",)
    monkeypatch.setenv("TENFOLD_MIRRORS", "https://a.example/x/, https://b.example,")
    assert mirrors(CIFAR10) == ("https://a.example/x/", "https://b.example")


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown data 'cifar1O'; did you mean 'cifar10'"):
        source_named("cifar1O")


def test_the_published_datasets_are_described_completely() -> None:
    for source, classes in ((CIFAR10, 10), (CIFAR100, 100)):
        assert len(set(source.classes)) == classes
        for form in source.forms:
            assert sum(part.count for part in form.train) == 50_000
            assert sum(part.count for part in form.test) == 10_000
            assert len(form.md5) == 32
