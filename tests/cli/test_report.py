"""`tenfold report`: what it writes, prints and refuses."""

from pathlib import Path

import pytest
import typer

from harness.pages import read_page
from harness.predicted_runs import predicted_run, random_predictions
from tenfold.cli.main import main

CLASSES = ("cat", "dog")


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs whose images are missing."""
    predictions = [random_predictions(CLASSES, 20, seed) for seed in range(2)]
    folders = [predicted_run(tmp_path, name, CLASSES, rows) for name, rows in zip("ab", predictions, strict=True)]
    for folder in folders:
        folder.recipe.write_text(folder.recipe.read_text("utf-8").replace('"shapes"', '"/gone"'), "utf-8")
    return [str(folder.path) for folder in folders]


def test_pages_of_several_runs_are_written_and_their_paths_printed(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *runs]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{run}/report.html" for run in runs]
    for run in runs:
        html = read_page((Path(run) / "report.html").read_text("utf-8"))
        assert html.one("h1").text == Path(run).name
        assert "This page has no images: /gone, the data of" in html.text


def test_open_shows_the_page_in_the_browser(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(typer, "launch", lambda url: shown.append(url) or 0)
    assert main(["report", runs[0]]) == 0
    assert shown == []
    assert main(["report", runs[0], "--open"]) == 0
    assert shown == [(Path(runs[0]) / "report.html").as_uri()]


def test_data_is_for_a_single_run(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *runs, "--data", "shapes"]) == 2
    assert "--data shapes was given for 2 runs; expected one run with it" in capsys.readouterr().err


def test_a_missing_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("tenfold: error: no run")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
