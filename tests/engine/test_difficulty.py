"""What is known of each training picture while a run goes on."""

import pytest
import torch
from torch.nn import functional as F

from tenfold.data.types import Batch
from tenfold.engine.difficulty import Difficulty

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
