"""Tables of sweeps and seeds, and the warning about differences within noise."""

import pytest
import torch
from hypothesis import given, settings

from harness.rendered import lines_of
from harness.sweep_rows import sweep_row, sweeps
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.report.tables.sweep_tables import ranking_warning, seeds_table, settings_table, sweep_table


def test_each_trial_has_a_line_and_the_best_is_marked():
    failed = sweep_row({"model.width": 70}, status="failed", error="out of memory")
    rows = [sweep_row({"model.width": 90}, 0.712), sweep_row({"model.width": 30}, 0.7), failed]
    lines = lines_of(sweep_table(rows, ["model.width"]))
    assert lines[0] == "trial width seed status test accuracy 95 % interval parameters seconds"
    assert lines[2] == "model.width=90 90 0 finished 71.2 % 70.3–72.1 % 62,006 12.5 best"
    assert lines[3] == "model.width=30 30 0 finished 70.0 % 69.1–70.9 % 62,006 12.5"
    assert lines[4] == "model.width=70 70 0 failed – – – – out of memory"


def test_a_sweep_ranked_by_validation_also_shows_test_accuracy():
    rows = [sweep_row({"k": 1}, 0.6, val_accuracy=0.65), sweep_row({"k": 2}, 0.7, val_accuracy=0.64)]
    lines = lines_of(sweep_table(rows, ["k"]))
    assert lines[0] == "trial k seed status validation accuracy 95 % interval test accuracy parameters seconds"
    assert lines[2] == "k=1 1 0 finished 65.0 % – 60.0 % 62,006 12.5 best"


def test_several_seeds_are_averaged_by_setting():
    rows = [
        sweep_row({"k": k}, a, seed=s) for k, s, a in (("a", 0, 0.70), ("b", 0, 0.5), ("a", 1, 0.71), ("a", 2, 0.72))
    ]
    lines = lines_of(settings_table(rows, ["k"]))
    assert lines[0] == "k seeds test accuracy 95 % interval lowest highest parameters seconds"
    assert lines[2] == "a 3 71.0 ± 1.0 % 68.5–73.5 % 70.0 % 72.0 % 62,006 12.5 best"
    assert lines[3] == "b 1 50.0 % 49.0–51.0 % 50.0 % 50.0 % 62,006 12.5"


def evaluations(error_counts: list[int]):
    """Yields evaluations of two classes of ten images, with so many of the first predicted as the second."""
    labels = torch.tensor([0] * 10 + [1] * 10)
    for num_errors in error_counts:
        predicted = labels.clone()
        predicted[:num_errors] = 1
        yield evaluate_logits(torch.nn.functional.one_hot(predicted, 3).float(), labels, ("cat", "[red]dog", "none"))


def test_several_seeds_show_mean_and_spread_of_each_class():
    lines = lines_of(seeds_table(list(evaluations([0, 2])), seeds=[7, 8]))
    assert lines[2].startswith("7 100.0 %")
    assert lines[3].startswith("8 90.0 %")
    assert (
        lines[4]
        == "accuracy 95.0 ± 7.1 % (95 % interval of the mean 31.5–100.0 %), from 90.0 % to 100.0 %, over 2 seeds"
    )
    assert lines[7:] == ["cat 90.0 ± 14.1 % 80.0 % 100.0 %", "[red]dog 100.0 ± 0.0 % 100.0 % 100.0 %", "none – – –"]


def test_one_seed_says_that_its_spread_is_unknown():
    assert "accuracy 100.0 % of one seed; --seeds 5 shows how much it varies" in lines_of(
        seeds_table([*evaluations([0])])
    )


def test_single_runs_within_binomial_noise_give_a_warning():
    rows = [sweep_row({"model.width": width}, accuracy) for width, accuracy in ((30, 0.70), (50, 0.712), (70, 0.65))]
    assert ranking_warning(rows, ["model.width"]) == (
        "the best setting, width=50 (71.2 %), is within noise of width=30 (70.0 %). With one run each, "
        "only differences above 1.3 points are significant; use more seeds: --seeds 5"
    )


def test_several_settings_within_noise_are_counted():
    rows = [sweep_row({"k": k}, 0.7 + k / 10_000) for k in range(4)]
    assert "within noise of 3 of the 3 other settings, the next best being k=2 (70.0 %)" in (
        ranking_warning(rows, ["k"]) or ""
    )


def test_a_significant_difference_gives_no_warning():
    rows = [sweep_row({"k": 1}, 0.70), sweep_row({"k": 2}, 0.714)]
    assert ranking_warning(rows, ["k"]) is None


def test_seeds_with_a_wide_spread_need_a_larger_difference():
    few = [sweep_row({"k": k}, a, seed=s) for k in (1, 2) for s, a in enumerate((0.66 + k / 50, 0.70 + k / 50))]
    warning = ranking_warning(few, ["k"]) or ""
    assert "With 2 seeds each, only differences above 12.2 points" in warning  # t(2) 4.303 × 0.02 × √2
    assert warning.endswith("--seeds 5")
    many = [
        sweep_row({"k": k}, 0.7 + a, seed=s)
        for k in (1, 2)
        for s, a in enumerate((0.0, 0.01, 0.02, 0.03, 0.04, k / 100))
    ]
    assert (ranking_warning(many, ["k"]) or "").endswith("--seeds 12")


@pytest.mark.parametrize("rows", [[], [sweep_row({"k": 1})], [sweep_row({"k": 1}, status="failed")]])
def test_a_single_setting_gives_no_warning(rows):
    assert ranking_warning(rows, ["k"]) is None


@given(sweeps())
@settings(max_examples=50, deadline=None)
def test_any_rows_can_be_listed(sweep):
    keys, rows = sweep
    for table in (sweep_table(rows, keys), settings_table(rows, keys)):
        assert len(lines_of(table, width=2000)) >= 1
    warning = ranking_warning(rows, keys)
    assert warning is None or warning.isprintable()
