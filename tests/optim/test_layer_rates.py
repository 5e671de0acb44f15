"""Layers of a network, and their learning rates."""

import pytest
import torch
from torch import nn

from tenfold import models as _registers  # noqa: F401
from tenfold.core.errors import RecipeError
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.optim.layer_rates import layer_groups, layer_rates
from tenfold.recipes.load import load_recipe


def built(name: str, side: int = 32) -> nn.Module:
    return build_model(name, {}, num_classes=10, image_size=(side, side))


def first_names(model: nn.Module) -> list[str]:
    """Returns the module of the first weight of each layer."""
    names = {weight: name for name, weight in model.named_parameters()}
    return [names[group[0]].rpartition(".")[0] for group in layer_groups(model)]


@pytest.mark.parametrize(("name", "count"), [("lite0", 10), ("resnet18", 10), ("quick", 5), ("mlp", 3)])
def test_networks_have_as_many_layers_as_they_have_blocks(name: str, count: int) -> None:
    model = built(name)
    groups = layer_groups(model)
    assert len(groups) == count
    assert sorted(id(weight) for group in groups for weight in group) == sorted(map(id, model.parameters()))


def test_the_layers_of_lite0_are_stem_stages_and_heads() -> None:
    stages = ["blocks.0.0.conv_dw", *(f"blocks.{number}.0.conv_pw" for number in range(1, 7))]
    assert first_names(built("lite0")) == ["conv_stem", *stages, "conv_head", "classifier"]


def test_lite0_is_updated_by_one_rule_per_layer_and_weight_decay() -> None:
    optimizer = build_optimizer(built("lite0"), OptimizerSettings("adamw", 0.001, 0.9, False, 0.05, layer_decay=0.8))
    assert len(optimizer.rules) == 20
    assert {round(float(rule.lr), 9) for rule in optimizer.rules} == {round(0.001 * 0.8**k, 9) for k in range(10)}


class Transformer(nn.Module):
    """Names as in timm: weights of the network itself come before those of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token, self.bias = nn.Parameter(torch.ones(1, 1, 4)), nn.Parameter(torch.ones(4))
        self.norm_pre = nn.LayerNorm(4)
        self.patch_embed = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def test_embeddings_belong_to_the_first_layer_and_norms_to_the_one_before() -> None:
    assert [len(group) for group in layer_groups(Transformer())] == [6, 2, 4, 2]


def test_rates_fall_from_the_head() -> None:
    model = Transformer()
    rates = layer_rates(model, 0.5)
    assert [rates[model.get_parameter(name)] for name in ("head.bias", "norm.weight", "blocks.0.bias", "bias")] == [
        1.0, 0.5, 0.25, 0.125,
    ]  # fmt: skip


def test_frozen_layers_do_not_change_the_distance_of_the_others() -> None:
    model = Transformer()
    model.blocks.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerSettings("sgd", 1.0, 0.9, False, 0.0, layer_decay=0.5))
    assert [rule.lr for rule in optimizer.rules] == [0.125, 1.0, 0.5]


def test_layer_decay_with_muon_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"optim.layer_decay = 0.8 does not work with optim.name = 'muon'"):
        load_recipe("quick", ["optim.layer_decay=0.8"])
