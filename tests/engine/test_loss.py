"""The minimized loss: class weights, label smoothing and mixed images together; and the weights themselves."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tenfold.core.errors import RecipeError
from tenfold.data.types import Dataset, Mixture, Split
from tenfold.engine.loss import class_weights, mean_loss

LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 1])
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


def counted(*counts: int) -> Dataset:
    """Returns a dataset with this many training images of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    names = ("cat", "dog", "fox")[: len(counts)]
    test = Split(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64))
    return Dataset("counted", names, Split(np.zeros((len(labels), 8, 8, 3), np.uint8), labels), test)


def test_without_weights_the_loss_is_pytorchs():
    assert torch.equal(mean_loss(LOGITS, LABELS, 0.2), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2))


def test_the_weight_of_an_image_does_not_depend_on_the_others_of_its_batch():
    each = [mean_loss(LOGITS[i : i + 1], LABELS[i : i + 1], weights=WEIGHTS) for i in range(12)]
    torch.testing.assert_close(mean_loss(LOGITS, LABELS, weights=WEIGHTS), torch.stack(each).mean())
    summed = F.cross_entropy(LOGITS, LABELS, weight=WEIGHTS, reduction="sum")
    torch.testing.assert_close(mean_loss(LOGITS, LABELS, weights=WEIGHTS), summed / 12)


def test_the_smoothed_part_of_a_target_has_the_weight_of_the_image_too():
    own = F.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.2)
    expected = (own * WEIGHTS[LABELS]).mean()
    torch.testing.assert_close(mean_loss(LOGITS, LABELS, 0.2, WEIGHTS), expected)


def test_a_mixed_image_has_the_weights_of_both_its_classes():
    partners, ratio = LABELS.flip(0), torch.linspace(0, 1, 12)
    found = mean_loss(LOGITS, LABELS, 0.1, WEIGHTS, Mixture(partners, ratio))
    parts = [(LABELS, ratio), (partners, 1 - ratio)]
    shares = [ratio * WEIGHTS[labels] for labels, ratio in parts]
    losses = [F.cross_entropy(LOGITS, labels, reduction="none", label_smoothing=0.1) for labels, _ in parts]
    expected = sum((share * loss).mean() for share, loss in zip(shares, losses, strict=True))
    torch.testing.assert_close(found, expected)


def test_balanced_weights_are_those_of_scikit_learn():
    assert class_weights("balanced", counted(400, 20)) == pytest.approx((420 / (2 * 400), 420 / (2 * 20)))


def test_sqrt_weights_are_their_square_roots_with_a_mean_of_one_over_the_images():
    cat, dog = class_weights("sqrt", counted(400, 20))
    assert dog / cat == pytest.approx(20**0.5)
    assert (400 * cat + 20 * dog) / 420 == pytest.approx(1)


def test_a_class_without_training_images_does_not_count():
    assert class_weights("balanced", counted(30, 0, 10)) == pytest.approx((40 / 60, 0, 40 / 20))
    assert class_weights("balanced", counted(30, 10, 0)) == pytest.approx((40 / 60, 40 / 20, 0))


def test_numbers_by_class_name_are_ratios_and_other_classes_weigh_one():
    cat, dog, fox = class_weights({"dog": 3.0}, counted(10, 10, 10))
    assert (cat, dog, fox) == pytest.approx((0.6, 1.8, 0.6))


def test_weights_beside_balanced_sampling_make_up_for_the_rest():
    assert class_weights("balanced", counted(400, 20), balance=1.0) == pytest.approx((1, 1))
    cat, dog = class_weights("balanced", counted(400, 20), balance=0.5)
    assert dog / cat == pytest.approx(305 / 115)


def test_no_weights_are_none_and_an_unknown_class_is_refused():
    assert class_weights("none", counted(3, 1)) is None
    with pytest.raises(RecipeError, match=r"names the class 'dgo'; did you mean 'dog'. .the data has cat, dog.$"):
        class_weights({"dgo": 2.0}, counted(3, 1))
