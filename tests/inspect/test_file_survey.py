"""What headers tell of files, and what an inspection makes of a messy folder."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.images import encoded, noise, png, write_tree
from tenfold.core.errors import DataError
from tenfold.data.request import DataRequest
from tenfold.inspect.dataset_check import inspect_source
from tenfold.inspect.file_survey import survey


def kinds() -> dict[str, bytes]:
    """Returns a file of each kind that is converted."""
    plain = Image.fromarray(noise(12, 10, 50))
    turned = Image.Exif()
    turned[0x0112] = 6
    palette = plain.convert("P")
    return {
        "grey.png": encoded(plain.convert("L")),
        "black and white.png": encoded(plain.convert("1")),
        "alpha.png": encoded(plain.convert("RGBA")),
        "palette.png": encoded(palette),
        "CMYK.jpg": encoded(plain.convert("CMYK"), "JPEG"),
        "16-bit.png": encoded(Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257)),
        "EXIF-rotated.jpg": encoded(plain, "JPEG", exif=turned),
    }


def messy(root: Path) -> Path:
    """Writes two classes in two splits, every kind of converted file, and damage."""
    files = {f"{split}/{name}/{n}.png": png(100 * len(name) + n + 1000 * len(split), 12, 10)
             for split in ("train", "test") for name in ("cat", "bird") for n in range(12)}  # fmt: skip
    files |= {f"train/cat/{name}": content for name, content in kinds().items()}
    files |= {
        "train/cat/broken.png": png(3, 40, 40)[:300],
        "train/cat/empty.jpg": b"",
        "train/cat/notes.txt": b"x",
        "train/bird/copy.png": files["train/cat/0.png"],
    }
    write_tree(root, files)
    (root / "train" / "fish").mkdir()
    return root


def state(root: Path) -> dict[str, str]:
    """Returns a digest of every file, and the time of its change."""
    return {
        path.relative_to(root).as_posix(): f"{path.stat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in root.rglob("*")
    }


def test_each_kind_of_file_is_counted_and_named(tmp_path: Path) -> None:
    found, _ = survey(messy(tmp_path / "data"), lambda *_: None)
    assert found.examples["alpha"] == ["train/cat/alpha.png"]
    assert found.converted == {"grey": 2} | dict.fromkeys(
        ("CMYK", "16-bit", "alpha", "palette", "EXIF-rotated", "black and white"), 1
    )
    assert sorted(found.examples["grey"]) == ["train/cat/16-bit.png", "train/cat/grey.png"]
    assert found.formats["unknown"] == 1  # the empty one; a broken picture's header is sound
    assert found.sizes[12, 10] == 48 + 1 + 7


def test_an_archive_is_told_as_its_folder_is(tmp_path: Path) -> None:
    root = messy(tmp_path / "data")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(root, "data")
    quiet = lambda *_: None  # noqa: E731
    folder, archive = survey(root, quiet)[0], survey(tmp_path / "data.tar", quiet)[0]
    assert archive.formats == folder.formats
    assert archive.converted == folder.converted
    assert archive.sizes == folder.sizes


def test_a_messy_folder_is_told_in_sentences_and_left_as_it_is(tmp_path: Path) -> None:
    root = messy(tmp_path / "data")
    before = state(root)
    found = inspect_source(DataRequest(str(root)))
    assert state(root) == before
    told = {finding.rule: finding for finding in found.findings}
    assert told["unreadable"].sentence == "2 pictures cannot be read and will be left out"
    assert {one.path for one in found.unreadable} == {"train/cat/broken.png", "train/cat/empty.jpg"}
    assert told["converted-grey"].sentence == "2 pictures in grey: become RGB"
    assert told["skipped"].examples == ("train/cat/notes.txt",)
    assert told["conflict"].examples == ("train/bird/copy.png and train/cat/0.png",)
    assert told["empty-class"].severity == "error"
    assert "train/fish" in told["empty-class"].sentence
    order = [("error", "warning", "note").index(finding.severity) for finding in found.findings]
    assert order == sorted(order)


def test_a_class_without_a_readable_picture_is_an_error_with_the_files_told_all_the_same(tmp_path: Path) -> None:
    files = {f"cat/{n}.png": png(n) for n in range(6)} | {f"dog/{n}.png": b"no picture" for n in range(3)}
    found = inspect_source(DataRequest(str(write_tree(tmp_path / "data", files))))
    assert found.has_errors
    assert found.findings[0].rule == "untrainable"
    assert "has no readable training picture of dog" in found.findings[0].sentence
    assert found.counts == {"train": {"cat": 6, "dog": 3}}
    assert found.survey is not None
    assert found.survey.formats == {"PNG": 6, "unknown": 3}


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data", {f"{name}/{n}.png": b"" for name in ("cat", "dog") for n in range(3)})
    found = inspect_source(DataRequest(str(root)))
    assert [finding.rule for finding in found.findings if finding.severity == "error"] == ["untrainable"]


def test_more_unreadable_pictures_than_training_lets_pass_are_counted(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": png(n + 50 * len(name)) for name in ("cat", "bird") for n in range(6)}
    files |= {f"cat/broken {n}.png": b"" for n in range(4)}
    found = inspect_source(DataRequest(str(write_tree(tmp_path / "data", files))))
    assert len(found.unreadable) == 4
    assert found.dataset is not None


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        inspect_source(DataRequest(str(tmp_path / "nothing")))
