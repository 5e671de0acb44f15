"""The moving average of weights against its closed form, and what it lends the network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tenfold.core.errors import RunError
from tenfold.optim.averaging import WeightAverage, decay_at


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def jump(model: nn.Module, seed: int) -> None:
    """Changes all that changes in training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(1)


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@given(st.integers(1, 10**6), st.floats(0, 0.9999))
def test_the_decay_grows_to_its_limit(steps: int, decay: float) -> None:
    assert 0 <= decay_at(steps, decay) <= decay_at(steps + 1, decay) <= decay
    assert decay_at(10**9, decay) == decay


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_weighted_sum_of_all_that_the_network_was(decay: float) -> None:
    model = network()
    average = WeightAverage(model, decay)
    expected = {name: tensor.double() for name, tensor in snapshot(model).items()}
    for step in range(1, 25):
        jump(model, step)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * tensor
    with average.applied():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
            else:
                assert tensor == 24  # a count is no mean of counts


def test_the_network_gets_its_own_weights_back_to_the_bit_whatever_happens() -> None:
    model = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightAverage(model, 0.9)
    jump(model, 1)
    average.update(1)
    before = snapshot(model)

    def judge_and_fail() -> None:
        with average.applied():
            assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
            raise KeyError

    with pytest.raises(KeyError):
        judge_and_fail()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    average.take_over()
    assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])


def test_the_average_of_what_never_changes_is_the_same_to_the_bit() -> None:
    model = network()
    before, average = snapshot(model), WeightAverage(model, 0.999)
    for step in range(1, 50):
        average.update(step)
    average.take_over()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_decay_of_zero_holds_and_changes_nothing() -> None:
    model = network()
    average = WeightAverage(model, 0.0)
    jump(model, 1)
    before = snapshot(model)
    average.update(1)
    with average.applied():
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    average.take_over()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert average.state_tensors() == {}


def test_an_average_that_is_saved_and_restored_goes_on_to_the_bit() -> None:
    through, resumed = network(), network()
    first, second = WeightAverage(through, 0.95), WeightAverage(resumed, 0.95)
    for step in range(1, 6):
        jump(through, step)
        first.update(step)
    resumed.load_state_dict(snapshot(through))
    second.load_state_tensors({name: tensor.clone() for name, tensor in first.state_tensors().items()})
    for step in range(6, 12):
        for model, average in ((through, first), (resumed, second)):
            jump(model, step)
            average.update(step)
    assert [*first.state_tensors()] == [*second.state_tensors()]
    for found, expected in zip(second.state_tensors().values(), first.state_tensors().values(), strict=True):
        assert torch.equal(found, expected)


def test_a_buffer_that_the_network_replaces_is_followed() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.5)
    model.running_mean = torch.full((2,), 8.0)
    average.update(10**6)
    with average.applied():
        assert model.running_mean.tolist() == [4, 4]
    assert model.running_mean.tolist() == [8, 8]


def test_a_checkpoint_without_an_average_is_refused_in_words() -> None:
    with pytest.raises(RunError, match="does not fit the recipe's average of weights: it holds 0 tensors"):
        WeightAverage(network(), 0.9).load_state_tensors({})
