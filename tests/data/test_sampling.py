"""Tests of epoch orders: shuffling, evening out classes, and pruning by loss."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tenfold.data.sampling import (
    Difficulty,
    EpochOrder,
    Order,
    balanced_counts,
    balanced_order,
    max_repetitions,
    pruned_order,
)
from tenfold.data.types import Batch

orders = st.builds(Order, st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**40), st.booleans(), st.booleans())


@given(orders, st.integers(0, 100))
def test_an_order_is_a_permutation_less_at_most_the_last_batch(order: Order, epoch: int) -> None:
    indices = order.indices(epoch).tolist()
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(order.count))
    rest = order.count % order.batch_size if order.drop_last and order.count > order.batch_size else 0
    assert len(indices) == order.count - rest
    assert order.num_batches == -(-len(indices) // order.batch_size)
    assert order.indices(epoch).tolist() == indices


def test_each_epoch_and_seed_has_a_different_order() -> None:
    orders = [Order(50, 4, seed).indices(epoch).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_without_shuffling_the_stored_order_is_kept() -> None:
    assert Order(5, 2, seed=0, shuffle=False).indices(3).tolist() == [0, 1, 2, 3, 4]


def test_an_order_shuffled_once_is_the_same_in_every_epoch() -> None:
    order = Order(count=50, batch_size=4, seed=3, shuffle=False, shuffle_once=True)
    assert torch.equal(order.indices(0), order.indices(7))
    assert sorted(order.indices(0).tolist()) == list(range(50)) != order.indices(0).tolist()


counts = st.integers(1, 200)
fractions = st.floats(0, 1, exclude_max=True)


def random_losses(count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(count))


def pairs(order: EpochOrder) -> list[tuple[int, int]]:
    return list(zip(order.indices.tolist(), order.repetitions.tolist(), strict=True))


@given(counts, fractions, st.integers(0, 2**40), st.integers(1, 100))
def test_a_pruned_epoch_keeps_its_length_and_repeats_in_turn(
    count: int, fraction: float, seed: int, epoch: int
) -> None:
    order = pruned_order(random_losses(count), fraction, seed=seed, epoch=epoch)
    found = pairs(order)
    assert len(found) == count
    assert len(set(found)) == count  # each repetition has augmentation draws of its own
    assert all(repetition == 0 or (index, repetition - 1) in set(found) for index, repetition in found)
    assert set(order.indices.tolist()) <= set(range(count))
    assert max(order.repetitions.tolist()) < max_repetitions(count, fraction)
    assert pairs(pruned_order(random_losses(count), fraction, seed=seed, epoch=epoch)) == found


def test_easy_images_are_shown_less_often_and_all_others_evenly() -> None:
    by_loss = random_losses(1000).argsort()
    num_shown = torch.bincount(pruned_order(random_losses(1000), 0.65, seed=0, epoch=1).indices, minlength=1000)
    easy, hard = num_shown[by_loss[:650]], num_shown[by_loss[650:]]
    assert easy.max() == 1
    assert hard.max() - hard.min() <= 1
    assert hard.min() >= 1
    assert abs(hard.double().mean() / easy.double().mean() - 6) < 0.1


def test_each_pruned_epoch_has_a_different_order() -> None:
    orders = {
        tuple(pruned_order(random_losses(50), 0.5, seed=seed, epoch=epoch).indices.tolist())
        for seed in (0, 1)
        for epoch in (1, 2, 3)
    }
    assert len(orders) == 6


def test_images_without_a_loss_are_shown() -> None:
    losses = torch.tensor([0.1, torch.inf, 0.2, torch.inf, 0.3, 0.4])
    assert {1, 3} <= set(pruned_order(losses, 0.6, seed=0, epoch=1).indices.tolist())


def test_a_fraction_of_zero_prunes_nothing() -> None:
    order = pruned_order(random_losses(9), 0.0, seed=0, epoch=1)
    assert sorted(pairs(order)) == [(index, 0) for index in range(9)]


CPU = torch.device("cpu")


def batch(*indices: int) -> Batch:
    images = torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8)
    return Batch(images, torch.tensor(indices) % 3, torch.tensor(indices))


def epoch_losses(difficulty: Difficulty, *, epoch: int = 1, done: float = 0.5) -> list[float] | None:
    difficulty.begin_epoch(epoch, done)
    return None if difficulty.epoch_losses is None else difficulty.epoch_losses.tolist()


def test_the_latest_loss_of_each_image_is_kept() -> None:
    difficulty, logits = Difficulty(5, CPU), torch.randn(2, 3)
    difficulty.record(batch(4, 1), torch.zeros(2, 3))
    difficulty.record(batch(1, 3), logits)
    expected = torch.full((5,), torch.inf)
    expected[4] = torch.tensor(3.0).log()
    expected[[1, 3]] = F.cross_entropy(logits, torch.tensor([1, 0]), reduction="none")
    assert epoch_losses(difficulty) == expected.tolist()


@pytest.mark.parametrize(
    ("epoch", "done", "prunes"), [(0, 0.5, False), (1, 0.05, False), (1, 0.5, True), (8, 0.9, False)]
)
def test_pruning_begins_after_the_first_epoch_and_ends_early(epoch: int, done: float, prunes: bool) -> None:
    assert (epoch_losses(Difficulty(2, CPU), epoch=epoch, done=done) is not None) == prunes


def test_an_epoch_keeps_the_losses_that_it_began_with() -> None:
    difficulty = Difficulty(2, CPU)
    difficulty.begin_epoch(1, 0.5)
    difficulty.record(batch(0, 1), torch.zeros(2, 3))
    assert difficulty.epoch_losses is not None
    assert difficulty.epoch_losses.isinf().all()


def test_a_checkpoint_within_an_epoch_stores_old_and_new_losses() -> None:
    before, after = Difficulty(2, CPU), Difficulty(2, CPU)
    before.begin_epoch(1, 0.5)
    before.record(batch(0, 1), torch.randn(2, 3))
    after.load_state_tensors({name: tensor.clone() for name, tensor in before.state_tensors().items()})
    assert after.epoch_losses is not None
    assert after.epoch_losses.isinf().all()
    assert epoch_losses(after) == epoch_losses(before)


def uneven_labels() -> torch.Tensor:
    """Labels of 40, 0, 4 and 1 images, mixed."""
    labels = torch.tensor([0] * 40 + [2] * 4 + [3])
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


def test_a_balanced_epoch_shows_every_class_equally_often_and_keeps_its_length():
    labels = uneven_labels()
    order = balanced_order(labels, 1.0, seed=0, epoch=0)
    assert torch.bincount(labels[order.indices]).tolist() == [15, 0, 15, 15]
    assert len(order.indices[labels[order.indices] == 0].unique()) == 15  # other images of a large class, none twice
    shown = torch.bincount(order.indices, minlength=len(labels))[labels == 2]
    assert sorted(shown.tolist()) == [3, 4, 4, 4]  # images of a small class take turns


@pytest.mark.parametrize(("balance", "counts"), [(0.0, [40, 0, 4, 1]), (0.5, [28, 0, 9, 8]), (1.0, [15, 0, 15, 15])])
def test_balance_moves_the_classes_in_a_line_from_their_sizes_to_equal_ones(balance, counts):
    assert balanced_counts(uneven_labels(), balance).tolist() == counts


def test_a_balanced_order_is_a_function_of_seed_and_epoch():
    labels = uneven_labels()
    first, again = (balanced_order(labels, 0.7, seed=1, epoch=3) for _ in range(2))
    assert all(map(torch.equal, first, again))
    for other in (balanced_order(labels, 0.7, seed=1, epoch=4), balanced_order(labels, 0.7, seed=2, epoch=3)):
        assert not torch.equal(first.indices, other.indices)


def test_no_two_images_of_a_balanced_epoch_share_their_augmentation_draws():
    order = balanced_order(uneven_labels(), 1.0, seed=0, epoch=0)
    pairs = set(zip(order.repetitions.tolist(), order.rows.tolist(), strict=True))
    assert len(pairs) == len(order.indices)
    assert set(order.repetitions.tolist()) == {0, 1}
    assert torch.equal(order.rows[order.repetitions == 0], order.indices[order.repetitions == 0])
