"""Parameter groups and the optimizer built from them."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError, RunError
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer, group_parameters
from tenfold.optim.muon import Muon

SGD = OptimizerSettings(
    name="sgd", lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, muon_lr=0.2, muon_momentum=0.6
)
MUON = replace(SGD, name="muon", nesterov=True, weight_decay=0.01)
ADAM = replace(SGD, name="adam", lr=0.01, weight_decay=0.01)
ALL = {
    "sgd": SGD,
    "plain sgd": replace(SGD, momentum=0.0),
    "adam": ADAM,
    "adamw": replace(ADAM, name="adamw"),
    "rmsprop": replace(ADAM, name="rmsprop"),
    "layer decay": replace(ADAM, name="adamw", layer_decay=0.5),
    "muon": MUON,
    "muon on matrices": replace(MUON, muon_matrices=True),
}
FORMATS = [torch.contiguous_format, torch.channels_last]


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(96, 5)
    )
    return layers.to(memory_format=memory_format)  # type: ignore[call-overload]


def train(model: nn.Module, optimizer: CombinedOptimizer, steps: range, memory_format: torch.memory_format) -> None:
    for step in steps:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.scale_lr(1 - step / 20)
        nn.functional.cross_entropy(model(images.contiguous(memory_format=memory_format)), torch.arange(4)).backward()
        optimizer.step()


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def assert_same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_a_restored_optimizer_continues_bit_for_bit(
    settings: OptimizerSettings, memory_format: torch.memory_format
) -> None:
    uninterrupted = network(memory_format)
    optimizer = build_optimizer(uninterrupted, settings)
    train(uninterrupted, optimizer, range(5), memory_format)
    # Contiguous, as in a checkpoint.
    weights = {name: value.contiguous() for name, value in copies(uninterrupted.state_dict()).items()}
    state = {name: value.contiguous() for name, value in copies(optimizer.state_tensors()).items()}
    train(uninterrupted, optimizer, range(5, 12), memory_format)

    resumed = network(memory_format)
    resumed.load_state_dict(weights)
    again = build_optimizer(resumed, settings)
    again.load_state_tensors(state)
    train(resumed, again, range(5, 12), memory_format)
    assert_same_bits(resumed.state_dict(), uninterrupted.state_dict())
    assert_same_bits(again.state_tensors(), optimizer.state_tensors())


def test_restored_state_keeps_the_memory_layout_of_the_weights() -> None:
    model = network(torch.channels_last)
    optimizer = build_optimizer(model, MUON)
    train(model, optimizer, range(2), torch.channels_last)
    optimizer.load_state_tensors({n: v.contiguous() for n, v in copies(optimizer.state_tensors()).items()})
    four_dimensional = [value for value in optimizer.state_tensors().values() if value.ndim == 4]
    assert len(four_dimensional) == 2
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in four_dimensional)


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_an_optimizer_can_be_saved_before_its_first_step(settings: OptimizerSettings) -> None:
    models = network(), network()
    first, second = (build_optimizer(model, settings) for model in models)
    second.load_state_tensors(copies(first.state_tensors()))
    for model, optimizer in zip(models, (first, second), strict=True):
        train(model, optimizer, range(3), torch.contiguous_format)
    assert_same_bits(models[1].state_dict(), models[0].state_dict())


def test_the_state_of_another_optimizer_is_an_error() -> None:
    optimizer, other = build_optimizer(network(), ADAM), build_optimizer(network(), SGD)
    with pytest.raises(RunError, match=r"contains 8 tensors of the optimizer state, expected 24"):
        optimizer.load_state_tensors({name: torch.ones_like(value) for name, value in other.state_tensors().items()})
    assert not any(value.any() for value in optimizer.state_tensors().values())


def test_loading_checks_shapes() -> None:
    optimizer = build_optimizer(network(), SGD)
    cut = {name: value[:1] for name, value in optimizer.state_tensors().items()}
    with pytest.raises(RunError, match="with the same names and shapes"):
        optimizer.load_state_tensors(cut)


def test_no_optimizer_imports_the_compiler_of_pytorch() -> None:
    """The import would cost every run more than a second."""
    script = """
