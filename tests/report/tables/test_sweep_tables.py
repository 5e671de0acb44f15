"""Tables of sweeps and seeds."""

import dataclasses

import numpy as np
import torch
from hypothesis import given, settings

from harness.rendered import lines_of
from harness.sweep_rows import sweep_row, sweeps
from tenfold.core.text import interval
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.evaluate.spread import accuracy_spread
from tenfold.report.ranking import ranking_lines
from tenfold.report.study import Study
from tenfold.report.tables.sweep_tables import (
    duplicates_line,
    seeds_line,
    seeds_table,
    settings_table,
    sweep_table,
    target_line,
)


def test_each_trial_has_a_line_and_the_best_is_marked():
    failed = sweep_row({"model.width": 70}, status="failed", error="out of memory")
    rows = [sweep_row({"model.width": 90}, 0.712), sweep_row({"model.width": 30}, 0.7), failed]
    lines = lines_of(sweep_table(Study(rows, ["model.width"])))
    assert lines[0] == "trial width seed status test accuracy 95 % interval parameters seconds"
    assert lines[2] == "model.width=90 90 0 finished 71.2 % 70.3–72.1 % 62,006 12.5 best"
    assert lines[3] == "model.width=30 30 0 finished 70.0 % 69.1–70.9 % 62,006 12.5"
    assert lines[4] == "model.width=70 70 0 failed – – – – out of memory"


def test_a_batch_size_that_was_not_used_as_given_is_shown_with_the_used_one():
    rows = [sweep_row({"train.batch_size": size}, batch_size=min(size, 112)) for size in (50, 1000)]
    lines = lines_of(sweep_table(Study(rows, ["train.batch_size"])))
    assert " 50 0 finished" in lines[2]
    assert " 1000 (used 112) 0 finished" in lines[3]


def duplicates_of(*found):
    """Returns the line for trials of 36 test images, each with so many duplicates and an accuracy without them."""
    return duplicates_line(
        [
            sweep_row({}, seed=seed, test_images=36, near_duplicates=count, test_accuracy_without=accuracy)
            for seed, (count, accuracy) in enumerate(found)
        ]
    )


def test_seeds_tell_their_accuracy_without_near_duplicates():
    start = "without the test images that have a near duplicate in train"
    assert duplicates_of((6, 0.8), (6, 0.82)) == f"{start} (6 of 36): 81.0 ± 1.4 %"
    assert duplicates_of((19, 0.8), (15, 0.8)) == f"{start} (19 of 36 with seed 0, 15 of 36 with seed 1): 80.0 ± 0.0 %"
    assert duplicates_of((36, None), (36, None)) == f"{start} (36 of 36) none is left"
    expected = f"{start} (36 of 36 with seed 0, 6 of 36 with seed 1): 80.0 % over the 1 seed with others"
    assert duplicates_of((36, None), (6, 0.8)) == expected
    assert duplicates_of((0, 0.8), (None, None)) is None


def test_a_sweep_ranked_by_validation_also_shows_test_accuracy():
    rows = [sweep_row({"k": 1}, 0.6, val_accuracy=0.65), sweep_row({"k": 2}, 0.7, val_accuracy=0.64)]
    lines = lines_of(sweep_table(Study(rows, ["k"])))
    assert lines[0] == "trial k seed status validation accuracy 95 % interval test accuracy parameters seconds"
    assert lines[2] == "k=1 1 0 finished 65.0 % – 60.0 % 62,006 12.5 best"


def test_several_seeds_are_averaged_by_setting():
    rows = [
        sweep_row({"k": k}, a, seed=s) for k, s, a in (("a", 0, 0.70), ("b", 0, 0.5), ("a", 1, 0.71), ("a", 2, 0.72))
    ]
    lines = lines_of(settings_table(Study(rows, ["k"])))
    assert lines[0] == "k seeds test accuracy 95 % interval lowest highest parameters seconds"
    assert lines[2] == "a 3 71.0 ± 1.0 % 68.4–73.6 % 70.0 % 72.0 % 62,006 12.5 best"
    assert lines[3] == "b 1 50.0 % 49.0–51.0 % 50.0 % 50.0 % 62,006 12.5"


