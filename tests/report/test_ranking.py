"""What a sweep says about its best setting."""

import numpy as np
import pytest

from harness.sweep_rows import sweep_row
from tenfold.report.ranking import ranking_lines
from tenfold.report.study import Study


def seeded(accuracies, **known):
    """Returns rows of settings k = 0, 1, …, each with several seeds."""
    return [
        sweep_row({"k": k}, accuracy, seed=seed, **known)
        for k, of_setting in enumerate(accuracies)
        for seed, accuracy in enumerate(of_setting)
    ]


@pytest.mark.parametrize("rows", [[], [sweep_row({"k": 1})], [sweep_row({"k": 1}, status="failed")]])
def test_a_single_setting_gives_no_line(rows):
    assert ranking_lines(Study(rows, ["k"])) == []


def test_one_run_each_cannot_tell_settings_from_seeds():
    rows = [sweep_row({"model.width": width}, accuracy) for width, accuracy in ((30, 0.70), (50, 0.73), (70, 0.65))]
    choice, verdict = ranking_lines(Study(rows, ["model.width"]))
    assert choice == (
        "best by test accuracy: width=50 (73.0 %), chosen on these test images, so its accuracy is optimistic; "
        "data.val_fraction=0.1 avoids that"
    )
    assert verdict == (
        "one run each cannot tell settings from seeds. To find a difference of 3.0 points, at least "
        "--seeds 6 is needed (assumed: a std of 0.5 points between seeds)"
    )


def test_a_search_names_seeds_without_the_flag_that_it_does_not_take():
    rows = [sweep_row({"k": k}, a, val_accuracy=a, val_images=90_000) for k, a in enumerate((0.7, 0.72))]
    choice, verdict = ranking_lines(Study(rows, ["k"], "search"))
    assert choice == "best by validation accuracy: k=1 (72.0 %)"
    assert "To find a difference of 2.0 points, at least " in verdict
    assert " seeds of each are needed" in verdict


def test_a_significant_difference_is_named_with_its_level():
    study = Study(seeded([(0.70, 0.705, 0.71), (0.80, 0.805, 0.81)]), ["k"])
    assert ranking_lines(study)[1] == (
        "it is significantly better than the other setting "
        "(5 % level, for new images and new seeds, Holm's correction for 1 pair)"
    )


def test_settings_within_noise_are_counted_with_the_closest_and_more_seeds():
    study = Study(seeded([(0.5, 0.501), (0.7, 0.72), (0.71, 0.725), (0.705, 0.74)]), ["k"])
    (verdict,) = ranking_lines(study)[1:]
    assert "k=3 (72.2 %)" in ranking_lines(study)[0]
    assert verdict.startswith(
        "it is significantly better than 1 of the 3 other settings, but not than k=2 (71.8 %), p ="
    )
    assert ", and 1 more (5 % level, for new images and new seeds, Holm's correction for 6 pairs)" in verdict
    assert verdict.endswith("To find a difference of 1.0 points, more than 100 seeds or more test images are needed")


def test_two_seeds_on_ten_images_are_no_evidence():
    study = Study(seeded([(0.9, 0.9), (1.0, 1.0)], test_images=10), ["k"])
    assert (
        "is not significantly better than the other setting; the next best is k=0 (90.0 %)" in ranking_lines(study)[1]
    )


@pytest.mark.parametrize(("split", "key"), [("test", "correct"), ("val", "val_correct")])
def test_single_images_make_the_comparison_sharper(split, key):
    rows = seeded([(0.70, 0.702), (0.706, 0.708), (0.712, 0.714)])
    for row in rows:
        row["trial"] = f"{row['k']}-{row['seed']}"
        row |= {"val_accuracy": row["test_accuracy"], "val_images": 10_000} if split == "val" else {}
    correct = {row["trial"]: np.arange(10_000) < row["test_accuracy"] * 10_000 for row in rows}
    loose, paired = Study(rows, ["k"]), Study(rows, ["k"], **{key: correct})
    assert all(pair.within_noise for pair in loose.comparisons)
    assert not any(pair.within_noise for pair in paired.comparisons)


def test_a_difference_beyond_reach_asks_for_more_images():
    rows = [sweep_row({"k": k}, a, test_images=20) for k, a in enumerate((0.5, 0.5))]
    assert ranking_lines(Study(rows, ["k"]))[1].endswith(
        "To find a difference of 1.0 points, more than 100 seeds or more test images are needed"
    )


def test_more_seeds_are_no_advice_where_unknown_single_images_are_the_noise():
    rows = seeded([(0.60, 0.60), (0.61, 0.61)], val_images=5000)
    for row in rows:
        row["val_accuracy"] = row["test_accuracy"]
    assert ranking_lines(Study(rows, ["k"]))[1].endswith(
        "To find a difference of 1.0 points, more than 100 seeds or more validation images are needed"
    )


def test_runs_that_differ_only_in_their_seed_are_no_settings():
    rows = [sweep_row({"train.seed": seed}, 0.7 + seed / 100, seed=seed) for seed in range(3)]
    assert (
        ranking_lines(Study(rows, ["train.seed"]))[1] == "the runs differ only in their seed, so the best one is chance"
    )
