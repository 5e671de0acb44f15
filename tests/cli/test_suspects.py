"""`tenfold suspects`: a table, a list, and a training that uses the list."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

from harness.command_line import environment
from harness.tiny import photo_folder
from tenfold.cli.main import app, main

QUICK = ["--recipe", "mlp", "--folds", "2", "--device", "cpu"]
QUICK += [
    part for line in ("model.hidden=[4]", "train.duration=1 epochs", "train.threads=1") for part in ("--set", line)
]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images of two colors, three of them in the wrong folder; a fifth is drawn for testing."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = photo_folder(tmp_path / "photos")
    for number in range(3):
        (folder / f"green/{number}.png").rename(folder / f"blue/green{number}.png")
    return folder


def test_a_list_is_written_and_training_uses_it(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suspects", "photos", *QUICK, "--top", "100%", "--sheet", "sheet.png"]) == 0
    shown = capsys.readouterr()
    with Path("suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert list(rows[0])[:4] == ["path", "split", "label", "suggested"]
    assert all(row["label"] != row["suggested"] for row in rows)
    assert rows[0]["path"] in shown.out
    assert "of 32 labels may be wrong" in shown.out
    assert f"wrote suspects.csv: {len(rows)} images\nwrote sheet.png: the first of them with both labels" in shown.err
    assert "tenfold train --data photos --exclude suspects.csv" in shown.err
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")

    first = rows[0]["path"]
    Path("one.csv").write_text(f"path\n{first}\n")
    train = ["train", "--data", "photos", "--recipe", "mlp", "--epochs", "1", "--device", "cpu", "--no-report"]
    assert main([*train, "--exclude", "one.csv", "--name", "without", "--set", "model.hidden=[4]"]) == 0
    assert "1 training image left out by one.csv" in capsys.readouterr().out
    assert (photos / first).is_file()


def test_without_suspicious_labels_no_next_step_is_proposed(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.api.suspects import Suspects

    monkeypatch.setattr(
        "tenfold.api.suspects.suspects", lambda *_, **__: Suspects((), 0, (), 32, np.zeros((0, 8, 8, 3)))
    )
    assert main(["suspects", "photos", *QUICK]) == 0
    shown = capsys.readouterr().err
    assert "no label is suspicious, so suspects.csv lists no image and there is nothing to leave out" in shown
    assert "tenfold train" not in shown


def test_existing_files_are_overwritten_only_with_force(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("suspects.csv").write_text("mine")
    assert main(["suspects", "photos", *QUICK]) == 2
    assert "suspects.csv exists and is not overwritten" in capsys.readouterr().err
    assert Path("suspects.csv").read_text() == "mine"
    assert main(["suspects", "photos", *QUICK, "--top", "2", "--force"]) == 0
    assert Path("suspects.csv").read_text().startswith('"path","split"')


@pytest.mark.parametrize("top", ["0", "-3", "many", "101%", "1.5", "nan"])
def test_a_bad_top_is_refused_before_training(top: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suspects", "photos", *QUICK, f"--top={top}"]) == 2
    assert f"--top is '{top}'; expected a number of images, or a fraction of them" in capsys.readouterr().err
    assert not Path("cache").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (None, "there is no list list.csv"),
        (["path", "blue/99.png"], "lists 1 image, 'blue/99.png' in line 2: no such training image in photos"),
    ],
)
def test_a_list_that_does_not_fit_is_one_line(
    lines: list[str] | None, message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if lines is not None:
        Path("list.csv").write_text("\n".join(lines))
    assert main(["train", "--data", "photos", "--recipe", "mlp", "--exclude", "list.csv"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_lists_cannot_change_when_a_run_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "runs/some", "--exclude", "a.csv", "--relabel", "b.csv"]) == 2
    assert "--exclude, --relabel cannot be changed for a run that is resumed" in capsys.readouterr().err


def test_an_interrupt_leaves_no_files(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    endless = ["--set", "train.duration=100000 epochs", "--set", "train.checkpoint_every=100000 steps"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tenfold", "suspects", "photos", *QUICK, *endless],
        env=environment({"TMPDIR": str(tmp_path / "temporary")}),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("temporary/tenfold-fold-*/metrics.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert error.splitlines()[-1] == "tenfold: stopped: the folds are discarded, and nothing was written"
    assert not Path("suspects.csv").exists()
    assert list((tmp_path / "temporary").glob("tenfold*")) == []


def test_the_help_states_the_default_length_of_python() -> None:
    from tenfold.api.suspects import LONGER

    (option,) = [each for each in typer.main.get_command(app).commands["suspects"].params if each.name == "longer"]
    assert option.help.endswith(f"(default: {LONGER:g}).")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "feature"], "'feature' is not one of 'auto', 'features', 'networks'"),
        (["--method", "features", "--recipe", "mlp"], "features needs a network with pretrained weights, but mlp"),
    ],
)
def test_a_wrong_method_is_a_usage_error(
    words: list[str], message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suspects", "photos", *words]) == 2
    assert message in capsys.readouterr().err
