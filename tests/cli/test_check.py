"""`tenfold check`: what it prints, writes and returns."""

import csv
import io
import json
from pathlib import Path

import pytest

from harness.images import png, write_tree
from tenfold.cli.main import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes with a copy of a training image among the test images."""
    files = {
        f"{split}/{name}/{n}.png": png(n + 100 * len(name) + 1000 * len(split), 16, 16)
        for split in ("train", "test")
        for name in ("cat", "bird")
        for n in range(12)
    }
    files["test/cat/copy.png"] = files["train/cat/0.png"]
    return write_tree(tmp_path / "photos", files)


def test_warnings_are_printed_and_the_exit_code_is_0(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "photos, 24 train · 25 test, 2 classes, 16×16, 49 PNG" in out
    assert "1 of 25 test images have a duplicate in train (1 exact, 0 near)" in out
    assert "test/cat/copy.png" in out


def test_the_folders_are_drawn_as_a_tree(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(photos), "--html", str(tmp_path / "check.html")]) == 0
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    for text in (capsys.readouterr().out, page):
        assert "layout: train → train, test → test" in text
        assert "├── test/  25 images → test" in text


def test_labels_and_splits_are_flags_of_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{part}/{name}{n}.png": png(n + 9 * len(part)) for part in ("a", "bb") for name in "xy" for n in range(2)}
    source = str(write_tree(tmp_path / "flat", files))
    assert main(["check", source, "--labels", "name:(?P<label>[a-z])", "--splits", "a=train,bb=test"]) == 0
    assert "flat, 4 train · 4 test, 2 classes" in capsys.readouterr().out


def test_the_exit_code_of_an_error_is_1(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "train" / "fish").mkdir()
    assert main(["check", str(photos)]) == 1
    assert "error      class folder 'train/fish' holds no images" in capsys.readouterr().out


def test_image_sizes_are_width_by_height_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{split}/{name}/0.png": png(len(name + split), 8, 12) for split in ("train", "test") for name in "ab"}
    source = str(write_tree(tmp_path / "wide", files))
    assert main(["check", source]) == 0
    assert main(["data", "get", source]) == 0
    assert main(["train", source, "--set", "data.augment.shift=9"]) == 1
    out = capsys.readouterr().out
    assert "wide, 2 train · 2 test, 2 classes, 12×8, 4 PNG" in out
    assert "wide: 2 train, 2 test images of 12×8 in 2 classes" in out
    assert "data: wide, 2 classes, 2 train · 2 test, 12×8" in out


def test_what_training_refuses_is_an_error_in_the_same_words(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (photos / f"train/cat/{number}.png").write_bytes(b"no image")
    assert main(["train", str(photos)]) == 1
    refusal = capsys.readouterr().err.partition("error: ")[2]
    assert "3 of 49 images in" in refusal
    assert main(["check", str(photos), "--csv"]) == 1
    rows = [row for row in csv.DictReader(io.StringIO(capsys.readouterr().out)) if row["rule"] == "unreadable"]
    assert [(row["severity"], row["path"]) for row in rows] == [("error", f"train/cat/{n}.png") for n in range(3)]
    assert main(["check", str(photos)]) == 1
    assert " ".join(refusal.split()) in " ".join(capsys.readouterr().out.split())


def test_files_are_written_and_not_overwritten(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = {kind: tmp_path / f"found.{kind}" for kind in ("csv", "json", "html")}
    flags = [word for kind, path in targets.items() for word in (f"--{kind}", str(path))]
    assert main(["check", str(photos), *flags]) == 0
    assert json.loads(targets["json"].read_text("utf-8"))["leak"]["exact"] == 1
    assert targets["html"].read_text("utf-8").startswith("<!doctype html>")
    capsys.readouterr()
    assert main(["check", str(photos), "--csv", str(targets["csv"])]) == 2
    assert "exists and is not overwritten; choose another file for --csv, or add --force" in capsys.readouterr().err
    assert main(["check", str(photos), *flags, "--force"]) == 0


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_json_or_csv_is_all_that_is_printed(kind: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(photos), f"--{kind}", "-"]) == 0
    out = capsys.readouterr().out
    if kind == "json":
        (pair,) = json.loads(out)["pairs"]
        assert (pair["first"]["path"], pair["second"]["path"]) == ("train/cat/0.png", "test/cat/copy.png")
    else:
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["other_path"] for row in rows if row["rule"] == "exact-duplicate"] == ["test/cat/copy.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-here"], "nothing-here does not exist"),
        (["shapes", "--csv", "-", "--json", "-"], "--csv and --json both print; expected a file for one"),
        (["shapes", "--set", "train.seed=1"], "--set train.seed is not about the data"),
        (["shapes", "--run", "no-run"], "no run no-run"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_set_changes_how_data_is_prepared(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(photos), "--set", "data.image_size=12"]) == 0
    assert "12×12" in capsys.readouterr().out
