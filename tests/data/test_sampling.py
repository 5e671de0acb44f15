"""Which pictures an epoch shows when those that are learnt give way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tenfold.data.sampling import RARER, Difficulty, most_showings, pruned_order
from tenfold.data.types import Batch

counts = st.integers(1, 200)
shares = st.floats(0, 1, exclude_max=True)


def losses(count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(count))


@given(counts, shares, st.integers(0, 2**40), st.integers(1, 100))
def test_an_epoch_is_as_long_as_ever_and_shows_no_picture_more_often_than_told(
    count: int, share: float, seed: int, epoch: int
) -> None:
    rows = pruned_order(losses(count), share, seed=seed, epoch=epoch)
    assert len(rows) == count
    assert len(rows.unique()) == count  # a picture that is shown again has draws of its own
    assert rows.min() >= 0
    assert rows.max() < count * most_showings(count, share)
    assert torch.equal(pruned_order(losses(count), share, seed=seed, epoch=epoch), rows)


def test_the_learnt_are_shown_more_rarely_and_the_others_all_and_evenly() -> None:
    ranking = losses(1000).argsort()
    showings = torch.bincount(pruned_order(losses(1000), 0.65, seed=0, epoch=1) % 1000, minlength=1000)
    learnt, others = showings[ranking[:650]], showings[ranking[650:]]
    assert learnt.max() == 1
    assert others.max() - others.min() <= 1
    assert others.min() >= 1
    assert abs(others.double().mean() / learnt.double().mean() - RARER) < 0.1


def test_every_epoch_has_an_order_of_its_own() -> None:
    orders = {tuple(pruned_order(losses(50), 0.5, seed=seed, epoch=e).tolist()) for seed in (0, 1) for e in (1, 2, 3)}
    assert len(orders) == 6


def test_pictures_that_were_never_seen_are_shown() -> None:
    unseen = torch.tensor([0.1, torch.inf, 0.2, torch.inf, 0.3, 0.4])
    assert {1, 3} <= set((pruned_order(unseen, 0.6, seed=0, epoch=1) % 6).tolist())


def test_nothing_is_pruned_with_a_share_of_zero() -> None:
    assert sorted(pruned_order(losses(9), 0.0, seed=0, epoch=1).tolist()) == list(range(9))


CPU = torch.device("cpu")


def batch(*places: int) -> Batch:
    images = torch.zeros(len(places), 3, 2, 2, dtype=torch.uint8)
    return Batch(images, torch.tensor(places) % 3, torch.tensor(places))


def ranked(difficulty: Difficulty, *, epoch: int = 1, done: float = 0.5) -> list[float] | None:
    difficulty.begin_epoch(epoch, done)
    return None if difficulty.ranked is None else difficulty.ranked.tolist()


def test_the_latest_loss_of_each_picture_is_kept() -> None:
    difficulty, logits = Difficulty(5, CPU), torch.randn(2, 3)
    difficulty.record(batch(4, 1), torch.zeros(2, 3))
    difficulty.record(batch(1, 3), logits)
    expected = torch.full((5,), torch.inf)
    expected[4] = torch.tensor(3.0).log()
    expected[[1, 3]] = F.cross_entropy(logits, torch.tensor([1, 0]), reduction="none")
    assert ranked(difficulty) == expected.tolist()


@pytest.mark.parametrize(
    ("epoch", "done", "prunes"), [(0, 0.5, False), (1, 0.05, False), (1, 0.5, True), (8, 0.9, False)]
)
def test_pruning_begins_after_the_first_epoch_and_ends_before_the_run_does(
    epoch: int, done: float, prunes: bool
) -> None:
    assert (ranked(Difficulty(2, CPU), epoch=epoch, done=done) is not None) == prunes


def test_an_epoch_keeps_the_losses_that_it_began_with() -> None:
    difficulty = Difficulty(2, CPU)
    difficulty.begin_epoch(1, 0.5)
    difficulty.record(batch(0, 1), torch.zeros(2, 3))
    assert difficulty.ranked is not None
    assert difficulty.ranked.isinf().all()


def test_a_checkpoint_in_the_middle_of_an_epoch_holds_both() -> None:
    before, after = Difficulty(2, CPU), Difficulty(2, CPU)
    before.begin_epoch(1, 0.5)
    before.record(batch(0, 1), torch.randn(2, 3))
    after.load_state_tensors({name: tensor.clone() for name, tensor in before.state_tensors().items()})
    assert after.ranked is not None
    assert after.ranked.isinf().all()
    assert ranked(after) == ranked(before)
