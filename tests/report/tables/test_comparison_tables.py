"""Tables and CSV files of a comparison of runs."""

import csv

import pytest

from harness.rendered import lines_of, text_of
from tenfold.report.tables.comparison_tables import (
    classes_table,
    differences_table,
    distinct,
    group_pairs_table,
    groups_table,
    pairs_table,
    runs_table,
    significance_warning,
    verdict,
    write_rows,
)


def last_words(table) -> list[str]:
    return lines_of(table)[-1].split()


def pair(**changes):
    return {
        "first": "a", "second": "b", "difference": 0.0125, "interval": (-0.004, 0.029), "only_first": 10,
        "only_second": 1020, "total": 4000, "p": 0.3125, "p_holm": 0.625, "within_noise": True, **changes,
    }  # fmt: skip


def run_row(name="a", accuracy=0.5):
    return {
        "run": name, "test_accuracy": accuracy, "test_low": accuracy - 0.1, "test_high": accuracy + 0.1,
        "val_accuracy": None, "parameters": 295096, "steps": 20, "training_seconds": 8.25,
    }  # fmt: skip


def class_row(name, run, difference):
    return {
        "run": run, "name": name, "pictures": 400, "first_accuracy": 0.5, "accuracy": 0.5 + difference,
        "difference": difference, "interval": (difference - 0.03, difference + 0.03),
    }  # fmt: skip


def test_a_pair_shows_difference_interval_counts_and_verdict():
    assert lines_of(pairs_table([pair()]))[-1] == "b a +1.25 −0.40 to +2.90 1,020 10 0.312 within noise"


def test_several_pairs_also_show_the_corrected_p_value():
    rows = [pair(), pair(p=1e-9, p_holm=2e-9, within_noise=False)]
    assert "p (Holm)" in text_of(pairs_table(rows))
    assert last_words(pairs_table(rows))[-5:] == ["<", "0.001", "<", "0.001", "better"]


@pytest.mark.parametrize(
    ("difference", "noise", "word"),
    [(1, False, "better"), (-1, False, "worse"), (1, True, "within noise")],
)
def test_the_verdict_follows_the_test(difference, noise, word):
    assert verdict({"difference": difference, "within_noise": noise}) == word


def test_differences_within_noise_give_a_warning():
    assert str(significance_warning([pair()])).startswith(
        "within noise: p = 0.312; 4,000 test images do not show which"
    )
    assert str(significance_warning([pair(), pair(within_noise=False)])).startswith(
        "within noise: 1 of 2 pairs; do not rank"
    )
    assert significance_warning([pair(within_noise=False)]) is None


def test_validation_is_a_column_only_if_a_run_has_it():
    assert "val accuracy" not in text_of(runs_table([run_row()]))
    assert last_words(runs_table([run_row() | {"val_accuracy": 0.625}])) == (
        ["a", "50.0", "%", "40.0–60.0", "%", "62.5", "%", "295,096", "20", "8.2", "s"]
    )


def test_many_recipes_are_lines_instead_of_columns():
    few = text_of(differences_table(["a", "b"], {"optim.nesterov": (True, False), "model.hidden": ([4, 8], None)}))
    assert ["optim.nesterov", "true", "false"] in [line.split() for line in few.splitlines()]
    assert ["model.hidden", "[4,", "8]", "–"] in [line.split() for line in few.splitlines()]
    many = text_of(differences_table([str(i) for i in range(12)], {"train.seed": tuple(range(100, 112))}))
    assert ["11", "111"] in [line.split() for line in many.splitlines()]


def test_groups_show_mean_and_standard_deviation():
    rows = [{"name": "lr=0.1", "seeds": (0, 1, 2), "mean": 0.9412, "deviation": 0.0021}]
    assert last_words(groups_table(rows)) == ["lr=0.1", "3", "94.12", "±", "0.21", "%"]
    rows = [{"first": "a", "second": "b", "difference": -0.01, "interval": None, "within_noise": True}]
    assert last_words(group_pairs_table(rows)) == ["b", "a", "−1.00", "–", "within", "noise"]


def test_classes_show_points_of_each_run_and_an_interval_of_one():
    one = classes_table(["a", "b"], [class_row("cat", "b", -0.25)])
    assert last_words(one) == ["cat", "400", "50.0", "%", "−25.00", "−28.00", "to", "−22.00"]
    two = classes_table(["a", "b", "c"], [class_row("cat", "c", -0.25), class_row("cat", "b", 0.125)])
    assert last_words(two) == ["cat", "400", "50.0", "%", "+12.50", "−25.00"]


def test_names_are_not_parsed_as_markup():
    assert "[bold]" in text_of(runs_table([run_row("[bold]")]))
    assert "\x1b" not in text_of(runs_table([run_row("\x1b[2J")]))


def test_shortened_names_stay_different():
    names = [f"a-very-long-name-{i}-with-a-long-end-too" for i in range(3)]
    assert len(set(distinct(names, 12))) == 3
    assert distinct(["a", "a"], 12) == ["a", "a"]
    assert distinct([], 12) == []


def test_csv_has_low_and_high_for_an_interval(tmp_path):
    rows = [{"a": 1, "interval": (0.1, 0.2), "b": True}, {"a": "x,y", "interval": None, "b": [1, "z"]}]
    write_rows(tmp_path / "x.csv", ["b", "interval", "a"], rows)
    assert list(csv.reader((tmp_path / "x.csv").read_text("utf-8").splitlines())) == [
        ["b", "low", "high", "a"],
        ["true", "0.1", "0.2", "1"],
        ["[1, z]", "", "", "x,y"],
    ]


def test_csv_without_rows_has_a_header(tmp_path):
    write_rows(tmp_path / "x.csv", ["key", "interval"], [])
    assert (tmp_path / "x.csv").read_text("utf-8") == "key,low,high\n"
