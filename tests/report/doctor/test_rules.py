"""Each doctor rule alone: where it speaks, where it does not, and how rarely noise triggers it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.evaluate.intervals import mcnemar, wilson
from tenfold.recipes.load import load_recipe
from tenfold.report.doctor.evaluation import images_needed, near_duplicates, wide_interval
from tenfold.report.doctor.evidence import Diagnosis, Evidence, loss_text, noise_std, training_curve
from tenfold.report.doctor.generalization import over_fit, two_proportions_p, unlike_validation
from tenfold.report.doctor.optimization import chance, not_finite, one_class, rate_too_high, rate_too_low
from tenfold.report.doctor.resources import clipped_colors, cpu_beside_gpu, large_batch, slow_loading
from tenfold.runs.tables import PredictionRow

CLASSES = ("ant", "bee", "cat", "dog")
RANDOM = np.random.default_rng


def predictions_from(counts: Mapping[tuple[str, str], int]) -> tuple[PredictionRow, ...]:
    """Returns predictions from counts by true and predicted class."""
    return tuple(PredictionRow("0", *pair, 0.5) for pair, count in counts.items() for _ in range(count))


def predictions_with(num_correct: int, total: int) -> tuple[PredictionRow, ...]:
    """Returns predictions of four classes with the given number of correct ones."""
    pairs = ((CLASSES[i % 4], CLASSES[(i if i < num_correct else i + 1 + i // 4 % 3) % 4]) for i in range(total))
    return tuple(PredictionRow(str(i), *pair, 0.5) for i, pair in enumerate(pairs))


def rows(losses: Any, *, lr: Any = 0.01, accuracy: float = 0.5, **columns: Any) -> tuple[dict[str, Any], ...]:
    """Returns rows of `metrics.csv`, one for each epoch of ten steps; other columns as lists."""
    rates = lr if isinstance(lr, list) else [lr] * len(losses)
    return tuple(
        {
            "epoch": i + 1,
            "step": 10 * (i + 1),
            "lr": rates[i],
            "train_loss": float(loss),
            "train_accuracy": accuracy,
            "val_loss": None,
            "val_accuracy": None,
            **{name: float(values[i]) for name, values in columns.items()},
        }
        for i, loss in enumerate(losses)
    )


def evidence(*overrides: str, recipe: str = "mlp", **fields: Any) -> Evidence:
    defaults = {"predictions": predictions_with(140, 200), "summary": {"steps": 1}}
    return Evidence(recipe=load_recipe(recipe, overrides), **{**defaults, **fields})


def text_of(diagnosis: Diagnosis | None) -> str:
    assert diagnosis is not None
    return f"{diagnosis.sentence} {diagnosis.remedy}"


def alarm_rate(rule: Callable[[Evidence], Diagnosis | None], runs: list[Evidence]) -> float:
    return sum(rule(run) is not None for run in runs) / len(runs)


# curves


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=40))
def test_a_short_curve_is_the_losses(losses: list[float]) -> None:
    assert training_curve(rows(losses)) == pytest.approx(losses)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=41, max_size=300))
def test_a_long_curve_is_averaged(losses: list[float]) -> None:
    curve = training_curve(rows(losses))
    assert len(curve) == 40
    assert min(losses) - 1e-9 <= curve.min() <= curve.max() <= max(losses) + 1e-9


@pytest.mark.parametrize("std", [0.01, 0.1, 1.0])
def test_noise_is_separated_from_the_trend_of_a_curve(std: float) -> None:
    trend = 5 * np.exp(-np.linspace(0, 3, 4000))
    assert noise_std(trend + RANDOM(0).normal(0, std, 4000)) == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize(("loss", "text"), [(2.3, "2.30"), (0.061, "0.061"), (1e30, "1e+30")])
def test_a_loss_is_short_whatever_its_size(loss: float, text: str) -> None:
    assert loss_text(loss) == text


# optimization


def test_a_run_that_finished_after_a_loss_that_was_not_finite_is_fine() -> None:
    events = ({"event": "loss not finite", "step": 7},)
    text = text_of(not_finite(evidence("optim.lr=50", events=events, summary={})))
    assert "at step 7" in text
    assert "Go on with a lower one: tenfold train --resume RUN --lr 0.01." in text
    assert not_finite(evidence(events=events)) is None


def test_a_diverged_run_that_was_resumed_is_not_diverged() -> None:
    events = ({"event": "loss not finite", "step": 7}, {"event": "resumed", "step": 5})
    assert not_finite(evidence(events=events, summary={})) is None


def test_one_class_is_found_from_the_images_of_the_others() -> None:
    collapsed = {("ant", "ant"): 50, ("bee", "ant"): 48, ("bee", "bee"): 2}
    text = text_of(one_class(evidence("optim.lr=0.5", predictions=predictions_from(collapsed))))
    assert "98.0 % of 100 test images are predicted as “ant”, but only 50.0 % belong to it" in text
    assert "Try another learning rate: --lr 0.05 (now 0.5), or else --lr 5 (now 0.5)" in text
    imbalanced = {("ant", "ant"): 950, ("bee", "bee"): 25, ("bee", "ant"): 25}  # half of the rare class is right
    assert one_class(evidence(predictions=predictions_from(imbalanced))) is None
    assert one_class(evidence(predictions=predictions_from({("ant", "ant"): 50}))) is None  # there is no other class


def test_no_rate_outside_the_usual_range_is_suggested() -> None:
    collapsed = predictions_from({("ant", "ant"): 50, ("bee", "ant"): 50})
    high = text_of(one_class(evidence("optim.lr=1.0", predictions=collapsed)))
    assert "Try another learning rate: --lr 0.1 (now 1); if" in high
    low = text_of(one_class(evidence("optim.lr=0.001", predictions=collapsed)))
    assert "Try another learning rate: --lr 0.01 (now 0.001); if" in low


def test_one_class_is_explained_by_an_imbalanced_training_set() -> None:
    summary = {"dataset": {"train_counts": {"ant": 920, "bee": 80}}}
    collapsed = evidence(predictions=predictions_from({("ant", "ant"): 92, ("bee", "ant"): 8}), summary=summary)
    assert "It makes up 92.0 % of the training images: add images of the other classes" in text_of(one_class(collapsed))


@pytest.mark.parametrize(("num_correct", "is_chance"), [(25, True), (30, True), (60, False), (100, False)])
def test_chance_is_an_accuracy_whose_interval_holds_it(num_correct: int, is_chance: bool) -> None:
    found = chance(evidence(predictions=predictions_with(num_correct, 100)))
    assert (found is not None) == is_chance


def test_chance_is_the_most_frequent_class_of_an_imbalanced_test_split() -> None:
    imbalanced = {("ant", "ant"): 78, ("bee", "bee"): 2, ("bee", "ant"): 18, ("ant", "bee"): 2}
    text = text_of(chance(evidence(predictions=predictions_from(imbalanced))))
    assert "Test accuracy, 80.0 % (95 % interval 71.1–86.7 %) of 100 test images" in text
    assert "is no better than always predicting “ant”, the most frequent class (80.0 %)" in text


def test_chance_names_the_baseline_that_was_tested() -> None:
    nearly_equal = {("ant", "ant"): 30, ("ant", "bee"): 23, ("bee", "bee"): 24, ("bee", "ant"): 23}
    text = text_of(chance(evidence(predictions=predictions_from(nearly_equal))))
    assert "than always predicting “ant”, the most frequent class (53.0 %)" in text
    assert "guessing among 4 classes (25.0 %)" in text_of(chance(evidence(predictions=predictions_with(25, 100))))


def test_a_high_training_accuracy_casts_doubt_on_the_test_labels() -> None:
    text = text_of(chance(evidence(predictions=predictions_with(25, 100), rows=rows([1.0, 0.1], accuracy=0.97))))
    assert "The training accuracy is 97.0 %, so check that the test labels mean the same" in text


@settings(deadline=None)
@given(st.floats(0.001, 100))
def test_chance_follows_the_interval_for_random_guesses(seed: float) -> None:
    num_correct = int(RANDOM(int(seed * 1000)).binomial(400, 0.25))
    found = chance(evidence(predictions=predictions_with(num_correct, 400)))
    assert (found is not None) == (wilson(num_correct, 400)[0] <= 0.25)


FALLING = 2.0 * np.exp(-np.linspace(0, 3, 20)) + 0.05


def test_a_jump_of_the_loss_is_a_rate_too_high() -> None:
    jump = FALLING.copy()
    jump[12] += 1.5
    text = text_of(rate_too_high(evidence("optim.lr=0.3", rows=rows(jump))))
    assert "jumped from 0.402 to 1.85 in epoch 13: the peak learning rate, 0.3," in text
    assert "--lr 0.1 (now 0.3), or add warmup: --set optim.warmup=0.1" in text
    assert rate_too_high(evidence(rows=rows(FALLING))) is None


def test_a_small_jump_that_training_made_up_for_is_fine() -> None:
    recovered = np.array([*FALLING[:10], 0.05, 0.03, 0.35, 0.2, 0.04, *[0.001] * 5])
    assert rate_too_high(evidence(rows=rows(recovered))) is None
    assert rate_too_high(evidence(rows=rows([*recovered[:15], *[0.2] * 5]))) is not None


def test_a_small_step_up_as_from_larger_images_is_not_a_jump() -> None:
    assert rate_too_high(evidence(rows=rows(FALLING * np.where(np.arange(20) < 12, 1, 1.2)))) is None


def test_a_pruned_run_has_neither_jump_nor_steady_fall() -> None:
    harder = FALLING * np.where((np.arange(20) > 4) & (np.arange(20) < 17), 4, 1)
    assert rate_too_high(evidence(rows=rows(harder))) is not None
    assert rate_too_high(evidence("data.pruning=0.6", rows=rows(harder))) is None
    easier = rows(np.linspace(1.4, 0.7, 20))
    assert rate_too_low(evidence(rows=easier)) is not None
    assert rate_too_low(evidence("data.pruning=0.6", rows=easier)) is None


def test_few_rows_are_enough_for_a_loss_far_above_uniform() -> None:
    assert "jumped from 1.20 to 6.00 in epoch 3" in text_of(rate_too_high(evidence(rows=rows([1.4, 1.2, 6.0, 1.3]))))
    assert "peaked at 9.00 and ended at 1.39" in text_of(rate_too_high(evidence(rows=rows([9.0, 1.39, 1.39, 1.39]))))
    assert rate_too_high(evidence(rows=rows([9.0, 6.0, 4.0, 2.0]))) is None  # bad initial weights, but falling


@pytest.mark.parametrize("scatter", [0.02, 0.1, 0.3])
def test_noise_is_rarely_a_jump(scatter: float) -> None:
    losses = [0.8 * RANDOM(seed).lognormal(0, scatter, 400) for seed in range(100)]  # single steps with small batches
    assert alarm_rate(rate_too_high, [evidence(rows=rows(one)) for one in losses]) <= 0.01


def test_a_flat_loss_is_blamed_only_on_a_low_rate() -> None:
    flat = rows(np.linspace(1.386, 1.385, 8))
    assert "hardly moved in 80 steps, from 1.386 to 1.385: the learning rate, 1e-05" in text_of(
        rate_too_low(evidence("optim.lr=1e-5", rows=flat))
    )
    assert rate_too_low(evidence("optim.lr=0.5", rows=flat)) is None
    assert rate_too_low(evidence("optim.lr=1e-5", rows=flat[:4])) is None  # 40 steps are too few


def test_a_usual_rate_is_not_blamed_alone_for_a_flat_loss() -> None:
    flat = rows(np.linspace(1.386, 1.385, 8))
    unsure = text_of(rate_too_low(evidence("optim.lr=0.01", rows=flat)))
    assert "0.01, is too low for so few steps, or the images say nothing about their labels." in unsure
    assert "Train longer (--epochs 20, now 10), or raise the learning rate: --lr 0.03 (now 0.01); if neither" in unsure
    assert "labels" not in text_of(rate_too_low(evidence("optim.lr=1e-5", rows=flat)))


def test_muon_lr_changes_with_lr_unless_lr_alone_is_to_blame() -> None:
    flat = rows([1.386] * 8)
    both = text_of(rate_too_low(evidence("optim.lr=0.01", "optim.muon_lr=0.001", recipe="quick", rows=flat)))
    assert "--lr 0.03 --set optim.muon_lr=0.003 (now 0.01 and 0.001)" in both
    assert "--lr 0.001 (now 1e-06)" in text_of(rate_too_low(evidence("optim.lr=1e-6", recipe="quick", rows=flat)))


def test_a_steady_fall_at_the_end_suggests_longer_training() -> None:
    steady = np.linspace(1.4, 0.7, 20)
    text = text_of(rate_too_low(evidence("train.duration=3 epochs", rows=rows(steady))))
    assert "0.958 in the third quarter of the run, 0.774 in the last, at a learning rate of 0.001" in text
    assert "--epochs 6, now 3" in text
    assert "--lr 0.003 (now 0.001)" in text
    decayed = rows(steady, lr=list(np.linspace(0.01, 0, 20)))
    reached = {"target": {"accuracy": 0.9, "reached": True}}
    overfit = rows(steady, accuracy=0.99)
    for fine in (evidence(rows=decayed), evidence(rows=rows(steady), summary=reached), evidence(rows=overfit)):
        assert rate_too_low(fine) is None


BUDGET = {"command": ["tenfold", "train", "DATA", "--budget", "60s"]}


def test_a_run_with_a_budget_is_told_to_take_a_larger_one() -> None:
    steady = text_of(rate_too_low(evidence(rows=rows(np.linspace(1.4, 0.7, 20)), environment=BUDGET)))
    assert "Train longer (a larger --budget, now 60s), or raise" in steady
    few = {"summary": {"batch_size": 40, "dataset": {"train_counts": {"ant": 80, "bee": 80}}}}
    text = text_of(large_batch(evidence(rows=rows([1.0, 0.9]), environment={"command": ["--budget=60s"]}, **few)))
    assert "or train longer (a larger --budget, now 60s)." in text
    rising = replace(with_validation(RISING, TRAINED, np.linspace(0.75, 0.6, 8)), environment=BUDGET)
    assert "Stop there (early stopping: --set train.early_stop=2)." in text_of(over_fit(rising))


def test_a_run_that_ended_by_itself_need_not_train_longer() -> None:
    steady = rows(np.linspace(1.4, 0.7, 20))
    assert rate_too_low(evidence("train.duration=30 epochs", rows=steady)) is not None
    assert rate_too_low(evidence("train.duration=30 epochs", "train.early_stop=2", rows=steady)) is None
    reached = {"batch_size": 40, "dataset": {"train_counts": {"ant": 80, "bee": 80}}, "target": {"reached": True}}
    assert large_batch(evidence(rows=rows([1.0, 0.9]), summary=reached)) is None


def test_a_converged_loss_needs_no_longer_training() -> None:
    assert rate_too_low(evidence(rows=rows(0.6 + np.exp(-np.linspace(0, 6, 20))))) is None
    flat = [0.8 + RANDOM(seed).normal(0, 0.05, 20) for seed in range(200)]
    assert alarm_rate(rate_too_low, [evidence(rows=rows(one)) for one in flat]) <= 0.01


# generalization


def with_validation(val: Any, train: Any, accuracy: Any = None, num_val: int = 1000) -> Evidence:
    accuracies = [0.7] * len(val) if accuracy is None else accuracy
    summary = {"dataset": {"pictures": {"train": 5000, "val": num_val, "test": 200}}}
    return evidence(rows=rows(train, val_loss=val, val_accuracy=accuracies), summary=summary)


RISING = [1.2, 0.9, 0.8, 0.85, 0.95, 1.1, 1.2, 1.3]
TRAINED = np.linspace(1.2, 0.1, 8)


def test_overfitting_reports_its_start_and_its_cost() -> None:
    text = text_of(over_fit(with_validation(RISING, TRAINED, np.linspace(0.75, 0.6, 8))))
    assert "Overfitting since epoch 3: the validation loss rose from 0.8 to 1.30 while the training loss fell" in text
    assert "validation accuracy went from 70.7 % to 60.0 %." in text
    assert "Stop there (--epochs 3, or early stopping: --set train.early_stop=2)." in text


def test_overconfident_probabilities_suggest_label_smoothing() -> None:
    text = text_of(over_fit(with_validation(RISING, TRAINED, np.linspace(0.7, 0.8, 8))))
    assert "so only the probabilities became overconfident" in text
    assert "--set optim.label_smoothing=0.1" in text
    assert "--epochs" not in text


def test_no_stop_is_advised_where_the_accuracy_still_rose() -> None:
    text = text_of(over_fit(with_validation(RISING, TRAINED, np.linspace(0.25, 0.3, 8))))
    assert "validation accuracy went from 26.4 % to 30.0 %. Use more augmentation" in text


def test_losses_that_rise_together_are_not_overfitting() -> None:
    assert over_fit(with_validation(RISING, np.array(RISING) - 0.1)) is None
    assert over_fit(with_validation(RISING[:4], TRAINED[:4])) is None  # too few validations
    assert over_fit(with_validation(sorted(RISING, reverse=True), TRAINED)) is None


@pytest.mark.parametrize("num_validations", [5, 8, 20, 100])
def test_noise_is_rarely_overfitting(num_validations: int) -> None:
    train = np.linspace(1.2, 0.4, num_validations)
    flat = [0.8 + RANDOM(seed).normal(0, 0.03, num_validations) for seed in range(300)]
    assert alarm_rate(over_fit, [with_validation(one, train) for one in flat]) <= 0.02


def test_a_clear_rise_is_nearly_always_found_in_noise() -> None:
    trend = 0.8 + 0.6 * np.linspace(-0.5, 1, 15) ** 2
    noisy = [trend + RANDOM(seed).normal(0, 0.02, 15) for seed in range(200)]
    assert alarm_rate(over_fit, [with_validation(one, np.linspace(1.2, 0.4, 15)) for one in noisy]) >= 0.95


@pytest.mark.parametrize(("train_accuracy", "is_overfit"), [(0.99, True), (0.72, False)])
def test_without_validation_the_gap_to_the_test_accuracy_counts(train_accuracy: float, is_overfit: bool) -> None:
    summary = {"dataset": {"pictures": {"train": 5000}}}
    found = over_fit(evidence(rows=rows([1.0, 0.5], accuracy=train_accuracy), summary=summary))
    assert (found is not None) == is_overfit


@pytest.mark.parametrize(("num_correct", "total"), [(37, 49), (151, 200)])
def test_a_training_accuracy_far_above_the_test_accuracy_is_overfitting(num_correct: int, total: int) -> None:
    flat = with_validation([0.7] * 6, np.linspace(1.2, 0.1, 6))
    flat = replace(flat, rows=tuple({**row, "train_accuracy": 1.0} for row in flat.rows))
    text = text_of(over_fit(replace(flat, predictions=predictions_with(num_correct, total))))
    assert "the training accuracy of epoch 6 is 100.0 %, but the test accuracy only 75.5 %" in text
    assert "the validation loss did not rise beyond its noise, so shorter training would not help." in text
    assert "val_fraction" not in text


def test_the_training_accuracy_is_that_of_the_evaluated_epoch() -> None:
    improving = tuple({**row, "train_accuracy": 0.5 + row["epoch"] / 20} for row in rows([1.0] * 10))
    assert evidence(rows=improving).train_accuracy == pytest.approx(1.0)
    assert evidence(rows=improving, summary={"best_epoch": 3}).train_accuracy == pytest.approx(0.65)


def test_a_gap_that_the_test_splits_noise_explains_is_no_overfitting() -> None:
    fields = {"rows": rows([1.0, 0.5], accuracy=0.95), "summary": {"dataset": {"pictures": {"train": 5000}}}}
    assert over_fit(evidence(predictions=predictions_with(10, 12), **fields)) is None
    assert over_fit(evidence(predictions=predictions_with(900, 1000), **fields)) is None  # 5 points


def test_augmentation_is_suggested_only_if_it_is_not_used() -> None:
    summary = {"dataset": {"pictures": {"train": 5000}}}
    used = ("data.augment.flip=random", "data.augment.shift=2", "data.augment.cutmix=1.0")
    fields = {"rows": rows([1.0, 0.5], accuracy=0.99), "summary": summary}
    assert "--set data.augment.mixup=0.2)" in text_of(over_fit(evidence(*used[:2], **fields)))
    assert "data.augment" not in text_of(over_fit(evidence(*used, **fields)))
    cropped = text_of(over_fit(evidence("data.augment.crop=[0.3, 1]", "train.layers=head", **fields)))
    assert "Use more augmentation (--set data.augment.flip=random)" in cropped  # a recipe takes neither of the others


def with_val_accuracy(accuracy: float, num_val: int, num_correct: int, total: int) -> Evidence:
    summary = {"val_accuracy": accuracy, "dataset": {"pictures": {"val": num_val}}}
    return evidence(predictions=predictions_with(num_correct, total), summary=summary)


def test_different_validation_and_test_accuracies_are_reported() -> None:
    text = text_of(unlike_validation(with_val_accuracy(0.9, 500, 700, 1000)))
    assert "Test accuracy, 70.0 % (95 % interval 67.1–72.8 %) of 1,000 test images, is far below" in text
    assert "the validation accuracy, 90.0 % of 500 validation images" in text
    assert "(p < 0.001)" in text
    assert "is far above the" in text_of(unlike_validation(with_val_accuracy(0.7, 500, 900, 1000)))


@pytest.mark.parametrize("fine", [(0.74, 500, 700, 1000), (0.9, 20, 140, 200), (0.72, 100_000, 69_000, 100_000)])
def test_a_small_or_insignificant_difference_is_fine(fine: tuple[float, int, int, int]) -> None:
    assert unlike_validation(with_val_accuracy(*fine)) is None


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_the_p_value_is_symmetric(first: int, second: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))
    p = two_proportions_p(a, first, b, second)
    assert 0 <= p <= 1
    assert p == pytest.approx(two_proportions_p(b, second, a, first))
    assert p == pytest.approx(two_proportions_p(first - a, first, second - b, second), abs=1e-9)


def test_the_p_value_keeps_its_false_alarm_rate() -> None:
    draws = RANDOM(0).binomial(1000, 0.8, (2000, 2))
    alarms = np.mean([two_proportions_p(int(a), 1000, int(b), 1000) < 0.05 for a, b in draws])
    assert 0.03 < alarms < 0.07


def test_a_small_test_split_is_reported_with_the_number_needed() -> None:
    text = text_of(wide_interval(evidence(predictions=predictions_with(96, 120))))
    assert "With 120 test images the 95 % interval of the accuracy is 14 points wide (72.0–86.2 %)." in text
    assert "can be significant from 5 points (6 images) on, as tenfold compare pairs them image by image." in text
    assert "If the test split is drawn at random, --set data.test_fraction makes it larger." in text
    assert "Use about 1,600 test images for ±2 points, 6,400 for ±1 point." in text
    assert wide_interval(evidence(predictions=predictions_with(3200, 4000))) is None


def test_few_images_are_better_cross_validated_which_a_fold_is_already() -> None:
    few = {"dataset": {"pictures": {"train": 279, "test": 120}}}
    advice = "With 399 images in all, let each of them be tested once: --folds 5 (cross-validation)."
    predictions = predictions_with(96, 120)
    assert advice in text_of(wide_interval(evidence(predictions=predictions, summary=few)))
    fold = evidence("data.folds=5", "data.fold=1", predictions=predictions, summary=few)
    assert "--folds" not in text_of(wide_interval(fold))
    counts = {"ants": 3, "bees": 276}
    uneven = {"dataset": {**few["dataset"], "train_counts": counts}}
    assert "--folds 3 (cross-validation)" in text_of(wide_interval(evidence(predictions=predictions, summary=uneven)))
    counts["ants"] = 1  # no fold could train and test on it
    assert "--folds" not in text_of(wide_interval(evidence(predictions=predictions, summary=uneven)))
    many = {"dataset": {"pictures": {"train": 380, "test": 120}}}
    assert "--folds" not in text_of(wide_interval(evidence(predictions=predictions, summary=many)))


def test_fewer_than_six_test_images_show_no_difference_of_two_runs() -> None:
    text = text_of(wide_interval(evidence(predictions=predictions_with(1, 1))))
    assert "With fewer than 6 test images no difference of two runs can be significant." in text
    assert "(6 images) on" not in text


def test_too_few_test_images_are_no_reason_for_another_learning_rate() -> None:
    summary = {"dataset": {"train_counts": {"ant": 5, "bee": 5}}}
    text = text_of(chance(evidence(predictions=predictions_from({("ant", "ant"): 1}), summary=summary)))
    assert "says nothing: even if all were right, it would not be significantly better than always predicting" in text
    assert "Use more test images of every class." in text
    assert "learning rate" not in text


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.005, 0.05))
def test_the_images_needed_give_that_interval(accuracy: float, half_width: float) -> None:
    count = images_needed(accuracy, half_width)
    low, high = wilson(round(accuracy * count), count)
    assert high - low == pytest.approx(2 * half_width, rel=0.15)


def test_a_target_within_the_interval_is_uncertain() -> None:
    many = {"predictions": predictions_with(3610, 4000)}
    text = text_of(wide_interval(evidence(**many, summary={"target": {"accuracy": 0.9, "reached": True}})))
    assert "The target, 90.0 %, lies within the 95 % interval of the test accuracy, 89.3–91.1 %" in text
    assert "--target 0.909" in text
    assert wide_interval(evidence(**many, summary={"target": {"accuracy": 0.8}})) is None


def test_a_drawn_test_split_can_be_made_larger() -> None:
    drawn = {"near_duplicates": {"drawn": True, "pictures": 120, "left": 120}}
    text = text_of(wide_interval(evidence(predictions=predictions_with(96, 120), summary=drawn)))
    assert "A larger fraction can be drawn: --set data.test_fraction=0.4 (now 0.2)." in text
    given = text_of(wide_interval(evidence(predictions=predictions_with(96, 120), summary={"near_duplicates": None})))
    assert "test_fraction" not in given


def test_the_fewest_images_of_a_paired_difference_are_significant() -> None:
    assert mcnemar(0, 6) < 0.05 < mcnemar(0, 5)


def duplicated(total: int, left: int, accuracy: float | None) -> Evidence:
    bounds = None if accuracy is None else list(wilson(round(accuracy * left), left))
    found = {"split": "test", "drawn": True, "pictures": total, "left": left}
    return evidence(summary={"near_duplicates": {**found, "test_accuracy": accuracy, "test_interval": bounds}})


def test_near_duplicates_are_reported_with_the_accuracy_without_them() -> None:
    text = text_of(near_duplicates(duplicated(200, 188, 0.8)))
    assert "12 of 200 test images have a near duplicate in train (6.0 %): without them the accuracy is 80.0 %" in text
    assert "--group duplicates" in text
    for fine in (duplicated(200, 200, 0.8), duplicated(1000, 995, 0.8), evidence()):
        assert near_duplicates(fine) is None


def test_mostly_duplicated_test_images_are_reported_in_strong_words() -> None:
    text = text_of(near_duplicates(duplicated(32, 0, None)))
    assert "says little about new images: 32 of 32 test images have a near duplicate in train, so it measures" in text
    assert "no test image is left without them" in text


# resources


def with_batch_size(batch_size: int, num_correct: int = 140, **counts: int) -> Evidence:
    summary = {"batch_size": batch_size, "dataset": {"train_counts": counts}}
    return evidence(predictions=predictions_with(num_correct, 200), summary=summary)


def test_a_batch_larger_than_a_rare_class_is_reported() -> None:
    text = text_of(large_batch(with_batch_size(100, ant=1000, bee=900, cat=40)))
    assert "A batch of 100 images is larger than the smallest class, “cat” with 40 training images" in text
    assert "--batch-size 32, or add images of “cat”" in text


def test_usual_batches_are_fine() -> None:
    assert large_batch(with_batch_size(250, ant=5000, bee=5000)) is None
    many_steps = replace(with_batch_size(50, ant=40, bee=40, cat=40, dog=40), rows=rows([1.0] * 30))
    assert large_batch(many_steps) is None  # chosen by Tenfold for a small set: ten images of each class in a batch
    assert large_batch(with_batch_size(30, ant=40, bee=40, cat=40, dog=500)) is None
    assert large_batch(with_batch_size(2000, **{f"class{i}": 500 for i in range(100)})) is None  # 20 of each in a batch
    assert large_batch(with_batch_size(100, num_correct=192, ant=1000, bee=900, cat=40)) is None  # nothing to gain


def test_a_run_of_few_steps_is_reported() -> None:
    fields = {"summary": {"batch_size": 40, "dataset": {"train_counts": {"ant": 80, "bee": 80}}}}
    text = text_of(large_batch(evidence(rows=rows([1.0, 0.9]), **fields)))
    assert "A batch of 40 images is 25.0 % of the 160 training images, and the whole run took only 20 steps" in text
    assert large_batch(evidence(rows=rows([1.0] * 30), **fields)) is None


@pytest.mark.parametrize(("fraction", "is_clipped"), [(0.42, True), (0.2, False)])
def test_clipped_colors_are_reported_with_their_causes(fraction: float, is_clipped: bool) -> None:
    found = clipped_colors(evidence(summary={"dataset": {"clipped": fraction}}))
    assert (found is not None) == is_clipped
    if is_clipped:
        assert (
            "42.0 % of the channel values in the training images are exactly 0 or 255: a plain black or white"
            in text_of(found)
        )


def test_padding_by_the_recipe_is_named_as_a_cause() -> None:
    text = text_of(clipped_colors(evidence("data.fit=pad", summary={"dataset": {"clipped": 0.5}})))
    assert "the borders that data.fit = pad adds" in text
    assert "--set data.fit=crop" in text


@pytest.mark.parametrize(("loading", "is_slow"), [(4.0, True), (2.0, False), (0.0, False)])
def test_slow_loading_is_reported_by_its_fraction(loading: float, is_slow: bool) -> None:
    summary = {"training_seconds": 10.0, "loading_seconds": loading}
    found = slow_loading(evidence("data.augment.shift=2", "data.image_size=128", summary=summary))
    assert (found is not None) == is_slow
    if is_slow:
        assert "Loading and augmentation took 40.0 % of the training time, 4.0 of 10.0 s." in text_of(found)
        assert "--set data.augment.shift=0" in text_of(found)


def test_the_disk_is_blamed_only_for_more_images_than_stay_in_memory() -> None:
    def slow(num_images: int, side: int, *overrides: str) -> Diagnosis | None:
        data = {"pictures": {"train": num_images}, "image_size": [side, side]}
        return slow_loading(
            evidence(*overrides, summary={"training_seconds": 10.0, "loading_seconds": 4.0, "dataset": data})
        )

    assert "other programs" not in text_of(slow(144, 224))
    assert "TENFOLD_CACHE" not in text_of(slow(144, 224))
    assert "--set data.image_size=112, now 224" in text_of(slow(144, 224))
    assert "or keep the decoded images on a faster disk (TENFOLD_CACHE)" in text_of(slow(50_000, 224))
    assert slow(144, 32) is None  # nothing can be done about it


def test_less_than_a_second_of_loading_is_fine() -> None:
    assert slow_loading(evidence(summary={"training_seconds": 0.5, "loading_seconds": 0.4})) is None


def on_cpu(
    environment: dict[str, Any], *overrides: str, hardware: str = "cpu, 2 threads", seconds: float = 60
) -> Evidence:
    return evidence(*overrides, environment=environment, summary={"hardware": hardware, "training_seconds": seconds})


def test_an_unused_gpu_is_named() -> None:
    environment = {"accelerators": ["cuda:0"], "gpu": "NVIDIA H100"}
    text = text_of(cpu_beside_gpu(on_cpu(environment, "train.device=cpu")))
    assert "ran on the CPU for 60 s, as train.device = cpu requested, although there is a GPU: NVIDIA H100" in text
    assert "Train on the GPU: --device cuda." in text
    assert "--device mps." in text_of(cpu_beside_gpu(on_cpu({"accelerators": ["mps"], "gpu": None})))
    assert "NVIDIA A100" in text_of(cpu_beside_gpu(on_cpu({"gpu": "NVIDIA A100"})))  # a run of an earlier version


def test_a_gpu_that_pytorch_cannot_use_is_reported() -> None:
    text = text_of(cpu_beside_gpu(on_cpu({"accelerators": [], "nvidia_gpus": 1, "torch": "2.13.0+cpu"})))
    assert "an NVIDIA GPU. The installed PyTorch (2.13.0+cpu) cannot use it" in text


def test_the_cpu_is_fine_without_a_gpu_or_for_short_runs() -> None:
    environment = {"accelerators": ["cuda:0"], "gpu": "NVIDIA H100"}
    assert cpu_beside_gpu(on_cpu({"accelerators": [], "nvidia_gpus": 0, "gpu": None})) is None
    assert cpu_beside_gpu(on_cpu(environment, seconds=3)) is None
    assert cpu_beside_gpu(on_cpu(environment, hardware="cuda, NVIDIA H100")) is None


def test_the_uniform_loss_depends_on_the_number_of_classes() -> None:
    assert "a uniform prediction has " + loss_text(math.log(4)) in text_of(
        rate_too_high(evidence(rows=rows([9.0, 2.0, 2.0, 2.0])))
    )


# a head alone as epoch 0


def head_first(val_losses: list[float], **summary: Any) -> Evidence:
    """Returns the evidence of a run whose first row is that of a head alone, which fits its images well."""
    found = rows([0.05, *[0.8 - 0.05 * i for i in range(len(val_losses) - 1)]], accuracy=0.99, val_loss=val_losses)
    numbered = tuple({**row, "epoch": i, "step": 10 * i} for i, row in enumerate(found))
    dataset = {"pictures": {"val": 5000, "train": 5000}}
    return evidence(rows=numbered, summary={"steps": 1, "dataset": dataset, **summary})


def test_the_epoch_of_a_head_alone_is_0() -> None:
    assert head_first([0.2] * 7, best_epoch=0).evaluated_epoch == 0
    assert head_first([0.2] * 7, best_epoch=2).evaluated_epoch == 2
    assert head_first([0.2] * 7, best_epoch=None).evaluated_epoch == 6


def test_a_head_alone_that_fits_its_images_is_no_overfitting() -> None:
    assert over_fit(head_first([0.2, *[0.4] * 8], best_epoch=0)) is None
    assert "Overfitting: the training accuracy of epoch 2" in text_of(over_fit(head_first([0.2] * 9, best_epoch=2)))
    assert rate_too_high(head_first([0.2] * 9, best_epoch=0)) is None
