"""`tenfold bench width`: what it prints, writes and refuses."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tenfold.cli.main import main

QUICK = ["bench", "width", "--widths", "2,3", "--seconds", "0.001", "--precision", "float32"]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this machine look as if it had only a CPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_table_lists_widths_and_a_note_missing_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--batch-size", "2"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines() if line.strip()[:1].isdecimal()] == ["2", "3"]
    assert "cpu, images/s" in printed.out
    assert "batch size 2, forward, backward and update, on cpu, 1 thread, float32" in printed.out
    assert printed.err.splitlines()[0] == "no cuda device on this machine: the cpu column only"


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--device", "cpu", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["network"], found["batch_size"], found["baseline"]) == ("wide", 4, "cpu")
    assert found["devices"] == {"cpu": "cpu, 1 thread, float32"}
    assert [row["width"] for row in found["rows"]] == [2, 3]
    assert all(row["cpu_per_second"] > 0 for row in found["rows"])
    assert found["environment"]["torch"]


def test_files_are_written_and_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, chart = tmp_path / "width.csv", tmp_path / "width.png"
    assert main([*QUICK, "--csv", str(table), "--chart", str(chart)]) == 0
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [list(row) for row in rows] == [["width", "parameters", "cpu_per_second"]] * 2
    assert [row["width"] for row in rows] == ["2", "3"]
    with Image.open(chart) as image:
        assert image.format == "PNG"
    assert f"wrote {table}" in capsys.readouterr().err


def test_csv_without_a_file_prints_only_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--csv", "-"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "width,parameters,cpu_per_second"
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--widths", "6,x"], "--widths is '6,x'; expected whole numbers from 1 on, e.g. 6,30,90"),
        (["--widths", ""], "--widths is ''; expected whole numbers"),
        (["--widths", "6,0"], "--widths is '6,0'; expected whole numbers"),
        (["--device", "gpu"], "'gpu' is not a device; expected auto, cpu, cuda, cuda:1 or mps"),
        (["--seconds", "nan"], "seconds is nan; expected a number above 0"),
        (["--chart", "width.pdf"], "--chart is width.pdf; expected a name that ends in .png, .jpg, .jpeg"),
        (["--csv", "none/width.csv"], "--csv: there is no folder none; create it, or choose another"),
        (["--json", "-", "--csv", "-"], "--json and --csv both print; expected a file for one"),
        (["--csv=a.png", "--chart", "a.png"], "--csv and --chart are both a.png; expected two files"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tenfold: error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_no_device_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--device", "cuda"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tenfold: error: no cuda device on this machine; add one that it has")


@pytest.mark.parametrize("flag", ["--csv", "--chart"])
def test_an_existing_file_is_not_overwritten(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.png"
    mine.write_text("precious")
    assert main([*QUICK, f"{flag}={mine}"]) == 2
    assert f"exists and is not overwritten; choose another file for {flag}" in capsys.readouterr().err
    assert mine.read_text() == "precious"


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "width", "--help"]) == 0
    assert "tenfold bench width" in capsys.readouterr().out.partition("Examples:")[2]
