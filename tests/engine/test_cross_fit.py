"""Tests of the choice of the L2 strength by cross-validation."""

import pytest
import torch

from tenfold.engine.cross_fit import Shown, cross_fit, max_rows
from tenfold.engine.head import FittedHead
from tenfold.engine.running_metrics import TrainMetrics
from tenfold.optim.logistic import fit_logistic


def shown(images: int = 40, passes: int = 2, features: int = 6, seed: int = 0, signal: float = 2.0) -> Shown:
    """Returns features of images in two classes, each shown `passes` times with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 2
    own = torch.randn(images, features, generator=generator)
    own[:, 0] += signal * labels
    rows = torch.cat([own + 0.01 * torch.randn(images, features, generator=generator) for _ in range(passes)])
    return Shown(rows, labels.repeat(passes), torch.arange(images).repeat(passes))


def test_every_image_is_predicted_out_of_fold_once() -> None:
    found = cross_fit(shown(), 2, seed=0)
    assert found is not None
    assert found.images.tolist() == list(range(40))
    assert found.labels.tolist() == [0, 1] * 20
    assert found.logits.shape == (40, 2)
    assert found.folds == 5
    assert found.l2 in found.losses
    assert 0.6 < found.accuracy < 1.0


def test_images_of_noise_are_not_predicted_from_their_other_views() -> None:
    """If the views of an image were in different folds, noise features would recognize it."""
    accuracies = []
    for seed in range(3):
        data = shown(images=60, passes=3, features=100, seed=seed, signal=0.0)
        found = cross_fit(data, 2, seed=seed, strengths=[0.1])
        assert found is not None
        accuracies.append(found.accuracy)
    assert sum(accuracies) / 3 < 0.7


def test_images_of_a_group_share_a_fold() -> None:
    generator = torch.Generator().manual_seed(0)
    people = torch.randn(12, 200, generator=generator)  # features that tell the person and nothing of the class
    rows = people.repeat_interleave(5, 0) + 0.01 * torch.randn(60, 200, generator=generator)
    labels = (torch.arange(12) % 2).repeat_interleave(5)
    data = Shown(rows, labels, torch.arange(60))
    names = [f"person {number // 5}" for number in range(60)]
    alone, grouped = (cross_fit(data, 2, seed=0, groups=group, strengths=[0.1]) for group in (None, names))
    assert alone is not None
    assert grouped is not None
    assert alone.accuracy > 0.95  # the person is known from the other images
    assert grouped.accuracy < 0.75


def test_noise_gets_a_stronger_penalty_than_a_clear_signal() -> None:
    noise = cross_fit(shown(features=30, signal=0.5), 2, seed=0, strengths=(10.0, 0.001))
    clear = cross_fit(shown(images=200, features=3, signal=6.0), 2, seed=0, strengths=(10.0, 0.001))
    assert noise is not None
    assert clear is not None
    assert noise.l2 == 10.0
    assert clear.losses[0.001] <= clear.losses[10.0] * 1.05


def test_one_image_of_each_class_cannot_be_cross_validated() -> None:
    assert cross_fit(shown(images=2), 2, seed=0) is None


def test_many_images_are_represented_by_some_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.engine.cross_fit._ROWS", (30, 40))
    found = cross_fit(shown(images=60), 2, seed=0)
    assert found is not None
    assert found.labels.bincount().tolist() == [15, 15]


def test_other_views_are_left_out_before_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.engine.cross_fit._ROWS", (50, 60))
    rows: list[int] = []
    fit = fit_logistic
    monkeypatch.setattr(
        "tenfold.engine.cross_fit.fit_logistic",
        lambda data, *rest, **more: rows.append(len(data)) or fit(data, *rest, **more),
    )
    found = cross_fit(shown(images=20, passes=5), 2, seed=0, strengths=[0.1])
    assert found is not None
    assert len(found.images) == 20
    assert set(rows) == {32}  # four of five folds, each image twice


def test_hundreds_of_classes_choose_with_more_rows() -> None:
    assert [max_rows(count) for count in (2, 400, 500, 5000)] == [4000, 4000, 5000, 8000]


@pytest.mark.parametrize(
    ("num_images", "num_classes", "text"),
    [
        (40, 2, "5-fold cross-validation on 40 training images ("),
        (90, 2, "5-fold cross-validation on 40 of 90 training images ("),
        (40, 16, " correct out of fold; a rough choice: 2.5 images a class)"),
    ],
)
def test_sentence_names_images_and_few_images_a_class(num_images: int, num_classes: int, text: str) -> None:
    found = cross_fit(shown(), num_classes, seed=0, strengths=[0.1])
    sentence = FittedHead(0.1, found, TrainMetrics(0.1, 1.0), num_images).sentence()
    assert text in sentence
    assert ("rough" in sentence) == (num_classes == 16)


def test_an_image_whose_class_is_in_no_other_fold_is_left_out() -> None:
    data = shown(images=40, passes=1)
    lonely = Shown(
        torch.cat([data.features, torch.full((1, 6), 9.0)]),
        torch.cat([data.labels, torch.tensor([2])]),
        torch.arange(41),
    )
    found, without = cross_fit(lonely, 3, seed=0), cross_fit(data, 2, seed=0)
    assert found is not None
    assert without is not None
    assert found.images.tolist() == list(range(40))
    assert max(found.losses.values()) < 2 * max(without.losses.values())
    assert found.temperature < 3


def test_one_group_of_each_class_cannot_be_cross_validated() -> None:
    names = [f"patient {label}" for label in shown(passes=1).labels.tolist()]
    assert cross_fit(shown(), 2, seed=0, groups=names) is None


def test_a_single_group_is_not_torn_apart() -> None:
    assert cross_fit(shown(), 2, seed=0, groups=["all"] * 40) is None


def test_images_without_a_group_are_groups_of_their_own() -> None:
    found = cross_fit(shown(), 2, seed=0, groups=["", *["pair"] * 2, *[""] * 37])
    assert found is not None
    assert found.folds == 5
