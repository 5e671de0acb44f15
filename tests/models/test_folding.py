"""Networks with folded batch norms compute what the networks themselves do."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tenfold.models import folding
from tenfold.models.build import build_model, models
from tenfold.models.folding import inference_network

SIZE = (32, 32)


def network(name: str) -> nn.Module:
    """Returns a network whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = build_model(name, {}, num_classes=3, image_size=SIZE)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    return model


def num_norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", sorted(models))
def test_the_logits_of_every_network_stay_within_1e_5(name: str) -> None:
    model = network(name)
    modes = [module.training for module in model.modules()]
    copy = inference_network(model, SIZE)
    assert [module.training for module in model.modules()] == modes
    assert num_norms(copy) < num_norms(model) or copy is model
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(copy.eval()(images), model.eval()(images), rtol=1e-5, atol=1e-5)


def test_a_copy_is_kept_while_nothing_changes() -> None:
    model = network("quick")
    assert inference_network(model, SIZE) is inference_network(model, SIZE)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.head.weight.data.mul_(2),
        lambda model: model.groups[1][2].running_mean.add_(1),
        lambda model: setattr(model, "scale", 2.0),
        lambda model: setattr(model, "activation", nn.ReLU()),
    ],
    ids=["weight", "statistics", "setting", "layer"],
)
@torch.no_grad()
def test_a_change_of_the_network_is_seen(change: Callable[[nn.Module], object]) -> None:
    model, images = network("quick").eval(), torch.randn(2, 3, *SIZE)
    inference_network(model, SIZE)
    change(model)
    torch.testing.assert_close(inference_network(model, SIZE)(images), model(images), rtol=1e-5, atol=1e-5)


def test_what_may_hold_state_or_would_compute_something_else_stays_as_it_is() -> None:
    hooked, broken, own = network("quick"), network("quick"), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    hooked.register_forward_hook(lambda *_: None)
    broken.head.weight.data.fill_(float("nan"))
    for model in (hooked, broken, own):
        assert inference_network(model, SIZE) is model


def test_that_a_network_cannot_be_folded_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[nn.Module] = []
    monkeypatch.setattr(folding, "folded", lambda model, example: tried.append(model))
    model = network("quick")
    assert inference_network(model, SIZE) is inference_network(model, SIZE) is model
    assert len(tried) == 1


def test_a_network_made_in_inference_mode_is_folded() -> None:
    with torch.inference_mode():
        model = network("quick")
        copy = inference_network(model, SIZE)
    assert num_norms(copy) < num_norms(model)
