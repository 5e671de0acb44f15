"""Image headers are surveyed, and a messy folder becomes a list of findings."""

import hashlib
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.image_files import tiff
from harness.images import encoded, noise, png, write_tree
from tenfold.core.errors import DataError
from tenfold.data.request import DataRequest
from tenfold.data.sources.rules import SourceRules
from tenfold.inspect.dataset_check import inspect_source
from tenfold.inspect.file_survey import FileSurvey, survey_files


def converted_files() -> dict[str, bytes]:
    """Returns one file of each kind that decoding converts."""
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


def messy_folder(root: Path) -> Path:
    """Writes two classes in two splits, every kind of converted file, and damaged files."""
    files = {f"{split}/{name}/{n}.png": png(100 * len(name) + n + 1000 * len(split), 12, 10)
             for split in ("train", "test") for name in ("cat", "bird") for n in range(12)}  # fmt: skip
    files |= {f"train/cat/{name}": content for name, content in converted_files().items()}
    files |= {
        "train/cat/broken.png": png(3, 40, 40)[:300],
        "train/cat/empty.jpg": b"",
        "train/cat/notes.txt": b"x",
        "train/bird/copy.png": files["train/cat/0.png"],
    }
    write_tree(root, files)
    (root / "train" / "fish").mkdir()
    return root


def file_states(root: Path) -> dict[str, str]:
    """Returns modification time and digest of every file."""
    return {
        path.relative_to(root).as_posix(): f"{path.stat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in root.rglob("*")
    }


def surveyed(path: Path) -> FileSurvey:
    return survey_files(path, SourceRules(), lambda *_: None)[0]


def test_each_kind_of_file_is_counted_and_named(tmp_path: Path) -> None:
    found = surveyed(messy_folder(tmp_path / "data"))
    assert found.examples["alpha"] == ["train/cat/alpha.png"]
    assert found.converted == {"grey": 2} | dict.fromkeys(
        ("CMYK", "16-bit", "alpha", "palette", "EXIF-rotated", "black and white"), 1
    )
    assert sorted(found.examples["grey"]) == ["train/cat/16-bit.png", "train/cat/grey.png"]
    assert found.formats["unknown"] == 1  # the empty file; the header of the truncated one is valid
    assert found.sizes[12, 10] == 48 + 1 + 6
    assert found.sizes[10, 12] == 1  # the rotated one, upright


def test_an_archive_is_surveyed_like_its_folder(tmp_path: Path) -> None:
    root = messy_folder(tmp_path / "data")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(root, "data")
    folder, archive = surveyed(root), surveyed(tmp_path / "data.tar")
    assert archive.formats == folder.formats
    assert archive.converted == folder.converted
    assert archive.sizes == folder.sizes


def test_a_messy_folder_becomes_findings_and_is_not_changed(tmp_path: Path) -> None:
    root = messy_folder(tmp_path / "data")
    before = file_states(root)
    found = inspect_source(DataRequest(str(root)))
    assert file_states(root) == before
    by_rule = {finding.rule: finding for finding in found.findings}
    assert by_rule["unreadable"].sentence == "2 images cannot be read and will be skipped"
    assert {one.path for one in found.unreadable} == {"train/cat/broken.png", "train/cat/empty.jpg"}
    assert by_rule["converted-grey"].sentence == "2 images in grayscale: converted to RGB"
    assert by_rule["skipped"].examples == ("train/cat/notes.txt",)
    assert by_rule["conflict"].examples == ("train/bird/copy.png and train/cat/0.png",)
    assert by_rule["empty-class"].severity == "error"
    assert "train/fish" in by_rule["empty-class"].sentence
    order = [("error", "warning", "note").index(finding.severity) for finding in found.findings]
    assert order == sorted(order)


def test_files_of_several_frames_and_of_16_bit_color_are_named(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (0, 99)]
    files = {
        "cat/a.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "cat/b.gif": encoded(frames[0], "GIF"),
        "dog/pages": encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "dog/wide.tif": tiff(np.zeros((8, 8, 3), np.uint16), 2),
    }
    found = surveyed(write_tree(tmp_path, files))
    assert sorted(found.examples["several frames"]) == ["cat/a.gif", "dog/pages"]
    assert found.examples["16-bit"] == ["dog/wide.tif"]
    assert found.formats == {"GIF": 2, "TIFF": 2}


@pytest.mark.filterwarnings("ignore:Invalid APNG")  # decoding warns too; see data/decode/decode.py
def test_a_warning_of_pillow_becomes_a_note_about_the_file(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": png(n + 50 * len(name)) for name in ("cat", "bird") for n in range(6)}
    odd = files["cat/0.png"]
    position, chunk = odd.index(b"IDAT") - 4, b"acTL" + bytes(8)  # an animation without frames
    files["cat/0.png"] = (
        odd[:position] + struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk)) + odd[position:]
    )
    found = inspect_source(DataRequest(str(write_tree(tmp_path / "data", files))))
    (note,) = [finding for finding in found.findings if finding.rule == "odd-files"]
    assert note.sentence == "1 image that Pillow can read, but warns about"
    assert note.examples[0].startswith("cat/0.png: Pillow: Invalid APNG")
    assert found.unreadable == ()


def test_a_class_without_a_readable_image_is_an_error_and_files_are_listed(tmp_path: Path) -> None:
    files = {f"cat/{n}.png": png(n) for n in range(6)} | {f"dog/{n}.png": b"not an image" for n in range(3)}
    found = inspect_source(DataRequest(str(write_tree(tmp_path / "data", files))))
    assert found.has_errors
    assert found.findings[0].rule == "untrainable"
    assert "dog" in found.findings[0].sentence
    assert found.counts == {"train": {"cat": 6, "dog": 3}}
    assert found.survey is not None
    assert found.survey.formats == {"PNG": 6, "unknown": 3}


def test_a_source_without_readable_images_is_an_error(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data", {f"{name}/{n}.png": b"" for name in ("cat", "dog") for n in range(3)})
    found = inspect_source(DataRequest(str(root)))
    assert [finding.rule for finding in found.findings if finding.severity == "error"] == ["untrainable"]


def test_more_unreadable_files_than_training_accepts_are_counted(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": png(n + 50 * len(name)) for name in ("cat", "bird") for n in range(6)}
    files |= {f"cat/broken {n}.png": b"" for n in range(4)}
    found = inspect_source(DataRequest(str(write_tree(tmp_path / "data", files))))
    assert len(found.unreadable) == 4
    assert found.dataset is not None


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        inspect_source(DataRequest(str(tmp_path / "nothing")))
