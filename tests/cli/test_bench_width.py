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
    """Makes this machine look as though it had a CPU only."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_table_names_each_width_and_the_remark_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--batch-size", "2"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines() if line.strip()[:1].isdecimal()] == ["2", "3"]
    assert "cpu, pictures/s" in printed.out
    assert "in batches of 2, forward, backward and update, on cpu, 1 thread, float32" in printed.out
    assert printed.err.splitlines()[0] == "no cuda device on this machine: the cpu column only"


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--device", "cpu", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["network"], found["batch_size"], found["baseline"]) == ("wide", 4, "cpu")
    assert found["devices"] == {"cpu": "cpu, 1 thread, float32"}
    assert [row["width"] for row in found["rows"]] == [2, 3]
    assert all(row["cpu_per_second"] > 0 for row in found["rows"])
    assert found["environment"]["torch"]


def test_files_are_written_beside_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, chart = tmp_path / "width.csv", tmp_path / "width.png"
    assert main([*QUICK, "--csv", str(table), "--chart", str(chart)]) == 0
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [list(row) for row in rows] == [["width", "parameters", "cpu_per_second"]] * 2
    assert [row["width"] for row in rows] == ["2", "3"]
    with Image.open(chart) as image:
        assert image.format == "PNG"
    assert f"wrote {table}" in capsys.readouterr().err


def test_csv_can_be_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
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
        (["--device", "gpu"], "'gpu' is no device; expected auto, cpu, cuda, cuda:1 or mps"),
        (["--seconds", "nan"], "nan seconds were asked for; expected a number above 0"),
        (["--chart", "width.pdf"], "--chart is 'width.pdf'; expected a name that ends in .png"),
        (["--csv", "none/width.csv"], "--csv: there is no folder none; make it, or choose another"),
        (["--json", "-", "--csv", "-"], "--json - and --csv - were both given; expected one of them"),
        (["--csv", "a.png", "--chart", "a.png"], "--csv and --chart are both a.png; expected two files"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
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


def test_no_device_at_all_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--device", "cuda"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tenfold: error: no cuda device on this machine, and no other was asked for")


@pytest.mark.parametrize("flag", ["--csv", "--chart"])
def test_a_file_that_is_there_is_never_overwritten(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_text("precious")
    assert main([*QUICK, flag, str(mine)]) == 2
    assert f"exists and is not overwritten; choose another name for {flag}" in capsys.readouterr().err
    assert mine.read_text() == "precious"


def test_it_explains_itself_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "width", "--help"]) == 0
    assert "tenfold bench width" in capsys.readouterr().out.partition("Examples:")[2]
