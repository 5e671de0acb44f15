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
    legend_table,
    pairs_table,
    run_labels,
    runs_table,
    significance_warning,
    verdict,
    write_rows,
)

AB = {"a": "a", "b": "b"}
NUMBERED = {"a": "1", "b": "2", "c": "3"}


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


def test_two_short_names_are_labels_and_all_others_are_numbered():
    assert run_labels(["a", "b"]) == AB
    assert run_labels(["cifar10-quick-1", "b"]) == {"cifar10-quick-1": "1", "b": "2"}
    assert run_labels(["a", "b", "c"]) == NUMBERED
    assert lines_of(legend_table(NUMBERED))[-1] == "3 c"


def test_a_pair_shows_difference_interval_and_verdict():
    assert lines_of(pairs_table(AB, [pair()]))[-1] == "b vs a +1.25 −0.40 to +2.90 0.625 within noise"


def test_several_pairs_also_show_counts_and_the_corrected_p_value():
    rows = [pair(), pair(p=1e-9, p_holm=2e-9, within_noise=False)]
    assert "p (Holm)" in text_of(pairs_table(NUMBERED, rows))
    assert last_words(pairs_table(NUMBERED, rows))[-6:] == ["1,020", "vs", "10", "<", "0.001", "better"]


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


def test_columns_are_left_out_where_all_runs_are_equal():
    equal = text_of(runs_table(AB, [run_row("a"), run_row("b")]))
    assert not any(heading in equal for heading in ("val accuracy", "parameters", "steps"))
    rows = [run_row("a") | {"val_accuracy": 0.625}, run_row("b") | {"parameters": 1000, "steps": 7}]
    assert lines_of(runs_table(AB, rows))[-2:] == [
        "a 50.0 % 40.0–60.0 % 62.5 % 295,096 20 8.2 s",
        "b 50.0 % 40.0–60.0 % – 1,000 7 8.2 s",
    ]


def test_numbered_runs_have_their_names_beside_them_or_in_a_legend():
    rows = [run_row(name) for name in NUMBERED]
    assert lines_of(runs_table(NUMBERED, rows))[-1] == "3 c 50.0 % 40.0–60.0 % 8.2 s"
    assert lines_of(runs_table(NUMBERED, rows, with_names=False))[-1] == "3 50.0 % 40.0–60.0 % 8.2 s"


def test_settings_of_two_runs_are_columns_and_of_more_are_grouped_by_value():
    two = differences_table(AB, {"optim.nesterov": (True, False), "model.hidden": ([4, 8], None)})
    assert lines_of(two)[-2:] == ["optim.nesterov true false", "model.hidden [4, 8] –"]
    more = differences_table(NUMBERED, {"optim.lr": (0.1, 0.2, 0.1), "model.width": (None, 8, 9)})
    assert lines_of(more)[-2:] == ["optim.lr 0.1 (1, 3) · 0.2 (2)", "model.width – (1) · 8 (2) · 9 (3)"]


@pytest.mark.parametrize("count", [2, 4, 8, 12])
def test_tables_of_many_runs_fit_80_columns(count):
    labels = run_labels([f"…20260101-1200{i:02}" for i in range(count)])
    names = list(labels)
    rows = [run_row(name, 0.5 + i / 100) | {"val_accuracy": 0.5, "parameters": i} for i, name in enumerate(names)]
    others = names[1:]
    pairs = [pair(first=names[0], second=name, difference=-0.1234, interval=(-0.1789, 0.1234)) for name in others]
    classes = [class_row("aeroplane", name, -0.1234 + i / 100) for i, name in enumerate(others)]
    shown = [
        runs_table(labels, rows, with_names=False),
        pairs_table(labels, pairs),
        classes_table(labels, classes),
    ]
    assert max(len(line) for line in text_of(*shown).splitlines()) <= 80


def test_groups_show_mean_and_standard_deviation():
    rows = [
        {"name": "lr=0.1", "runs": ("a", "c"), "seeds": (0, 1), "mean": 0.9412, "deviation": 0.0021},
        {"name": "lr=0.2", "runs": ("b",), "seeds": (0, 1), "mean": 0.9312, "deviation": 0.0021},
    ]
    assert lines_of(groups_table(NUMBERED, rows))[-2] == "A lr=0.1 1, 3 2 94.12 ± 0.21 %"
    pair = {"first": "lr=0.1", "second": "lr=0.2", "difference": -0.01, "interval": (-0.03, 0.01)}
    table = group_pairs_table(rows, [{**pair, "p_holm": 0.25, "within_noise": True}])
    assert lines_of(table)[-1] == "B vs A −1.00 −3.00 to +1.00 0.250 within noise"


def test_classes_show_points_of_each_run_and_an_interval_of_one():
    one = classes_table(AB, [class_row("cat", "b", -0.25)])
    assert last_words(one) == ["cat", "400", "50.0", "%", "−25.00", "−28.00", "to", "−22.00"]
    two = classes_table(NUMBERED, [class_row("cat", "c", -0.25), class_row("cat", "b", 0.125)])
    assert last_words(two) == ["cat", "400", "50.0", "%", "+12.50", "−25.00"]


def test_classes_of_many_runs_show_the_lowest_and_the_highest():
    labels = run_labels("abcdefg")
    rows = [class_row("cat", name, (i - 2) / 8) for i, name in enumerate("bcdefg")]
    assert lines_of(classes_table(labels, rows))[-1] == "cat 400 50.0 % −25.00 2 +37.50 7"


def test_names_are_not_parsed_as_markup():
    assert "[bold]" in text_of(runs_table({"[bold]": "1"}, [run_row("[bold]")]))
    assert "\x1b" not in text_of(runs_table({"\x1b[2J": "1"}, [run_row("\x1b[2J")]))


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
