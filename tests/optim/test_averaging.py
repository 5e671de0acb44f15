"""The moving average of weights against its closed form, and its use in a network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tenfold.core.errors import RunError
from tenfold.optim.averaging import WeightEMA, ema_decay


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def perturb(model: nn.Module, seed: int) -> None:
    """Changes every tensor that training changes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(1)


def state_copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@given(st.integers(1, 10**6), st.floats(0, 0.9999))
def test_the_decay_grows_to_its_limit(steps: int, decay: float) -> None:
    assert 0 <= ema_decay(steps, decay) <= ema_decay(steps + 1, decay) <= decay
    assert ema_decay(10**9, decay) == decay


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_weighted_sum_of_all_past_weights(decay: float) -> None:
    model = network()
    average = WeightEMA(model, decay)
    expected = {name: tensor.double() for name, tensor in state_copy(model).items()}
    for step in range(1, 25):
        perturb(model, step)
        average.update(step)
        weight = min(decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            expected[name] = weight * expected[name] + (1 - weight) * tensor
    with average.applied():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
            else:
                assert tensor == 24  # integers are not averaged


def test_the_network_gets_its_exact_weights_back_after_an_error() -> None:
    model = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightEMA(model, 0.9)
    perturb(model, 1)
    average.update(1)
    before = state_copy(model)

    def evaluate_and_fail() -> None:
        with average.applied():
            assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
            raise KeyError

    with pytest.raises(KeyError):
        evaluate_and_fail()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    average.copy_to_model()
    assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])


def test_the_average_of_constant_weights_is_exact() -> None:
    model = network()
    before, average = state_copy(model), WeightEMA(model, 0.999)
    for step in range(1, 50):
        average.update(step)
    average.copy_to_model()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_decay_of_zero_does_nothing() -> None:
    model = network()
    average = WeightEMA(model, 0.0)
    perturb(model, 1)
    before = state_copy(model)
    average.update(1)
    with average.applied():
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    average.copy_to_model()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert average.state_tensors() == {}


def test_a_restored_average_continues_bit_for_bit() -> None:
    uninterrupted, resumed = network(), network()
    first, second = WeightEMA(uninterrupted, 0.95), WeightEMA(resumed, 0.95)
    for step in range(1, 6):
        perturb(uninterrupted, step)
        first.update(step)
    resumed.load_state_dict(state_copy(uninterrupted))
    second.load_state_tensors({name: tensor.clone() for name, tensor in first.state_tensors().items()})
    for step in range(6, 12):
        for model, average in ((uninterrupted, first), (resumed, second)):
            perturb(model, step)
            average.update(step)
    assert [*first.state_tensors()] == [*second.state_tensors()]
    for found, expected in zip(second.state_tensors().values(), first.state_tensors().values(), strict=True):
        assert torch.equal(found, expected)


def test_a_replaced_buffer_is_averaged() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightEMA(model, 0.5)
    model.running_mean = torch.full((2,), 8.0)
    average.update(10**6)
    with average.applied():
        assert model.running_mean.tolist() == [4, 4]
    assert model.running_mean.tolist() == [8, 8]


def test_a_checkpoint_without_an_average_is_an_error() -> None:
    with pytest.raises(RunError, match="does not fit the recipe: it contains 0 tensors of the weight average"):
        WeightEMA(network(), 0.9).load_state_tensors({})
