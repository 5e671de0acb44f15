import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import RunError
from tenfold.runs.tables import (
    METRICS,
    PredictionRow,
    read_metrics,
    read_predictions,
    write_metrics,
    write_predictions,
)

# Any file name: lone surrogates only where they stand for bytes.
NAMES = st.binary().map(os.fsdecode) | st.text(st.characters(exclude_categories=("Cs",)))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"epoch": st.integers(0), "step": st.integers(0)},
            optional={name: st.none() | st.floats(allow_nan=False) for name in METRICS[2:]},
        ),
        max_size=5,
    )
)
@settings(max_examples=50)
def test_metrics_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, float | int | None]]
) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    write_metrics(path, rows)
    found = read_metrics(path)
    assert found == [{name: row.get(name) for name in METRICS} for row in rows]
    assert all(type(row["step"]) is int for row in found)


def test_metrics_are_a_plain_csv_table(tmp_path: Path) -> None:
    write_metrics(tmp_path / "m.csv", [{"epoch": 1, "step": 10, "train_loss": np.float32(0.5), "lr": 0.1}])
    assert (tmp_path / "m.csv").read_text() == (
        "epoch,step,time_s,lr,train_loss,train_accuracy,val_loss,val_accuracy,train_objective\n1,10,,0.1,0.5,,,,\n"
    )


def test_a_nan_loss_can_be_written(tmp_path: Path) -> None:
    write_metrics(tmp_path / "m.csv", [{"step": np.int64(3), "train_loss": math.nan}])  # type: ignore[dict-item]
    row = read_metrics(tmp_path / "m.csv")[0]
    assert row["step"] == 3
    assert math.isnan(row["train_loss"] or 0.0)


def test_an_unknown_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown columns: \\['loss'\\]"):
        write_metrics(tmp_path / "m.csv", [{"loss": 1.0}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1 of .*m\.csv is damaged: found the columns \(none\), expected epoch, step"),
        ("a,b\n", "found the columns a, b, expected epoch, step"),
        (",".join(METRICS) + "\n1,2,3\n", "line 2 of .* found 3 cells, expected 9 cells"),
        (",".join(METRICS) + "\n1,2,3,4,five,6,7,8,9\n", "found 'five' under train_loss, expected a number"),
        (",".join(METRICS) + '\n1,2,3,4,"5', "line 2 of .*unexpected end of data"),
    ],
)
def test_damaged_metrics_report_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(RunError, match=message):
        read_metrics(tmp_path / "m.csv")


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"m\.csv is missing"):
        read_metrics(tmp_path / "m.csv")


PLAIN = st.lists(st.builds(PredictionRow, NAMES, NAMES, NAMES, st.floats(0, 1), st.none()), max_size=5)
CALIBRATED = st.lists(st.builds(PredictionRow, NAMES, NAMES, NAMES, st.floats(0, 1), st.floats(0, 1)), max_size=5)


@given(PLAIN | CALIBRATED)
@settings(max_examples=100)
def test_predictions_with_any_names_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[PredictionRow]
) -> None:
    path = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    write_predictions(path, rows)
    assert read_predictions(path) == rows


def test_the_bytes_of_a_file_name_are_kept(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [PredictionRow(os.fsdecode(b"caf\xe9,\n.jpg"), "cat", "dog", 0.5)])
    assert (tmp_path / "p.csv").read_bytes() == (
        b'"path","true","predicted","probability"\n"caf\xe9,\n.jpg","cat","dog",0.5\n'
    )


def test_calibrated_probabilities_have_their_own_column(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [PredictionRow("a.jpg", "cat", "dog", 0.5, np.float32(0.25))])  # type: ignore[arg-type]
    assert (tmp_path / "p.csv").read_text() == (
        '"path","true","predicted","probability","calibrated_probability"\n"a.jpg","cat","dog",0.5,0.25\n'
    )


def test_predictions_of_older_runs_have_another_column_name(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('"picture","true","predicted","probability"\n"a.jpg","cat","dog",0.5\n')
    assert read_predictions(tmp_path / "p.csv") == [PredictionRow("a.jpg", "cat", "dog", 0.5)]


def test_partly_calibrated_predictions_are_an_error(tmp_path: Path) -> None:
    rows = [PredictionRow("a", "cat", "dog", 0.5, 0.25), PredictionRow("b", "cat", "dog", 0.5)]
    with pytest.raises(ValueError, match="shorter"):
        write_predictions(tmp_path / "p.csv", rows)
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("columns", "cells", "message"),
    [
        ("", ",", "found an empty probability, expected a number"),
        ("", ",nan", "found nan under probability, expected a number from 0 to 1"),
        ("", ",1.5", "found 1.5 under probability, expected a number from 0 to 1"),
        (",calibrated_probability", ",0.5,", "found an empty calibrated_probability, expected a number"),
        (",calibrated_probability", ",0.5,high", "found 'high' under calibrated_probability, expected a number"),
        (",calibrated_probability", ",0.5,-0.1", "found -0.1 under calibrated_probability, expected a number from 0"),
        (",calibrated_probability", ",0.5", "found 4 cells, expected 5 cells"),
    ],
)
def test_damaged_predictions_report_the_line(tmp_path: Path, columns: str, cells: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(f"path,true,predicted,probability{columns}\na,b,c{cells}\n")
    with pytest.raises(RunError, match=rf"line 2 of .*p\.csv is damaged: {message}"):
        read_predictions(tmp_path / "p.csv")


def test_metrics_of_an_older_version_have_no_objective(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(",".join(METRICS[:-1]) + "\n1,2,3,4,5,0.5,,\n")
    (row,) = read_metrics(tmp_path / "m.csv")
    assert (row["train_loss"], row["train_objective"]) == (5, None)