def evaluations(error_counts: list[int]):
    """Yields evaluations of two classes of ten images, with so many of the first predicted as the second."""
    labels = torch.tensor([0] * 10 + [1] * 10)
    for num_errors in error_counts:
        predicted = labels.clone()
        predicted[:num_errors] = 1
        yield evaluate_logits(torch.nn.functional.one_hot(predicted, 3).float(), labels, ("cat", "[red]dog", "none"))


def seeds_study(accuracies, resplit=False, **known):
    rows = [sweep_row({}, a, seed=7 + i, test_images=20, **known) for i, a in enumerate(accuracies)]
    return Study(rows, [], "seeds", resplit)


def test_several_seeds_show_mean_and_spread_of_each_class():
    lines = lines_of(seeds_table(seeds_study([1, 0.9]), list(evaluations([0, 2]))))
    assert lines[2].startswith("7 100.0 %")
    assert lines[3].startswith("8 90.0 %")
    assert lines[4] == (
        "accuracy 95.0 ± 7.1 % over 2 seeds on one split, from 90.0 % to 100.0 %; "
        "95 % interval 28.8–100.0 %, for new images and new seeds"
    )
    assert lines[7:] == ["cat 90.0 ± 14.1 % 80.0 % 100.0 %", "[red]dog 100.0 ± 0.0 % 100.0 % 100.0 %", "none – – –"]


def test_seeds_with_equal_results_have_the_interval_of_their_test_images():
    lines = lines_of(seeds_table(seeds_study([0.9, 0.9, 0.9]), list(evaluations([2, 2, 2]))))
    single = interval(wilson(18, 20))
    assert f"accuracy 90.0 ± 0.0 % over 3 seeds on one split, from 90.0 % to 90.0 %; 95 % interval {single}" in lines[5]


def test_seeds_with_splits_of_their_own_say_what_the_interval_covers():
    lines = lines_of(seeds_table(seeds_study([1, 0.9], resplit=True), list(evaluations([0, 2]))))
    assert "over 2 seeds, each with its own split" in lines[4]
    assert lines[4].endswith("for new images, new splits and new seeds")


def test_seeds_with_the_same_test_images_claim_no_new_splits():
    study = seeds_study([1, 0.9], resplit=True)
    same = dataclasses.replace(study, correct={"a": np.ones(20, bool)})
    line = seeds_line(same).plain
    assert "over 2 seeds, each with its own validation images, from" in line
    assert line.endswith("for new images and new seeds")
    on_one_split = accuracy_spread([row["test_accuracy"] for row in study.rows], 20)
    assert same.tested(study.rows).interval == same.results[0].spread.interval == on_one_split.interval


def test_one_seed_says_that_its_spread_is_unknown():
    assert "accuracy 100.0 % of one seed; --seeds 5 shows how much it varies" in lines_of(
        seeds_table(seeds_study([1]), [*evaluations([0])])
    )


def test_times_to_a_target_stand_in_a_column_and_in_a_sentence():
    study = seeds_study([1, 0.9], target=0.5)
    study.rows[0]["target_seconds"] = 4.25
    lines = lines_of(seeds_table(study, list(evaluations([0, 2]))))
    assert lines[0] == "seed test accuracy 95 % interval to target"
    assert lines[2].endswith("4.2 s")
    assert lines[3].endswith("not reached")
    assert lines[5] == "target 50.0 % reached by 1 of 2 seeds, after 4.2 s"
    study.rows[1]["target_seconds"] = 6.25
    assert target_line(study_of(study)) == "target 50.0 % reached by 2 of 2 seeds, after 5.2 ± 1.4 s"
    for row in study.rows:
        row["target_seconds"] = None
    assert target_line(study_of(study)) == "target 50.0 % was reached by none of the 2 seeds"
    assert target_line(seeds_study([1, 0.9])) is None


def study_of(study):
    return Study(study.rows, study.keys, study.kind)


@given(sweeps())
@settings(max_examples=50, deadline=None)
def test_any_rows_can_be_listed(sweep):
    keys, rows = sweep
    study = Study(rows, keys)
    for table in (sweep_table(study), settings_table(study)):
        assert len(lines_of(table, width=2000)) >= 1
    assert all(line.isprintable() for line in ranking_lines(study))
