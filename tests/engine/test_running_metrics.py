"""Running training metrics: loss and accuracy between two rows of the log."""

from copy import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.engine import running_metrics
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.running_metrics import RunningMetrics


def steps(count: int, batch_size: int = 4, seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Loss, logits and labels of several steps."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        logits = torch.randn(batch_size, 10, generator=generator)
        labels = torch.randint(0, 10, (batch_size,), generator=generator)
        made.append((F.cross_entropy(logits, labels), logits, labels))
    return made


def metrics_of(*taken: tuple[Tensor, Tensor, Tensor]) -> RunningMetrics:
    metrics = RunningMetrics()
    for step in taken:
        metrics.update(*step)
    return metrics


def test_computing_resets_the_metrics() -> None:
    first, second = steps(2)
    metrics = metrics_of(first)
    metrics.compute()
    metrics.update(*second)
    assert metrics.compute().loss == pytest.approx(second[0].item(), rel=1e-6)


def test_a_single_step_gives_the_same_metrics_either_way() -> None:
    (step,) = steps(1, batch_size=6)
    direct, compacted = metrics_of(step), metrics_of(step)
    compacted.state_tensors()
    assert direct.compute() == compacted.compute()


def test_a_single_loss_that_is_not_finite_is_found() -> None:
    metrics = metrics_of((torch.tensor(float("nan")), torch.zeros(4, 10), torch.zeros(4, dtype=torch.int64)))
    for ask in (metrics.compute, metrics.state_tensors):
        with pytest.raises(LossNotFiniteError) as caught:
            ask()
        assert caught.value.steps_ago == 1


def test_batches_of_different_sizes_count_by_their_images() -> None:
    metrics = metrics_of(*steps(1, batch_size=4), *steps(1, batch_size=2))
    tensors = metrics.state_tensors()
    assert int(tensors["seen"].sum()) == 6
    assert metrics.compute().accuracy == int(tensors["hits"].sum()) / 6


def test_many_steps_are_compacted_to_the_same_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = metrics_of(*steps(7)).compute()
    monkeypatch.setattr(running_metrics, "_COMPACT_AFTER", 2)
    assert metrics_of(*steps(7)).compute() == whole


def test_pending_steps_survive_a_checkpoint() -> None:
    *early, late = steps(4)
    metrics, restored = metrics_of(*early), RunningMetrics()
    restored.load_state_tensors({name: tensor.clone() for name, tensor in metrics.state_tensors().items()})
    for each in (metrics, restored):
        each.update(*late)
    assert restored.compute() == metrics.compute()


def test_no_pending_steps_survive_a_checkpoint_too() -> None:
    restored = RunningMetrics()
    restored.load_state_tensors(RunningMetrics().state_tensors())
    (step,) = steps(1)
    restored.update(*step)
    assert restored.compute().loss == pytest.approx(step[0].item(), rel=1e-6)


def smoothed(count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Steps that minimize another loss than the plain cross-entropy."""
    return [(loss + 1, logits, labels) for loss, logits, labels in steps(count)]


@pytest.mark.parametrize("count", [1, 5])
def test_the_plain_loss_is_computed_where_another_one_is_minimized(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(running_metrics, "_COMPACT_AFTER", 2)
    metrics = RunningMetrics(plain_loss=True)
    for step in smoothed(count):
        metrics.update(*step)
    found, plain = metrics.compute(), metrics_of(*steps(count)).compute()
    assert (found.loss, found.objective) == (pytest.approx(plain.loss), pytest.approx((plain.loss or 0) + 1))
    assert found.accuracy == plain.accuracy
    assert plain.objective is None


def test_the_plain_loss_survives_a_checkpoint_and_is_unknown_for_steps_of_an_older_one() -> None:
    early, late = smoothed(2)
    for keys, expected in (({"losses", "hits", "seen", "plain"}, steps(2)), ({"losses", "hits", "seen"}, steps(2)[1:])):
        metrics, restored = RunningMetrics(plain_loss=True), RunningMetrics(plain_loss=True)
        metrics.update(*early)
        restored.load_state_tensors({name: metrics.state_tensors()[name] for name in keys})
        if len(keys) == 3:
            assert copy(restored).compute().loss is None
        restored.update(*late)
        assert restored.compute().loss == pytest.approx(metrics_of(*expected).compute().loss)
