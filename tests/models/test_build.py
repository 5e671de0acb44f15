"""Building networks from names and arguments, and the messages for mistakes."""

import pytest
import torch

from tenfold import models as _registers  # noqa: F401
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model, check_model, models


def build(name: str, **arguments: object) -> torch.nn.Module:
    return build_model(name, arguments, num_classes=10, image_size=(32, 32))


def test_all_shipped_networks_are_registered() -> None:
    assert set(models) == {"quick", "resnet18", "lite0", "mlp", "tutorial", "wide", "deep3", "deep4"}


@pytest.mark.parametrize("name", ["quick", "resnet18", "mlp", "tutorial", "wide", "deep3", "deep4"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build(name).state_dict())
    assert all(torch.equal(weight, states[1][key]) for key, weight in states[0].items())


def test_a_mistyped_name_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match="unknown model 'tutoral'; did you mean 'tutorial'\\? \\(known: "):
        build("tutoral")


def test_a_mistyped_argument_gets_a_suggestion() -> None:
    with pytest.raises(
        RecipeError,
        match=r"model.hiden is not an argument of 'mlp'; did you mean 'hidden'\? \(known: hidden, dropout\)",
    ):
        build("mlp", hiden=[3])


@pytest.mark.parametrize("name", ["num_classes", "image_size", "return"])
def test_values_from_the_data_are_not_arguments(name: str) -> None:
    with pytest.raises(RecipeError, match=f"model.{name} is not an argument of 'quick'"):
        build("quick", **{name: 3})


@pytest.mark.parametrize(
    ("name", "argument", "value", "message"),
    [
        ("quick", "widths", "abc", "model.widths = 'abc': "),
        ("quick", "widths", [24.5], "model.widths.0 = 24.5: Input should be a valid integer"),
        ("quick", "widths", [], "model.widths = \\[\\]: .* at least 1 item"),
        ("quick", "widths", [32, 0], "model.widths.1 = 0: .* greater than or equal to 1"),
        ("quick", "depth", 0, "model.depth = 0: .* greater than or equal to 1"),
        ("quick", "scale", float("nan"), "model.scale = nan: .* finite"),
        ("quick", "momentum", 2.0, "model.momentum = 2.0: .* less than or equal to 1"),
        ("tutorial", "kernels", "big", "model.kernels = 'big': Input should be a valid integer"),
        ("tutorial", "kernels", 0, "model.kernels = 0: .* greater than or equal to 1"),
        ("tutorial", "channels", [6, -1], "model.channels.1 = -1: .* greater than or equal to 1"),
        ("mlp", "hidden", [0], "model.hidden.0 = 0: .* greater than or equal to 1"),
    ],
)
def test_an_invalid_value_is_reported(name: str, argument: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        build(name, **{argument: value})
    assert "\n" not in str(caught.value)


def test_a_builder_that_fails_is_a_model_error() -> None:
    def failing(num_classes: int, image_size: tuple[int, int]) -> torch.nn.Module:
        raise ValueError("no such thing")

    models.add("failing")(failing)
    try:
        with pytest.raises(ModelError, match=r"model 'failing' cannot be built with \{\}: no such thing"):
            build("failing")
    finally:
        del models._entries["failing"]


@pytest.mark.parametrize(
    ("name", "arguments", "size", "error"),
    [
        ("tutoral", {}, (32, 32), RecipeError),
        ("mlp", {"hidden": [0]}, (32, 32), RecipeError),
        ("tutorial", {}, (12, 12), ModelError),
        ("quick", {}, (8, 8), ModelError),
    ],
)
def test_check_model_raises_the_errors_of_build_model(
    name: str, arguments: dict[str, object], size: tuple[int, int], error: type[Exception]
) -> None:
    messages = []
    for attempt in (build_model, check_model):
        with pytest.raises(error) as caught:
            attempt(name, arguments, num_classes=10, image_size=size)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("name", sorted(models))
def test_check_model_keeps_the_random_state(name: str) -> None:
    before = torch.get_rng_state()
    check_model(name, {}, num_classes=10, image_size=(32, 32))
    assert torch.equal(torch.get_rng_state(), before)
