"""Figures in which every class counts alike: against torchmetrics, by hand, and how often their intervals hold."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.torchvision_users import torchmetrics as oracle
from tenfold.evaluate.macro import balanced_accuracy, is_uneven, macro_f1, roc_auc
from tenfold.evaluate.metrics import Evaluation, evaluate_logits


def random_results(seed: int, num_images: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns logits with ties, and labels in which every class occurs."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(num_classes), torch.randint(num_classes, (num_images,), generator=generator)])
    logits = torch.randint(-3, 4, (len(labels), num_classes), generator=generator).float()
    logits[torch.arange(len(labels)), labels] += 1
    return logits, labels


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 60), st.integers(2, 14))
def test_every_figure_agrees_with_torchmetrics(seed, num_images, num_classes):
    logits, labels = random_results(seed, num_images, num_classes)
    found = evaluate_logits(logits, labels, [str(i) for i in range(num_classes)])
    macro = {"num_classes": num_classes, "average": "macro"}
    assert found.balanced_accuracy == pytest.approx(
        float(oracle().multiclass_accuracy(logits.argmax(1), labels, **macro)), abs=1e-6
    )
    assert found.macro_f1 == pytest.approx(
        float(oracle().multiclass_f1_score(logits.argmax(1), labels, **macro)), abs=1e-6
    )
    area = float(oracle().multiclass_auroc(logits.double().softmax(1), labels, **macro))
    assert found.estimates["roc_auc_ovr"].value == pytest.approx(area, abs=1e-6)
    assert ("top5_accuracy" in found.estimates) == (num_classes > 10)
    for estimate in found.estimates.values():
        assert 0 <= estimate.interval[0] <= estimate.value <= estimate.interval[1] <= 1


def test_classes_without_images_do_not_count():
    confusion = np.array([[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert balanced_accuracy(confusion).value == (0.75 + 1) / 2
    assert macro_f1(confusion).value == pytest.approx((6 / 7 + 8 / 9) / 2)
    scores = np.array([[0.9, 0.0, 0.1], [0.2, 0.0, 0.8]])
    assert roc_auc(scores, np.array([0, 2])).value == 1
    assert roc_auc(scores, np.array([2, 2])) is None


def test_a_few_images_that_are_all_right_have_a_wide_interval():
    perfect = np.diag([10, 10])
    assert balanced_accuracy(perfect).interval[0] < 0.85
    assert macro_f1(perfect).interval[0] < 0.85
    assert roc_auc(np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10), np.repeat([0, 1], 10)).interval[0] < 0.85


@pytest.mark.parametrize(
    ("recalls", "supports"),
    [
        ((0.8, 0.8), (100, 100)),
        ((0.95, 0.5), (200, 20)),
        ((0.98,) * 10, (50,) * 10),
        ((0.99, 0.9, 0.6), (200, 100, 20)),
    ],
)
def test_intervals_hold_the_truth_in_about_95_of_100_experiments(recalls, supports):
    generator, num_classes = np.random.default_rng(0), len(recalls)
    others = (1 - np.array(recalls)) / (num_classes - 1)
    rates = np.tile(others[:, None], num_classes)
    np.fill_diagonal(rates, recalls)
    cells = rates * np.array(supports)[:, None]
    f1 = (2 * cells.diagonal() / (cells.sum(0) + cells.sum(1))).mean()
    hits = np.zeros(2)
    for _ in range(400):
        drawn = np.array([generator.multinomial(*row) for row in zip(supports, rates, strict=True)])
        bounds = balanced_accuracy(drawn).interval, macro_f1(drawn).interval
        hits += [low <= truth <= high for (low, high), truth in zip(bounds, (np.mean(recalls), f1), strict=True)]
    assert hits.min() >= 0.92 * 400


def test_ten_thousand_images_of_ten_classes_take_a_fraction_of_a_second():
    logits, labels = random_results(0, 10_000, 10)
    scores, confusion = logits.double().softmax(1).numpy(), np.full((10, 10), 100)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        balanced_accuracy(confusion), macro_f1(confusion), roc_auc(scores, labels.numpy())
        seconds.append(time.process_time() - began)
    assert min(seconds) <= 1  # 0.03 on a CPU of 2023; a loop over pairs of images takes minutes


def test_a_summary_of_an_earlier_version_still_has_the_figures_that_its_confusion_matrix_tells():
    logits, labels = random_results(1, 50, 3)
    found = evaluate_logits(logits, labels, ["a", "b", "c"])
    stored = found.to_json()
    assert Evaluation.from_json(stored).estimates == found.estimates
    assert stored["balanced_accuracy"] == found.balanced_accuracy
    assert stored["intervals"]["roc_auc_ovr"] == list(found.estimates["roc_auc_ovr"].interval)
    for key in ("balanced_accuracy", "macro_f1", "roc_auc_ovr", "intervals"):
        del stored[key]
    old = Evaluation.from_json(stored)
    assert (old.balanced_accuracy, old.macro_f1) == (found.balanced_accuracy, found.macro_f1)
    assert set(old.estimates) == {"balanced_accuracy", "macro_f1"}


def test_classes_are_uneven_from_three_to_one():
    assert is_uneven([30, 10, 0])
    assert not any(map(is_uneven, ([29, 10], [5, 0], [])))


def test_without_curves_all_other_figures_are_the_same() -> None:
    logits, labels = random_results(0, 40, 12)
    whole, without = (
        evaluate_logits(logits, labels, list("abcdefghijkl"), roc_curves=value) for value in (True, False)
    )
    assert dict(whole.estimates) == {"roc_auc_ovr": whole.estimates["roc_auc_ovr"], **without.estimates}
    assert "roc_auc_ovr" not in without.estimates
