"""Parameter groups and the optimiser that is put together from them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer
from tenfold.optim.groups import group_parameters

SGD = OptimizerSettings(
    name="sgd", lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, muon_lr=0.2, muon_momentum=0.6
)
MUON = replace(SGD, name="muon", nesterov=True, weight_decay=0.01)
FORMATS = [torch.contiguous_format, torch.channels_last]


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(96, 5)
    )
    return layers.to(memory_format=memory_format)  # type: ignore[call-overload]


def learn(model: nn.Module, optimizer: CombinedOptimizer, steps: range, memory_format: torch.memory_format) -> None:
    for step in steps:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.scale_lr(1 - step / 20)
        nn.functional.cross_entropy(model(images.contiguous(memory_format=memory_format)), torch.arange(4)).backward()
        optimizer.step()


def bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def assert_same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("settings", [SGD, MUON], ids=["sgd", "muon"])
def test_an_optimiser_that_is_saved_and_restored_goes_on_bit_for_bit(
    settings: OptimizerSettings, memory_format: torch.memory_format
) -> None:
    through = network(memory_format)
    optimizer = build_optimizer(through, settings)
    learn(through, optimizer, range(5), memory_format)
    # As a checkpoint keeps them: contiguous.
    weights = {name: value.contiguous() for name, value in bits(through.state_dict()).items()}
    state = {name: value.contiguous() for name, value in bits(optimizer.state_tensors()).items()}
    learn(through, optimizer, range(5, 12), memory_format)

    resumed = network(memory_format)
    resumed.load_state_dict(weights)
    again = build_optimizer(resumed, settings)
    again.load_state_tensors(state)
    learn(resumed, again, range(5, 12), memory_format)
    assert_same_bits(resumed.state_dict(), through.state_dict())
    assert_same_bits(again.state_tensors(), optimizer.state_tensors())


def test_restored_buffers_lie_in_memory_as_their_weights_do() -> None:
    model = network(torch.channels_last)
    optimizer = build_optimizer(model, MUON)
    learn(model, optimizer, range(2), torch.channels_last)
    optimizer.load_state_tensors({n: v.contiguous() for n, v in bits(optimizer.state_tensors()).items()})
    four_dimensional = [value for value in optimizer.state_tensors().values() if value.ndim == 4]
    assert len(four_dimensional) == 2
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in four_dimensional)


def test_an_optimiser_that_has_not_stepped_has_nothing_to_save() -> None:
    optimizer = build_optimizer(network(), MUON)
    assert optimizer.state_tensors() == {}
    optimizer.load_state_tensors({})


def test_scaling_sets_every_rate_relative_to_the_one_it_was_built_with() -> None:
    optimizer = build_optimizer(network(), MUON)
    for factor in (0.5, 0.25, 1.0):
        optimizer.scale_lr(factor)
        assert sorted({rule.lr for rule in optimizer._rules}) == pytest.approx([0.1 * factor, 0.2 * factor])


def test_a_step_forgets_the_gradients() -> None:
    model = network()
    learn(model, build_optimizer(model, MUON), range(1), torch.contiguous_format)
    assert all(weight.grad is None for weight in model.parameters())


def test_sgd_equals_pytorchs_own() -> None:
    ours, theirs = network(), network()
    optimizer = build_optimizer(ours, SGD)
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for step in range(5):
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        for model in (ours, theirs):
            nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
        optimizer.step()
        plain.step()
        plain.zero_grad()
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [replace(SGD, weight_decay=0.5), replace(MUON, weight_decay=0.5)])
def test_biases_and_normalisation_weights_are_never_decayed(settings: OptimizerSettings) -> None:
    model = network()
    optimizer = build_optimizer(model, settings)
    before = bits(dict(model.named_parameters()))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    lookahead = 1.9 if settings.nesterov else 1.0  # the first step counts the gradient again by the momentum
    unchanged = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert unchanged == {name for name, weight in model.named_parameters() if weight.ndim < 2}
    torch.testing.assert_close(model.get_parameter("5.weight"), before["5.weight"] * (1 - 0.1 * 0.5 * lookahead))


def test_frozen_weights_belong_to_no_group() -> None:
    model = network()
    model.get_parameter("0.weight").requires_grad = False
    groups = group_parameters(model)
    assert [len(part) for part in (groups.filters, groups.matrices, groups.vectors)] == [1, 1, 5]
    assert all(weight.requires_grad for part in (groups.filters, groups.matrices, groups.vectors) for weight in part)


def test_every_learning_weight_belongs_to_exactly_one_group_and_one_optimiser() -> None:
    model = network()
    held = [weight for rule in build_optimizer(model, MUON)._rules for weight in rule.weights]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))


def test_muon_without_convolutions_is_refused_with_the_remedy() -> None:
    with pytest.raises(RecipeError, match=r"optim.name = 'muon' needs convolutions, .* use optim.name = 'sgd'"):
        build_optimizer(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), MUON)


def test_a_network_without_vectors_or_matrices_can_be_trained() -> None:
    model = nn.Conv2d(3, 2, 1, bias=False)
    optimizer = build_optimizer(model, MUON)
    model(torch.randn(1, 3, 2, 2)).sum().backward()
    optimizer.step()


def test_a_network_with_nothing_to_learn_is_refused() -> None:
    with pytest.raises(RecipeError, match="no weights that learn"):
        build_optimizer(nn.Flatten(), SGD)
