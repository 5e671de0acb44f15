"""The typical size of the images of a source, from a few headers."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.images import png, write_tree
from tenfold.data import own_size
from tenfold.data.decode.decode import image_size
from tenfold.data.own_size import typical_size
from tenfold.data.request import DataRequest
from tenfold.data.store.size_cache import delete_sizes
from tenfold.data.types import no_progress


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder of two classes of 90×70 images, with a hidden folder of large ones and other files."""
    files = {f"train/{name}/{seed}.png": png(seed, 90, 70) for seed, name in enumerate(("cat", "dog") * 3)}
    files |= {".thumbs/large.png": png(0, 300, 300), "train/cat/notes.txt": b"none", "train/dog/broken.jpg": b"no"}
    return write_tree(tmp_path / "pets", files)


def size_of(path: Path) -> tuple[int, int] | None:
    return typical_size(DataRequest(str(path)), no_progress)


def test_folder_is_sampled_without_hidden_damaged_and_other_files(folder: Path) -> None:
    assert size_of(folder) == (90, 70)


def test_few_images_among_many_other_files_are_found(folder: Path) -> None:
    for number in range(600):
        (folder / f"{number:03}.txt").write_text("a label")
    assert size_of(folder) == (90, 70)


def test_no_more_than_64_headers_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(source: Path) -> tuple[int, int]:
        read.append(source)
        return image_size(source)

    content = png(0, 40, 50)
    for number in range(200):
        (folder / f"train/dog/more{number:03}.png").write_bytes(content)
    monkeypatch.setattr(own_size, "image_size", counted)
    assert size_of(folder) == (40, 50)
    assert len(read) == 64
    assert {source.parent.name for source in read} == {"cat", "dog"}


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.xz"])
def test_archive_is_read_from_its_start_and_remembered(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(folder.rglob("*.*")):
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, f"w:{name.partition('tar')[2].strip('.')}") as tar:
            tar.add(folder, "pets")
    assert size_of(archive) == (90, 70)
    monkeypatch.setattr(own_size, "read_members", None)
    assert size_of(archive) == (90, 70)
    delete_sizes("pets")
    assert not list((tmp_path / "cache/sizes").iterdir())


def test_changed_archive_and_damaged_memory_are_looked_at_again(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    for side in (90, 120):
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("cat/1.png", png(0, side, side))
        assert size_of(archive) == (side, side)
    for file in (tmp_path / "cache/sizes").iterdir():
        file.write_text(json.dumps({"size": [0]}))
    assert size_of(archive) == (120, 120)


@pytest.mark.parametrize("shape", [(6, 90, 70, 3), (6, 90, 70, 1), (6, 90, 70), (6, 3, 90, 70)])
def test_npz_says_its_size_in_its_header(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "pets.npz"
    np.savez(path, train_images=np.zeros(shape, np.uint8), train_labels=np.arange(6) % 2)
    assert size_of(path) == (90, 70)


def test_parquet_is_read_from_its_start_alone_or_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    path = tmp_path / "pets/train.parquet"
    pq.write_table(pa.table({"image": [{"bytes": png(seed, 90, 70)} for seed in range(4)], "label": [0, 1] * 2}), path)
    assert size_of(path) == size_of(path.parent) == (90, 70)


@pytest.mark.parametrize("name", ["missing", "empty", "broken.zip", "broken.npz", "broken.parquet", "other.txt"])
def test_source_without_a_readable_image_has_no_size(tmp_path: Path, name: str) -> None:
    if name == "empty":
        (tmp_path / name).mkdir()
    elif name != "missing":
        (tmp_path / name).write_bytes(b"PK\3\4 and nothing else")
    assert size_of(tmp_path / name) is None
