"""`tenfold predict --reject-below` and `--reject-errors`: where and how it answers "unsure"."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from harness.images import png
from tenfold.cli.main import main


@pytest.fixture
def photo(tmp_path: Path) -> str:
    (tmp_path / "a.png").write_bytes(png())
    return str(tmp_path / "a.png")


@pytest.mark.parametrize(("flags", "unsure"), [("0.8", True), ("80%", True), ("0.75", False), ("7 %", False)])
def test_an_answer_below_the_probability_is_unsure(
    flags: str, unsure: bool, fake_api: Any, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "run", photo, "gone.png", "--reject-below", flags]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert ("unsure (cat)" in shown.out) is unsure
    assert f"unsure: {int(unsure)} of 2 answers" in shown.err
    assert main([*command, "--top", "2"]) == 1
    assert ("unsure (cat 75.0 %, dog 25.0 %)" in " ".join(capsys.readouterr().out.split())) is unsure
    assert main([*command, "--json"]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["label"], good["unsure"]) == ("cat", unsure)
    assert "unsure" not in bad
    assert main([*command, "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["label"], row["unsure"]) for row in rows] == [("cat", str(unsure).lower()), ("", "")]


def test_a_fraction_of_errors_is_looked_up_in_the_predictions_of_the_run(
    fake_api: Any, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(fake_api.run), photo, "--reject-errors", "50%"]) == 0
    shown = capsys.readouterr()
    assert "unsure below 50.0 %: 100 of 100 test images are at or above it, 50.0 % of these wrong" in shown.err
    assert "unsure: 0 of 1 answer" in shown.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--reject-below 2", "--reject-below is 2; expected a fraction between 0 and 1, such as 0.02 or 2%"),
        ("--reject-below few", "--reject-below is few; expected a fraction"),
        ("--reject-errors 0%", "--reject-errors is 0%; expected a fraction"),
        ("--reject-errors nan", "--reject-errors is nan; expected a fraction"),
        ("--reject-errors 2% --reject-below 0.5", "were both given; expected one of them"),
        ("--reject-errors 2% --views plain", "leave --views out"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    flags: str, message: str, fake_api: Any, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(fake_api.run), photo, *flags.split()]) == 2
    assert message in capsys.readouterr().err
    assert fake_api.calls == []
