"""Each rule of the run doctor by itself: a case that is ill, one that is well, how often noise is taken for illness."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe
from tenfold.report.doctor.evidence import Case, Finding, loss_text, noise, training_curve
from tenfold.report.doctor.generalization import over_fit, pictures_needed, two_shares, unlike_validation, wide_interval
from tenfold.report.doctor.optimization import chance, not_finite, one_class, rate_too_high, rate_too_low
from tenfold.report.doctor.resources import clipped_colours, cpu_beside_gpu, large_batch, slow_loading
from tenfold.runs.run_folder import Prediction

CLASSES = ("ant", "bee", "cat", "dog")
RANDOM = np.random.default_rng


def predicted(counts: Mapping[tuple[str, str], int]) -> tuple[Prediction, ...]:
    """Returns so many test pictures for each pair of true and predicted class."""
    return tuple(Prediction("0", *pair, 0.5) for pair, count in counts.items() for _ in range(count))


def scored(right: int, total: int) -> tuple[Prediction, ...]:
    """Returns test pictures of four classes, of which so many are recognised."""
    pairs = ((CLASSES[i % 4], CLASSES[(i if i < right else i + 1 + i // 4 % 3) % 4]) for i in range(total))
    return tuple(Prediction(str(i), *pair, 0.5) for i, pair in enumerate(pairs))


def rows(losses: Any, *, lr: Any = 0.01, accuracy: float = 0.5, **columns: Any) -> tuple[dict[str, Any], ...]:
    """Returns rows of `metrics.csv`, one an epoch of ten steps; other columns as lists."""
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


def case(*overrides: str, recipe: str = "mlp", **known: Any) -> Case:
    return Case(
        recipe=load_recipe(recipe, overrides), **{"predictions": scored(140, 200), "summary": {"steps": 1}, **known}
    )


def said(finding: Finding | None) -> str:
    assert finding is not None
    return f"{finding.sentence} {finding.remedy}"


def share_ill(rule: Callable[[Case], Finding | None], cases: list[Case]) -> float:
    return sum(rule(one) is not None for one in cases) / len(cases)


# curves


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=40))
def test_a_short_curve_is_the_losses_themselves(losses: list[float]) -> None:
    assert training_curve(rows(losses)) == pytest.approx(losses)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=41, max_size=300))
def test_a_long_curve_is_gathered_into_means(losses: list[float]) -> None:
    curve = training_curve(rows(losses))
    assert len(curve) == 40
    assert min(losses) - 1e-9 <= curve.min() <= curve.max() <= max(losses) + 1e-9


@pytest.mark.parametrize("deviation", [0.01, 0.1, 1.0])
def test_noise_is_told_from_the_course_of_a_curve(deviation: float) -> None:
    course = 5 * np.exp(-np.linspace(0, 3, 4000))
    assert noise(course + RANDOM(0).normal(0, deviation, 4000)) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize(("loss", "text"), [(2.3, "2.30"), (0.061, "0.061"), (1e30, "1e+30")])
def test_a_loss_is_short_whatever_its_size(loss: float, text: str) -> None:
    assert loss_text(loss) == text


# learning


def test_a_run_that_went_on_after_its_loss_was_no_number_is_not_blamed() -> None:
    events = ({"event": "loss not finite", "step": 7},)
    assert "at step 7" in said(not_finite(case(events=events, summary={})))
    assert not_finite(case(events=events)) is None


def test_one_class_is_told_by_the_pictures_of_the_others() -> None:
    ill = {("ant", "ant"): 50, ("bee", "ant"): 48, ("bee", "bee"): 2}
    text = said(one_class(case("optim.lr=0.5", predictions=predicted(ill))))
    assert "98.0 % of 100 test pictures were taken for “ant”, which only 50.0 % are" in text
    assert "Try another learning rate: --lr 0.05 (now 0.5), or else --lr 5 (now 0.5)" in text
    lopsided = {("ant", "ant"): 950, ("bee", "bee"): 25, ("bee", "ant"): 25}  # half of the rare ones are found
    assert one_class(case(predictions=predicted(lopsided))) is None
    assert one_class(case(predictions=predicted({("ant", "ant"): 50}))) is None  # there is no other class


def test_one_class_that_fills_the_training_set_is_what_the_remedy_names() -> None:
    dataset = {"train_counts": {"ant": 920, "bee": 80}}
    ill = case(predictions=predicted({("ant", "ant"): 92, ("bee", "ant"): 8}), summary={"dataset": dataset})
    assert "It makes up 92.0 % of the training pictures: add pictures of the other classes" in said(one_class(ill))


@pytest.mark.parametrize(("right", "ill"), [(25, True), (30, True), (60, False), (100, False)])
def test_chance_is_what_the_interval_holds(right: int, ill: bool) -> None:
    found = chance(case(predictions=scored(right, 100)))
    assert (found is not None) == ill


def test_chance_is_the_commonest_class_where_there_is_one() -> None:
    lopsided = {("ant", "ant"): 78, ("bee", "bee"): 2, ("bee", "ant"): 18, ("ant", "bee"): 2}
    text = said(chance(case(predictions=predicted(lopsided))))
    assert "Accuracy, 80.0 % (95 % interval 71.1–86.7 %) of 100 test pictures" in text
    assert "is no better than always answering “ant”, which is right for 80.0 %" in text


def test_training_pictures_that_were_learnt_cast_doubt_on_the_others() -> None:
    text = said(chance(case(predictions=scored(25, 100), rows=rows([1.0, 0.1], accuracy=0.97))))
    assert "The training pictures were learnt (97.0 %), so look whether the test labels mean the same" in text


@settings(deadline=None)
@given(st.floats(0.001, 100))
def test_guesses_are_nearly_always_known_for_what_they_are(seed: float) -> None:
    right = int(RANDOM(int(seed * 1000)).binomial(400, 0.25))
    assert (chance(case(predictions=scored(right, 400))) is not None) == (wilson(right, 400)[0] <= 0.25)


FALLING = 2.0 * np.exp(-np.linspace(0, 3, 20)) + 0.05


def test_a_leap_of_the_loss_is_a_rate_too_high() -> None:
    leap = FALLING.copy()
    leap[12] += 1.5
    text = said(rate_too_high(case("optim.lr=0.3", rows=rows(leap))))
    assert "leapt from 0.402 to 1.85 in epoch 13: the learning rate, 0.3 at its highest" in text
    assert "--lr 0.1 (now 0.3), or let it rise slowly at the beginning: --set optim.warmup=0.1" in text
    assert rate_too_high(case(rows=rows(FALLING))) is None


def test_a_small_step_up_is_no_leap_such_as_growing_pictures_bring() -> None:
    assert rate_too_high(case(rows=rows(FALLING * np.where(np.arange(20) < 12, 1, 1.2)))) is None


def test_the_harder_pictures_of_a_pruned_run_are_no_leap_and_easier_ones_at_its_end_no_steady_fall() -> None:
    harder = FALLING * np.where((np.arange(20) > 4) & (np.arange(20) < 17), 4, 1)
    assert rate_too_high(case(rows=rows(harder))) is not None
    assert rate_too_high(case("data.pruning=0.6", rows=rows(harder))) is None
    easier = rows(np.linspace(1.4, 0.7, 20))
    assert rate_too_low(case(rows=easier)) is not None
    assert rate_too_low(case("data.pruning=0.6", rows=easier)) is None


def test_few_rows_suffice_for_a_loss_far_above_knowing_nothing() -> None:
    assert "leapt from 1.20 to 6.00 in epoch 3" in said(rate_too_high(case(rows=rows([1.4, 1.2, 6.0, 1.3]))))
    assert "was 9.00 on the way, ended at 1.39" in said(rate_too_high(case(rows=rows([9.0, 1.39, 1.39, 1.39]))))
    assert rate_too_high(case(rows=rows([9.0, 6.0, 4.0, 2.0]))) is None  # began badly, and was falling


@pytest.mark.parametrize("scatter", [0.02, 0.1, 0.3])
def test_noise_is_seldom_taken_for_a_leap(scatter: float) -> None:
    losses = [0.8 * RANDOM(seed).lognormal(0, scatter, 400) for seed in range(100)]  # of single steps with few pictures
    assert share_ill(rate_too_high, [case(rows=rows(one)) for one in losses]) <= 0.01


def test_a_loss_that_hardly_moved_blames_a_rate_only_where_that_is_low() -> None:
    flat = rows(np.linspace(1.386, 1.385, 8))
    assert "hardly moved in 80 steps, from 1.386 to 1.385: the learning rate, 1e-05" in said(
        rate_too_low(case("optim.lr=1e-5", rows=flat))
    )
    assert rate_too_low(case("optim.lr=0.5", rows=flat)) is None
    assert rate_too_low(case("optim.lr=1e-5", rows=flat[:4])) is None  # 40 steps move little


def test_muons_own_rate_goes_with_the_other_unless_that_alone_is_to_blame() -> None:
    flat = rows([1.386] * 8)
    both = said(rate_too_low(case("optim.lr=0.01", "optim.muon_lr=0.001", recipe="quick", rows=flat)))
    assert "--lr 0.1 --set optim.muon_lr=0.01 (now 0.01 and 0.001)" in both
    assert "--lr 0.001 (now 1e-06)" in said(rate_too_low(case("optim.lr=1e-6", recipe="quick", rows=flat)))


def test_a_steady_fall_at_the_end_asks_for_more() -> None:
    steady = np.linspace(1.4, 0.7, 20)
    text = said(rate_too_low(case("train.duration=3 epochs", rows=rows(steady))))
    assert "0.958 in the third quarter of the run, 0.774 in the last, with the learning rate at 0.001" in text
    assert "--epochs 6, now 3" in text
    assert "--lr 0.003 (now 0.001)" in text
    fallen = rows(steady, lr=list(np.linspace(0.01, 0, 20)))
    reached = {"target": {"accuracy": 0.9, "reached": True}}
    by_heart = rows(steady, accuracy=0.99)
    for well in (case(rows=fallen), case(rows=rows(steady), summary=reached), case(rows=by_heart)):
        assert rate_too_low(well) is None


def test_a_fall_that_ends_asks_for_nothing() -> None:
    assert rate_too_low(case(rows=rows(0.6 + np.exp(-np.linspace(0, 6, 20))))) is None
    flat = [0.8 + RANDOM(seed).normal(0, 0.05, 20) for seed in range(200)]
    assert share_ill(rate_too_low, [case(rows=rows(one)) for one in flat]) <= 0.01


# trust


def judged(val: Any, train: Any, accuracy: Any = None, pictures: int = 1000) -> Case:
    shares = [0.7] * len(val) if accuracy is None else accuracy
    summary = {"dataset": {"pictures": {"train": 5000, "val": pictures, "test": 200}}}
    return case(rows=rows(train, val_loss=val, val_accuracy=shares), summary=summary)


RISING = [1.2, 0.9, 0.8, 0.85, 0.95, 1.1, 1.2, 1.3]
LEARNT = np.linspace(1.2, 0.1, 8)


def test_over_fit_is_told_since_when_and_what_it_cost() -> None:
    text = said(over_fit(judged(RISING, LEARNT, np.linspace(0.75, 0.6, 8))))
    assert "Over-fit since epoch 3: the validation loss rose from 0.8 to 1.30 while the training loss fell" in text
    assert "its accuracy went from 70.7 % to 60.0 %." in text
    assert "Stop there (--epochs 3) or let it stop by itself (--set train.early_stop=2)." in text


def test_over_fit_of_the_probabilities_alone_asks_for_less_certainty() -> None:
    text = said(over_fit(judged(RISING, LEARNT, np.linspace(0.7, 0.8, 8))))
    assert "so it is the probabilities that became too sure" in text
    assert "--set optim.label_smoothing=0.1" in text
    assert "--epochs" not in text


def test_a_validation_loss_that_rose_with_the_training_loss_is_no_over_fit() -> None:
    assert over_fit(judged(RISING, np.array(RISING) - 0.1)) is None
    assert over_fit(judged(RISING[:4], LEARNT[:4])) is None  # too few judgements
    assert over_fit(judged(sorted(RISING, reverse=True), LEARNT)) is None


@pytest.mark.parametrize("judgements", [5, 8, 20, 100])
def test_noise_is_seldom_taken_for_over_fit(judgements: int) -> None:
    train = np.linspace(1.2, 0.4, judgements)
    flat = [0.8 + RANDOM(seed).normal(0, 0.03, judgements) for seed in range(300)]
    assert share_ill(over_fit, [judged(one, train) for one in flat]) <= 0.02


def test_a_clear_rise_is_nearly_always_seen_through_noise() -> None:
    course = 0.8 + 0.6 * np.linspace(-0.5, 1, 15) ** 2
    noisy = [course + RANDOM(seed).normal(0, 0.02, 15) for seed in range(200)]
    assert share_ill(over_fit, [judged(one, np.linspace(1.2, 0.4, 15)) for one in noisy]) >= 0.95


@pytest.mark.parametrize(("learnt", "ill"), [(0.99, True), (0.72, False)])
def test_without_validation_pictures_the_gap_to_the_test_pictures_tells(learnt: float, ill: bool) -> None:
    summary = {"dataset": {"pictures": {"train": 5000}}}
    found = over_fit(case(rows=rows([1.0, 0.5], accuracy=learnt), summary=summary))
    assert (found is not None) == ill


def test_variety_is_asked_for_where_it_is_not_used_yet() -> None:
    summary = {"dataset": {"pictures": {"train": 5000}}}
    used = ("data.augment.flip=random", "data.augment.shift=2", "data.augment.cutmix=1.0")
    known = {"rows": rows([1.0, 0.5], accuracy=0.99), "summary": summary}
    assert "--set data.augment.mixup=0.2)" in said(over_fit(case(*used[:2], **known)))
    assert "data.augment" not in said(over_fit(case(*used, **known)))


def validated(share: float, pictures: int, right: int, total: int) -> Case:
    summary = {"val_accuracy": share, "dataset": {"pictures": {"val": pictures}}}
    return case(predictions=scored(right, total), summary=summary)


def test_test_and_validation_that_differ_are_held_against_each_other() -> None:
    text = said(unlike_validation(validated(0.9, 500, 700, 1000)))
    assert "Accuracy, 70.0 % (95 % interval 67.1–72.8 %) of 1,000 test pictures, is far below the 90.0 % of 500" in text
    assert "(p < 0.001)" in text
    assert "is far above the" in said(unlike_validation(validated(0.7, 500, 900, 1000)))


@pytest.mark.parametrize("well", [(0.74, 500, 700, 1000), (0.9, 20, 140, 200), (0.72, 100_000, 69_000, 100_000)])
def test_a_difference_by_chance_or_of_no_account_is_left_alone(well: tuple[float, int, int, int]) -> None:
    assert unlike_validation(validated(*well)) is None


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_two_shares_are_compared_the_same_both_ways(first: int, second: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))
    p = two_shares(a, first, b, second)
    assert 0 <= p <= 1
    assert p == pytest.approx(two_shares(b, second, a, first))
    assert p == pytest.approx(two_shares(first - a, first, second - b, second), abs=1e-9)


def test_equal_shares_are_told_apart_as_seldom_as_promised() -> None:
    draws = RANDOM(0).binomial(1000, 0.8, (2000, 2))
    alarms = np.mean([two_shares(int(a), 1000, int(b), 1000) < 0.05 for a, b in draws])
    assert 0.03 < alarms < 0.07


def test_few_test_pictures_are_told_with_how_many_are_needed() -> None:
    text = said(wide_interval(case(predictions=scored(96, 120))))
    assert "With 120 test pictures the 95 % interval is 14 points wide (72.0–86.2 %): improvements of less" in text
    assert "For ±2 points about 1,600 test pictures are needed, for ±1 point 6,400" in text
    assert wide_interval(case(predictions=scored(3200, 4000))) is None


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.005, 0.05))
def test_the_pictures_that_are_needed_make_such_an_interval(share: float, half: float) -> None:
    count = pictures_needed(share, half)
    low, high = wilson(round(share * count), count)
    assert high - low == pytest.approx(2 * half, rel=0.15)


def test_a_target_within_the_interval_is_said_to_be_uncertain() -> None:
    many = {"predictions": scored(3610, 4000)}
    text = said(wide_interval(case(**many, summary={"target": {"accuracy": 0.9, "reached": True}})))
    assert "The target, 90.0 %, lies within the 95 % interval of the test accuracy, 89.3–91.1 %" in text
    assert "--target 0.909" in text
    assert wide_interval(case(**many, summary={"target": {"accuracy": 0.8}})) is None


# material and machine


def batches(batch: int, right: int = 140, **counts: int) -> Case:
    return case(predictions=scored(right, 200), summary={"batch_size": batch, "dataset": {"train_counts": counts}})


def test_a_batch_larger_than_a_rare_class_is_told() -> None:
    text = said(large_batch(batches(100, ant=1000, bee=900, cat=40)))
    assert "A batch of 100 is larger than the smallest class, “cat” with 40 training pictures" in text
    assert "--batch-size 32, or bring more pictures of “cat”" in text


def test_a_batch_larger_than_a_class_is_told_where_an_epoch_is_short() -> None:
    text = said(large_batch(batches(50, ant=40, bee=40, cat=40, dog=40)))
    assert "“ant” with 40 training pictures: an epoch is only 4 steps. Take smaller batches: --batch-size 16." in text


def test_usual_batches_are_left_alone() -> None:
    assert large_batch(batches(250, ant=5000, bee=5000)) is None
    assert large_batch(batches(30, ant=40, bee=40, cat=40, dog=500)) is None
    assert large_batch(batches(2000, **{f"class{i}": 500 for i in range(100)})) is None  # 20 of each in every batch
    assert large_batch(batches(100, right=200, ant=1000, bee=900, cat=40)) is None  # all was learnt


def test_a_run_of_few_large_steps_is_told() -> None:
    known = {"summary": {"batch_size": 40, "dataset": {"train_counts": {"ant": 80, "bee": 80}}}}
    text = said(large_batch(case(rows=rows([1.0, 0.9]), **known)))
    assert "A batch of 40 is 25.0 % of the 160 training pictures, and the whole run took only 20 steps" in text
    assert large_batch(case(rows=rows([1.0] * 30), **known)) is None


@pytest.mark.parametrize(("share", "ill"), [(0.42, True), (0.2, False)])
def test_clipped_colours_are_told_with_what_they_may_mean(share: float, ill: bool) -> None:
    found = clipped_colours(case(summary={"dataset": {"clipped": share}}))
    assert (found is not None) == ill
    if ill:
        assert "42.0 % of the training pictures' colour values are exactly 0 or 255: a plain black or white" in said(
            found
        )


def test_borders_that_the_recipe_adds_are_named_among_the_causes() -> None:
    text = said(clipped_colours(case("data.fit=pad", summary={"dataset": {"clipped": 0.5}})))
    assert "the borders that data.fit = pad adds" in text
    assert "--set data.fit=crop" in text


@pytest.mark.parametrize(("loading", "ill"), [(4.0, True), (2.0, False), (0.0, False)])
def test_loading_is_told_by_its_share_of_the_training(loading: float, ill: bool) -> None:
    summary = {"training_seconds": 10.0, "loading_seconds": loading}
    found = slow_loading(case("data.augment.shift=2", "data.image_size=128", summary=summary))
    assert (found is not None) == ill
    if ill:
        assert "40.0 % of the training time, 4.0 of 10.0 s, went into gathering" in said(found)
        assert "--set data.augment.shift=0" in said(found)


def test_a_moment_of_loading_is_not_worth_a_word() -> None:
    assert slow_loading(case(summary={"training_seconds": 0.5, "loading_seconds": 0.4})) is None


def on_cpu(environment: dict[str, Any], *overrides: str, hardware: str = "cpu, 2 threads", seconds: float = 60) -> Case:
    return case(*overrides, environment=environment, summary={"hardware": hardware, "training_seconds": seconds})


def test_a_gpu_that_was_left_idle_is_named() -> None:
    there = {"accelerators": ["cuda:0"], "gpu": "NVIDIA H100"}
    text = said(cpu_beside_gpu(on_cpu(there, "train.device=cpu")))
    assert "trained for 60 s, as train.device = cpu asked for, though there is a GPU: NVIDIA H100" in text
    assert "Train on it: --device cuda." in text
    assert "--device mps." in said(cpu_beside_gpu(on_cpu({"accelerators": ["mps"], "gpu": None})))
    assert "NVIDIA A100" in said(cpu_beside_gpu(on_cpu({"gpu": "NVIDIA A100"})))  # a run of a former version


def test_a_gpu_that_pytorch_cannot_use_is_named_too() -> None:
    text = said(cpu_beside_gpu(on_cpu({"accelerators": [], "nvidia_gpus": 1, "torch": "2.13.0+cpu"})))
    assert "an NVIDIA GPU, which the installed PyTorch (2.13.0+cpu) cannot use" in text


def test_the_cpu_is_left_alone_where_it_is_all_there_is_or_was_quick() -> None:
    there = {"accelerators": ["cuda:0"], "gpu": "NVIDIA H100"}
    assert cpu_beside_gpu(on_cpu({"accelerators": [], "nvidia_gpus": 0, "gpu": None})) is None
    assert cpu_beside_gpu(on_cpu(there, seconds=3)) is None
    assert cpu_beside_gpu(on_cpu(there, hardware="cuda, NVIDIA H100")) is None


def test_the_loss_of_knowing_nothing_is_that_of_the_classes_there_are() -> None:
    assert "knows nothing has " + loss_text(math.log(4)) in said(rate_too_high(case(rows=rows([9.0, 2.0, 2.0, 2.0]))))
