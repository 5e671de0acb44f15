"""Update rules against `torch.optim`, over many steps with a changing learning rate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.optim.update import SGD, Adam, RMSprop, UpdateRule

STEPS = 60
PAIRS: dict[
    str, tuple[Callable[..., UpdateRule], Callable[..., torch.optim.Optimizer], dict[str, Any], dict[str, Any]]
] = {
    "sgd": (SGD, torch.optim.SGD, {"momentum": 0.0}, {}),
    "sgd with decay": (SGD, torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.1}, {"weight_decay": 0.1}),
    "momentum": (SGD, torch.optim.SGD, {"momentum": 0.9}, {"momentum": 0.9}),
    "nesterov and decay": (
        SGD,
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "adam": (Adam, torch.optim.Adam, {}, {}),
    "adam with decay": (
        Adam,
        torch.optim.Adam,
        {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4, "weight_decay": 0.1},
        {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
    ),
    "adamw": (Adam, torch.optim.AdamW, {"weight_decay": 0.1, "decoupled": True}, {"weight_decay": 0.1}),
    "rmsprop": (RMSprop, torch.optim.RMSprop, {}, {}),
    "rmsprop with momentum and decay": (
        RMSprop,
        torch.optim.RMSprop,
        {"momentum": 0.9, "alpha": 0.9, "epsilon": 1e-4, "weight_decay": 0.1},
        {"momentum": 0.9, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1},
    ),
}


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((4, 3, 2, 2), (5, 4), (5,), ())]


def gradients(step: int) -> list[Tensor | None]:
    """Returns noise of different scales; None for the second weight at every fourth step."""
    generator = torch.Generator().manual_seed(step + 1)
    noise: list[Tensor | None] = [
        torch.randn(weight.shape, generator=generator) * 10 ** (step % 3 - 1) for weight in weights()
    ]
    if step % 4 == 1:
        noise[1] = None
    return noise


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_rule_equals_the_optimizer_of_pytorch(pair: Any) -> None:
    make, reference, our_keys, their_keys = pair
    ours, theirs = weights(), weights()
    rule, optimizer = make(ours, 0.01, **our_keys), reference(theirs, lr=0.01, **their_keys)
    for step in range(STEPS):
        rule.lr = optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / STEPS)
        for weight, other, gradient in zip(ours, theirs, gradients(step), strict=True):
            weight.grad = gradient
            other.grad = None if gradient is None else gradient.clone()
        rule.step()
        optimizer.step()
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert all(weight.grad is None for weight in ours)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_step_without_gradients_changes_nothing(pair: Any) -> None:
    ours = weights()
    pair[0](ours, 0.1, **pair[2]).step()
    assert all(torch.equal(found, expected) for found, expected in zip(ours, weights(), strict=True))


def test_rules_have_only_the_state_they_need() -> None:
    assert set(SGD(weights(), 0.1, momentum=0.0).state) == set()
    assert set(SGD(weights(), 0.1, momentum=0.9).state) == {"momentum"}
    assert set(RMSprop(weights(), 0.1).state) == {"square"}
    assert set(RMSprop(weights(), 0.1, momentum=0.9).state) == {"square", "momentum"}
    assert set(Adam(weights(), 0.1).state) == {"mean", "square", "steps"}


def test_adam_counts_the_steps_of_each_weight() -> None:
    rule = Adam(weights(), 0.1)
    for step in range(8):
        for weight, gradient in zip(rule.weights, gradients(step), strict=True):
            weight.grad = gradient
        rule.step()
    assert [int(count) for count in rule.state["steps"]] == [8, 6, 8, 8]
