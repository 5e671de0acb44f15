"""Loading weights into a network: prefixes, another head, and what does not fit."""

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError
from tenfold.models.build import build_model
from tenfold.models.weights import Weights, load_weights

TWO, THREE = ("cat", "dog"), ("cat", "dog", "owl")


def network(num_classes: int = 2, seed: int = 0, **arguments: object) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("mlp", {"hidden": [4], **arguments}, num_classes=num_classes, image_size=(8, 8))


def load(model: nn.Module, state: dict[str, Tensor], *, known: tuple[str, ...] | None = None) -> list[str]:
    return load_weights(model, Weights(state, "other.pth", known), TWO)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "backbone."])
def test_prefixes_of_wrappers_are_stripped(prefix: str) -> None:
    other, model = network(seed=1).state_dict(), network()
    lines = load(model, {f"{prefix}{name}": weight for name, weight in other.items()})
    assert lines == ["weights: from other.pth; its 2 outputs are taken for the classes of the data in their order"]
    assert all(torch.equal(weight, other[name]) for name, weight in model.state_dict().items())


def test_the_head_stays_random_for_another_number_of_classes() -> None:
    model, other = network(), network(3, seed=1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert load(model, other.state_dict()) == ["weights: from other.pth with a new head: 2 classes instead of 3"]
    assert torch.equal(model.state_dict()["fc1.weight"], other.state_dict()["fc1.weight"])
    assert torch.equal(model.state_dict()["fc2.weight"], before["fc2.weight"])


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (TWO, "weights: from other.pth"),
        (("ant", "bee"), "weights: from other.pth with a new head: its classes are others"),
    ],
)
def test_known_classes_decide_about_the_head(known: tuple[str, ...], line: str) -> None:
    model, other = network(), network(seed=1).state_dict()
    assert load(model, other, known=known) == [line]
    assert torch.equal(model.state_dict()["fc2.weight"], other["fc2.weight"]) == (known == TWO)


def test_weights_without_a_head_of_that_name_and_more_tensors_are_listed() -> None:
    state = network(seed=1).state_dict()
    renamed = {name.replace("fc2", "head"): weight for name, weight in state.items()}
    assert load(network(), renamed) == [
        "weights: from other.pth with a new head: they have none of its name",
        "2 tensors of other.pth not used: 'head.weight', 'head.bias'",
    ]


def test_weights_of_another_network_are_refused_with_the_first_five_differences() -> None:
    state = network(seed=1, hidden=[5, 5, 5, 5]).state_dict()
    with pytest.raises(ModelError) as caught:
        load(network(hidden=[4, 4, 4, 4, 4, 4]), state)
    message = str(caught.value)
    assert message.startswith(
        "the weights of other.pth do not fit the network: 2 tensors of the network missing there: "
        "'fc6.weight', 'fc6.bias'; 10 tensors of another shape: 'fc1.weight' is [5, 192], expected [4, 192]; "
    )
    assert message.count(", expected [") == 5
    assert "choose the network" in message
    assert "\n" not in message


def test_half_precision_becomes_float32() -> None:
    model, other = network(), network(seed=1)
    load(model, {name: weight.half() for name, weight in other.state_dict().items()})
    assert {weight.dtype for weight in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("name", ["lite0", "quick", "resnet18", "tutorial", "deep3"])
def test_every_network_has_a_head_that_may_be_for_other_classes(name: str) -> None:
    small = {"width": 2} if name == "resnet18" else {}
    other = build_model(name, small, num_classes=3, image_size=(32, 32))
    model = build_model(name, small, num_classes=2, image_size=(32, 32))
    (line,) = load(model, other.state_dict(), known=THREE)
    assert line.endswith("with a new head: 2 classes instead of 3")
