"""Metrics against torchmetrics and against values computed by hand."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.torchvision_users import torchmetrics as oracle
from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.metrics import accuracy, evaluate_logits, per_class_results

ANIMALS = ("cat", "dog", "fish")


def random_logits(seed: int, num_images: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, num_classes, generator=generator) * 3
    return logits, torch.randint(num_classes, (num_images,), generator=generator)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(6, 12))
def test_every_metric_agrees_with_torchmetrics(seed, num_images, num_classes):
    logits, labels = random_logits(seed, num_images, num_classes)
    found = evaluate_logits(logits, labels, [str(i) for i in range(num_classes)])
    settings_ = {"num_classes": num_classes, "average": "micro"}
    assert found.accuracy == pytest.approx(float(oracle().multiclass_accuracy(logits, labels, **settings_)))
    assert found.top5 == pytest.approx(float(oracle().multiclass_accuracy(logits, labels, top_k=5, **settings_)))
    assert torch.equal(found.confusion, oracle().multiclass_confusion_matrix(logits, labels, num_classes))
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-4)
    each = {"num_classes": num_classes, "average": "none", "zero_division": 0}
    for name in ("precision", "recall", "f1_score"):
        expected = getattr(oracle(), f"multiclass_{name}")(logits, labels, **each).tolist()
        ours = [getattr(result, name.removesuffix("_score")) or 0 for result in found.per_class]
        assert ours == pytest.approx(expected, abs=1e-6)


def test_an_evaluation_agrees_with_counts_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2]])
    found = evaluate_logits(logits, torch.tensor([0, 0, 1, 1]), ANIMALS)
    assert (found.correct, found.total, found.accuracy, found.top5) == (2, 4, 0.5, None)
    assert found.interval == wilson(2, 4)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    cat, dog, fish = found.per_class
    assert (cat.name, cat.precision, cat.recall, cat.f1, cat.support) == ("cat", 1, 0.5, 2 / 3, 2)
    assert (dog.precision, dog.recall, dog.f1) == (0.5, 0.5, 0.5)
    assert (fish.precision, fish.recall, fish.f1, fish.support, fish.interval) == (0, None, 0, 0, None)


def test_a_class_neither_present_nor_predicted_has_no_fractions():
    absent = per_class_results(torch.tensor([[3, 0], [0, 0]]), ("a", "b"))[1]
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)


def test_an_evaluation_converts_to_plain_json():
    logits, labels = random_logits(0, 10, 3)
    found = evaluate_logits(logits, labels, ANIMALS)
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert again["accuracy"] == found.accuracy
    assert again["interval"] == list(found.interval)
    assert again["confusion"] == found.confusion.tolist()
    assert [row["name"] for row in again["per_class"]] == list(ANIMALS)


def test_equal_logits_rank_by_class_index_as_in_argmax():
    logits = torch.zeros(3, 3)
    labels = torch.tensor([0, 1, 2])
    assert [accuracy(logits, labels, k) for k in (1, 2, 3, 4)] == [1 / 3, 2 / 3, 1, 1]


def test_nan_is_never_correct():
    logits = torch.tensor([[math.nan, 0.0], [math.nan, 0.0], [math.nan, math.nan]])
    assert accuracy(logits, torch.tensor([0, 1, 1])) == 0


def test_accuracy_and_loss_have_their_closed_form_values():
    logits, labels = torch.zeros(8, 4), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert accuracy(logits, labels) == 0.25
    assert accuracy(logits, labels, k=2) == 0.5
    assert evaluate_logits(logits, labels, "abcd").loss == pytest.approx(math.log(4))


def test_an_evaluation_without_images_is_refused():
    with pytest.raises(DataError, match="no images to evaluate"):
        evaluate_logits(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), ANIMALS)


def test_a_model_with_another_number_of_classes_is_refused():
    with pytest.raises(ModelError, match=r"logits \[2, 10\]; expected \[2, 3\] for 2 images of 3 classes"):
        evaluate_logits(torch.zeros(2, 10), torch.tensor([0, 1]), ANIMALS)


def test_labels_out_of_range_are_refused():
    with pytest.raises(DataError, match="labels range from 0 to 3; expected 0 to 2"):
        evaluate_logits(torch.zeros(2, 3), torch.tensor([0, 3]), ANIMALS)


def test_non_finite_logits_are_refused():
    logits = torch.zeros(4, 3)
    logits[1, 2], logits[3, 0] = math.nan, math.inf
    with pytest.raises(ModelError, match="non-finite logits for 2 of 4 images"):
        evaluate_logits(logits, torch.tensor([0, 1, 2, 0]), ANIMALS)