import sys, torch
from torch import nn
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import OptimizerSettings, build_optimizer
for name in ("sgd", "adam", "adamw", "rmsprop", "muon"):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 2))
    optimizer = build_optimizer(model, OptimizerSettings(name, 0.1, 0.9, True, 0.1))
    average = WeightEMA(model, 0.9)
    model(torch.ones(1, 1, 1, 1)).sum().backward()
    optimizer.step()
    average.update(1)
    assert "torch._dynamo" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_scale_lr_is_relative_to_the_initial_rate() -> None:
    optimizer = build_optimizer(network(), MUON)
    for factor in (0.5, 0.25, 1.0):
        optimizer.scale_lr(factor)
        assert sorted({rule.lr for rule in optimizer.rules}) == pytest.approx([0.1 * factor, 0.2 * factor])


def test_a_step_clears_the_gradients() -> None:
    model = network()
    train(model, build_optimizer(model, MUON), range(1), torch.contiguous_format)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_biases_and_normalization_weights_are_not_decayed(settings: OptimizerSettings) -> None:
    model = network()
    optimizer = build_optimizer(model, replace(settings, weight_decay=0.5))
    before = copies(dict(model.named_parameters()))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    unchanged = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert unchanged == {name for name, weight in model.named_parameters() if weight.ndim < 2}


@pytest.mark.parametrize(
    ("settings", "decay"),
    [
        (SGD, 0.1 * 0.5),
        (MUON, 0.1 * 0.5 * 1.9),  # Nesterov: the first step adds momentum × gradient
        (ALL["adamw"], 0.01 * 0.5),
    ],
)
def test_weights_are_decayed_by_lr_times_weight_decay(settings: OptimizerSettings, decay: float) -> None:
    model = network()
    optimizer = build_optimizer(model, replace(settings, weight_decay=0.5))
    before = model.get_parameter("5.weight").detach().clone()
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    torch.testing.assert_close(model.get_parameter("5.weight").detach(), before * (1 - decay))


def test_frozen_weights_are_in_no_group() -> None:
    model = network()
    model.get_parameter("0.weight").requires_grad = False
    groups = group_parameters(model)
    assert [len(part) for part in (groups.filters, groups.matrices, groups.vectors)] == [1, 1, 5]
    assert all(weight.requires_grad for part in (groups.filters, groups.matrices, groups.vectors) for weight in part)


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_every_trainable_weight_is_in_exactly_one_rule(settings: OptimizerSettings) -> None:
    model = network()
    updated = [weight for rule in build_optimizer(model, settings).rules for weight in rule.weights]
    assert sorted(map(id, updated)) == sorted(map(id, model.parameters()))


class Rates:
    """A network of three layers, and its weights after one step with gradients of 1."""

    def __init__(self, settings: OptimizerSettings) -> None:
        self.model = nn.Sequential(
            nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Flatten(), nn.Linear(1, 1)
        )
        self.optimizer = build_optimizer(self.model, settings)
        for weight in self.model.parameters():
            nn.init.ones_(weight).grad = torch.ones_like(weight)

    def step(self, factor: float = 1.0) -> dict[str, float]:
        self.optimizer.scale_lr(factor)
        self.optimizer.step()
        return {name: round(weight.item(), 6) for name, weight in self.model.named_parameters()}


