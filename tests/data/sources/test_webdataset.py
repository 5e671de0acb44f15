"""Tests of WebDataset: written, read again, and read as others write it."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.types import Dataset, Split, no_progress
from tenfold.data.webdataset_writer import write_webdataset

NOISE = np.random.default_rng(0).integers(0, 256, (14, 8, 10, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def labeled(start: int, stop: int) -> dict[str, bytes]:
    return {
        f"a/{row:03}.{kind}": content
        for row in range(start, stop)
        for kind, content in (("cls", str(row % 2).encode()), ("png", png(NOISE[row])))
    }


def test_an_exported_dataset_is_read_again_with_classes_splits_and_groups(tmp_path: Path) -> None:
    labels = np.arange(10) % 2
    groups = tuple(f"g{row // 2}" for row in range(10))
    train, test = Split(NOISE[:10], labels, groups=groups), Split(NOISE[10:], labels[:4])
    count = write_webdataset(Dataset("noise", ("dög", "cat"), train, test), tmp_path / "tars", 3000, no_progress)
    assert count == len(list((tmp_path / "tars").glob("*.tar"))) > 3
    found = build_dataset(DataRequest(str(tmp_path / "tars")))
    assert set(found.classes) == {"dög", "cat"}
    assert (found.train.images == NOISE[:10]).all()
    assert (found.test.images == NOISE[10:]).all()
    assert [found.classes[label] for label in found.train.labels] == ["dög", "cat"] * 5
    assert found.train.groups == groups


def test_a_folder_a_file_and_a_pattern_of_tar_files_are_read(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"tars/part-{number:02}.tar", labeled(7 * number, 7 * number + 7))
    whole = build_dataset(DataRequest(str(tmp_path / "tars"), test_fraction=0.3))
    pattern = build_dataset(DataRequest(str(tmp_path / "tars/part-{00..01}.tar"), test_fraction=0.3))
    single = build_dataset(DataRequest(str(tmp_path / "tars/part-00.tar"), test_fraction=0.3))
    assert whole.fingerprint == pattern.fingerprint
    assert (len(whole.train) + len(whole.test), len(single.train) + len(single.test)) == (14, 7)
    assert single.image_size == (8, 10), "their own size, which a first pass has seen"
    assert single.train.paths is not None
    assert single.train.paths[0].startswith("part-00.tar/a/00")
    with pytest.raises(DataError, match=r"part-02\.tar does not exist, which .* names"):
        build_dataset(DataRequest(str(tmp_path / "tars/part-{00..02}.tar")))


def test_labels_are_read_from_json_by_a_known_or_named_field(tmp_path: Path) -> None:
    fields = [{"label": "ab"[row % 2], "other": "xyz"[row % 3]} for row in range(14)]
    members = {
        f"{row}.{kind}": content
        for row, each in enumerate(fields)
        for kind, content in (("jpg", png(NOISE[row])), ("json", json.dumps(each).encode()))
    }
    path = write_tar(tmp_path / "x.tar", members)
    assert build_dataset(DataRequest(str(path))).classes == ("a", "b")
    assert build_dataset(DataRequest(str(path), labels="label=other")).classes == ("x", "y", "z")
    with pytest.raises(DataError, match=r"has no field 'none' in its \.json"):
        build_dataset(DataRequest(str(path), labels="label=none"))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.png": png(NOISE[0]), "1.json": b"{"}, "has a class that cannot be read"),
        ({"1.png": png(NOISE[0]), "1.json": b"[]"}, "no object"),
        ({"1.png": png(NOISE[0]), "1.json": b"{}"}, "no class of any; expected WebDataset"),
    ],
)
def test_what_is_wrong_with_a_tar_file_is_said(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        build_dataset(DataRequest(str(write_tar(tmp_path / "x.tar", members))))


def test_a_tar_file_of_class_folders_with_json_files_is_an_archive_as_before(tmp_path: Path) -> None:
    members = {f"{row % 2}/{row}.png": png(NOISE[row]) for row in range(14)}
    path = write_tar(tmp_path / "x.tar", {**members, "0/0.json": b"{}"})
    assert len(build_dataset(DataRequest(str(path))).train) == 12


def test_a_damaged_tar_file_in_a_folder_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "tars/part-0.tar", labeled(0, 14))
    path.write_bytes(path.read_bytes()[:5000] + bytes(range(256)) * 10)
    with pytest.raises(DataError, match=r"part-0\.tar cannot be read as a tar file"):
        build_dataset(DataRequest(str(path.parent)))


def test_images_are_read_from_tar_files_and_folders_without_a_copy(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "tars/part-0.tar", labeled(0, 14)).parent
    folder = tmp_path / "folder"
    for row in range(14):
        (folder / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        (folder / "ab"[row % 2] / f"{row:02}.png").write_bytes(png(NOISE[row]))
    for source in (path, folder):
        request = DataRequest(str(source), store="none", image_size=(8, 10))
        without, stored = build_dataset(request), build_dataset(replace(request, store="cache"))
        for ours, theirs in zip(without.splits().values(), stored.splits().values(), strict=True):
            assert (np.asarray(ours.images) == theirs.images).all()
            assert (ours.labels == theirs.labels).all()
            assert ours.paths == theirs.paths
        assert (without.train.images[[3, 0, 3]] == stored.train.images[[3, 0, 3]]).all()
        with pytest.raises(DataError, match="needs the size that images get"):
            build_dataset(replace(request, image_size="auto"))
    (folder / "a" / "00.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a/00\.png cannot be read: .*; remove it, or leave data\.store"):
        [np.asarray(split.images) for split in build_dataset(request).splits().values()]
    np.savez(tmp_path / "x.npz", images=NOISE, labels=np.arange(14) % 2)
    with pytest.raises(DataError, match="is neither; leave data"):
        build_dataset(DataRequest(str(tmp_path / "x.npz"), store="none", image_size=8))