@pytest.mark.parametrize(
    ("name", "size"),  # of a step at a rate of 0.1, without weight decay
    [("sgd", 0.1), ("adam", 0.1), ("adamw", 0.1), ("rmsprop", 0.1 / (1 - 0.99) ** 0.5)],
)
def test_each_layer_steps_at_the_rate_of_its_distance_from_the_head(name: str, size: float) -> None:
    found = Rates(OptimizerSettings(name, 0.1, 0.0, False, 0.0, layer_decay=0.5)).step()
    head, middle, first = (round(1 - size * rate, 6) for rate in (1, 0.5, 0.25))
    expected = {"0": first, "1": first, "2.0": middle, "4": head}
    assert found == pytest.approx(
        {f"{layer}.{kind}": expected[layer] for layer in expected for kind in ("weight", "bias")}
    )


def test_the_schedule_scales_the_rates_of_all_layers_and_their_weight_decay() -> None:
    found = Rates(OptimizerSettings("sgd", 0.1, 0.0, False, 0.5, layer_decay=0.5)).step(factor=0.2)
    assert (found["4.weight"], found["4.bias"]) == (1 - 0.02 * 1.5, 1 - 0.02)
    assert (found["0.weight"], found["0.bias"]) == (1 - 0.005 * 1.5, 1 - 0.005)


def test_a_layer_decay_of_1_is_the_optimizer_without() -> None:
    rules = build_optimizer(network(), replace(ADAM, layer_decay=1.0)).rules
    assert [(len(rule.weights), rule.lr) for rule in rules] == [(3, 0.01), (5, 0.01)]


def test_the_state_of_another_layer_decay_is_an_error() -> None:
    optimizer, other = (build_optimizer(network(), replace(ADAM, layer_decay=decay)) for decay in (0.5, 1.0))
    with pytest.raises(RunError, match="with the same names and shapes"):
        optimizer.load_state_tensors(other.state_tensors())


MLP = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


def test_muon_without_convolutions_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"optim.name = 'muon' needs convolutions, .* use optim.name = 'sgd'$"):
        build_optimizer(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), MUON)
    with pytest.raises(RecipeError, match=r"use optim.name = 'sgd' or set optim.muon_matrices = true$"):
        build_optimizer(MLP, MUON)
    with pytest.raises(RecipeError, match=r"needs convolutions or hidden linear layers, .* use optim.name = 'sgd'$"):
        build_optimizer(nn.Linear(12, 2), replace(MUON, muon_matrices=True))


def test_muon_matrices_excludes_the_last_linear_layer() -> None:
    rule = build_optimizer(MLP, replace(MUON, muon_matrices=True)).rules[-1]
    assert isinstance(rule, Muon)
    assert [tuple(weight.shape) for weight in rule.weights] == [(6, 12), (4, 6)]


def test_a_setting_changes_only_the_optimizers_that_use_it() -> None:
    other: dict[str, Any] = {
        "beta1": 0.5,
        "beta2": 0.6,
        "epsilon": 0.1,
        "rmsprop_alpha": 0.3,
        "muon_lr": 9.0,
        "muon_momentum": 0.1,
    }
    used: dict[str, set[str]] = {
        "sgd": set(),
        "adam": {"beta1", "beta2", "epsilon"},
        "adamw": {"beta1", "beta2", "epsilon"},
        "rmsprop": {"rmsprop_alpha", "epsilon"},
        "muon": {"muon_lr", "muon_momentum"},
    }
    for name, keys in used.items():
        changed = set()
        for key, value in other.items():
            models = network(), network()
            for model, settings in zip(models, (ALL[name], replace(ALL[name], **{key: value})), strict=True):
                train(model, build_optimizer(model, settings), range(3), torch.contiguous_format)
            if not all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True)):
                changed.add(key)
        assert changed == keys, name


def test_a_network_without_vectors_or_matrices_can_be_trained() -> None:
    model = nn.Conv2d(3, 2, 1, bias=False)
    optimizer = build_optimizer(model, MUON)
    model(torch.randn(1, 3, 2, 2)).sum().backward()
    optimizer.step()


def test_a_network_without_trainable_weights_is_an_error() -> None:
    with pytest.raises(RecipeError, match="no trainable weights"):
        build_optimizer(nn.Flatten(), SGD)
