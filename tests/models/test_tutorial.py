"""The networks of the tutorials against plain PyTorch implementations."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from classic import Net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from harness.command_line import run_tenfold
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models import tutorial as _registers  # noqa: F401
from tenfold.models.build import build_model

WIDTHS = range(30, 171, 20)


class Mlp(nn.Module):
    """Flatten, 3072 → 128 → 64 → 10."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3072, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Wide(nn.Module):
    """The network of the width study."""

    def __init__(self, width: int = 30) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, width, 5), nn.Conv2d(width, 200, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(200 * 5 * 5, 100), nn.Linear(100, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # B width 14 14
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # B 200 5 5
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Deep3(nn.Module):
    """Three convolutions; the last is not pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 100, 5), nn.Conv2d(100, 180, 5), nn.Conv2d(180, 240, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(240, 100), nn.Linear(100, 200), nn.Linear(200, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # B 100 14 14
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # B 180 5 5
        x = F.relu(self.conv3(x))  # B 240 1 1
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Deep4(nn.Module):
    """Four convolutions; the last is not pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 100, 3), nn.Conv2d(100, 180, 3)
        self.conv3, self.conv4 = nn.Conv2d(180, 240, 2), nn.Conv2d(240, 300, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(300, 100), nn.Linear(100, 200), nn.Linear(200, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # B 100 15 15
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # B 180 6 6
        x = F.max_pool2d(F.relu(self.conv3(x)), 2)  # B 240 2 2
        x = F.relu(self.conv4(x))  # B 300 1 1
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


REFERENCES: dict[str, tuple[str, dict[str, object], Callable[[], nn.Module]]] = {
    "mlp": ("mlp", {}, Mlp),
    "tutorial": ("tutorial", {}, Net),
    "wide": ("wide", {}, Wide),
    **{f"wide-{width}": ("wide", {"width": width}, lambda width=width: Wide(width)) for width in WIDTHS},
    "deep3": ("deep3", {}, Deep3),
    "deep4": ("deep4", {}, Deep4),
}


def built(name: str, size: tuple[int, int] = (32, 32), num_classes: int = 10, **arguments: object) -> nn.Module:
    return build_model(name, arguments, num_classes=num_classes, image_size=size)


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Returns our network and its reference, with different random weights."""
    network, arguments, reference = REFERENCES[name]
    return built(network, **arguments), reference()


def count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def random_images(count: int = 5, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "convolutions", "linear"),
    [
        ("mlp", [], [3072, 128, 64, 10]),
        ("tutorial", [(3, 6, 5), (6, 16, 5)], [16 * 5 * 5, 120, 84, 10]),
        *((f"wide-{n}", [(3, n, 5), (n, 200, 5)], [5000, 100, 84, 10]) for n in WIDTHS),
        ("deep3", [(3, 100, 5), (100, 180, 5), (180, 240, 5)], [240, 100, 200, 10]),
        ("deep4", [(3, 100, 3), (100, 180, 3), (180, 240, 2), (240, 300, 2)], [300, 100, 200, 10]),
    ],
)
def test_the_number_of_parameters(name: str, convolutions: list[tuple[int, int, int]], linear: list[int]) -> None:
    expected = sum((inputs * kernel**2 + 1) * outputs for inputs, outputs, kernel in convolutions)
    expected += sum((inputs + 1) * outputs for inputs, outputs in pairwise(linear))
    ours, theirs = pair(name)
    assert count(ours) == count(theirs) == expected
    assert ours(random_images(2)).shape == theirs(random_images(2)).shape == (2, 10)


def test_the_tutorial_has_its_published_number_of_parameters() -> None:
    assert count(built("tutorial")) == 62_006


@pytest.mark.parametrize("name", REFERENCES)
def test_names_order_and_shapes_equal_the_reference(name: str) -> None:
    ours, theirs = (model.state_dict() for model in pair(name))
    assert [(name, weight.shape) for name, weight in ours.items()] == [(n, w.shape) for n, w in theirs.items()]


@pytest.mark.parametrize("name", REFERENCES)
def test_the_same_seed_gives_the_weights_of_the_reference(name: str) -> None:
    network, arguments, reference = REFERENCES[name]
    torch.manual_seed(3)
    ours = built(network, **arguments).state_dict()
    torch.manual_seed(3)
    assert all(torch.equal(weight, ours[key]) for key, weight in reference().state_dict().items())


@pytest.mark.parametrize("name", ["mlp", "tutorial", "wide-50", "deep3", "deep4"])
def test_logits_and_gradients_equal_the_reference(name: str) -> None:
    ours, theirs = pair(name)
    ours.load_state_dict(theirs.state_dict())
    logits = []
    for model in (theirs, ours):
        logits.append(model(random_images()))
        F.cross_entropy(logits[-1], torch.arange(5)).backward()
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-6)
    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", REFERENCES)
def test_our_weights_load_into_the_reference(name: str) -> None:
    ours, theirs = pair(name)
    theirs.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(theirs(random_images(2)), ours(random_images(2)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["tutorial", "wide", "deep4"])
def test_channels_last_images_are_flattened_in_nchw_order(name: str) -> None:
    model = built(name)
    expected = model(random_images())
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(
        model(random_images().contiguous(memory_format=torch.channels_last)), expected, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("tutorial", (32, 32), 400),
        ("tutorial", (28, 28), 256),
        ("tutorial", (24, 40), 16 * 3 * 7),
        ("tutorial", (64, 64), 16 * 13 * 13),
        ("wide", (48, 32), 200 * 9 * 5),
        ("deep3", (40, 32), 240 * 3 * 1),
        ("deep4", (64, 64), 300 * 5 * 5),
    ],
)
def test_the_first_linear_layer_depends_on_the_image_size(name: str, size: tuple[int, int], features: int) -> None:
    model = built(name, size, num_classes=7)
    assert model.get_submodule("fc1").in_features == features
    assert model(random_images(2, *size)).shape == (2, 7)


def test_arguments_change_the_stages() -> None:
    model = built("tutorial", (64, 64), channels=(4, 8, 12), kernels=3, hidden=(30,))
    assert [name for name, _ in model.named_children()] == ["pool", "conv1", "conv2", "conv3", "fc1", "fc2"]
    assert model.get_submodule("fc1").in_features == 12 * 6 * 6
    assert model(random_images(2, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("name", ["tutorial", "wide", "deep3", "deep4"])
def test_one_value_applies_to_all_convolutions(name: str) -> None:
    one = built(name, channels=[4, 5], kernels=3, pooled=False)
    each = built(name, channels=[4, 5], kernels=[3, 3], pooled=[False, False])
    assert one.get_submodule("fc1").in_features == each.get_submodule("fc1").in_features == 5 * 28 * 28


def test_kernels_and_pooling_can_differ_per_convolution() -> None:
    model = built("tutorial", (20, 20), channels=[4, 5, 6], kernels=[3, 5, 2], pooled=[False, True, False])
    assert [model.get_submodule(f"conv{i}").kernel_size[0] for i in (1, 2, 3)] == [3, 5, 2]
    assert model.get_submodule("fc1").in_features == 6 * 6 * 6  # 20 → 18 → 14 → 7 → 6


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [
        ({}, [30, 200]),
        ({"width": 90}, [90, 200]),
        ({"channels": [64, 128]}, [64, 128]),
        ({"width": 90, "channels": [64, 128]}, [90, 128]),
        ({"width": 7, "channels": [5]}, [7]),
    ],
)
def test_width_replaces_the_first_of_the_channels(arguments: dict[str, object], channels: list[int]) -> None:
    convolutions = [layer for layer in built("wide", **arguments).children() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == channels


def test_mlp_without_hidden_layers_is_one_linear_layer() -> None:
    assert count(built("mlp", hidden=())) == 3073 * 10


@pytest.mark.parametrize("name", ["mlp", "tutorial", "wide", "deep3", "deep4"])
def test_dropout_applies_to_hidden_layers_in_training_only(name: str) -> None:
    torch.manual_seed(0)
    model = built(name, dropout=0.25)
    inputs_of: list[Tensor] = []
    for layer in ("fc2", "fc3"):
        model.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: inputs_of.append(inputs[0]))
    model.train()(random_images(64))
    in_training, inputs_of[:] = list(inputs_of), []
    model.eval()(random_images(64))
    for dropped, complete in zip(in_training, inputs_of, strict=True):
        fraction = 1 - (dropped > 0).float().mean() / (complete > 0).float().mean()
        assert fraction == pytest.approx(0.25, abs=0.05)
    # Kept values are scaled up, so that the expectation is unchanged.
    both = (in_training[0] > 0) & (inputs_of[0] > 0)
    torch.testing.assert_close(in_training[0][both], inputs_of[0][both] / 0.75)


@pytest.mark.parametrize("name", ["mlp", "tutorial", "wide", "deep3", "deep4"])
def test_without_dropout_there_is_no_module_for_it(name: str) -> None:
    plain, dropped = built(name), built(name, dropout=0.5)
    assert not any(isinstance(layer, nn.Dropout) for layer in plain.modules())
    assert list(plain.state_dict()) == list(dropped.state_dict())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "tutorial",
            {"kernels": [3, 3, 3]},
            "model.kernels has length 3 but model.channels has length 2; "
            "give one value for all convolutions, or a list of 2",
        ),
        ("tutorial", {"pooled": [True]}, "model.pooled has length 1 but model.channels has length 2; "),
        ("wide", {"kernels": []}, "model.kernels has length 0 but model.channels has length 2; "),
        ("deep3", {"channels": [8, 8]}, "model.pooled has length 3 but model.channels has length 2; "),
        ("deep4", {"channels": [8] * 5}, "model.kernels has length 4 but model.channels has length 5; "),
        ("wide", {"channels": []}, "model.channels = []: Value should have at least 1 item"),
        ("wide", {"width": 0}, "model.width = 0: Input should be greater than or equal to 1"),
        ("tutorial", {"kernels": "big"}, "model.kernels = 'big': Input should be a valid integer"),
        ("tutorial", {"kernels": 0}, "model.kernels = 0: Input should be greater than or equal to 1"),
        ("deep3", {"kernels": [5, 5, 0]}, "model.kernels.2 = 0: Input should be greater than or equal to 1"),
        ("deep3", {"pooled": "often"}, "model.pooled = 'often': Input should be a valid boolean"),
        ("deep3", {"pooled": [True, True, 2]}, "model.pooled.2 = 2: Input should be a valid boolean"),
        ("mlp", {"dropout": 1}, "model.dropout = 1: Input should be less than 1"),
        ("mlp", {"dropout": -0.1}, "model.dropout = -0.1: Input should be greater than or equal to 0"),
        ("wide", {"dropout": float("nan")}, "model.dropout = nan: Input should be a finite number"),
        ("tutorial", {"width": 9}, "model.width is not an argument of 'tutorial' (known: channels, kernels, pooled, "),
        ("tutorial", {"kernel": 5}, "model.kernel is not an argument of 'tutorial'; did you mean 'kernels'?"),
        ("mlp", {"pooled": True}, "model.pooled is not an argument of 'mlp' (known: hidden, dropout)"),
    ],
)
def test_invalid_arguments_are_one_line(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        built(name, **arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "sizes"),
    [
        ("tutorial", (12, 20), "20×12 → conv1 16×8 → pool 8×4 → conv2 4×0 → pool 2×0"),
        ("tutorial", (5, 5), "5×5 → conv1 1×1 → pool 0×0"),
        ("deep3", (31, 31), "31×31 → conv1 27×27 → pool 13×13 → conv2 9×9 → pool 4×4 → conv3 0×0"),
        ("deep4", (8, 40), "40×8 → conv1 38×6 → pool 19×3 → conv2 17×1 → pool 8×0"),
    ],
)
def test_too_small_images_list_the_size_after_each_layer(name: str, size: tuple[int, int], sizes: str) -> None:
    with pytest.raises(ModelError) as caught:
        built(name, size)
    assert str(caught.value) == (
        f"the image shrinks below 1×1: {sizes}; use larger images (data.image_size), smaller kernels or fewer stages"
    )


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stages=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.booleans()), max_size=4),
)
@settings(deadline=None, max_examples=60)
def test_every_network_works_or_is_an_error(size: tuple[int, int], stages: list[tuple[int, int, bool]]) -> None:
    channels, kernels, pooled = ([stage[i] for stage in stages] for i in range(3))
    arguments = {"channels": channels, "kernels": kernels, "pooled": pooled, "hidden": [3]}
    try:
        model = built("tutorial", size, **arguments)
    except ModelError as error:
        assert str(error).startswith(f"the image shrinks below 1×1: {size[1]}×{size[0]} → conv1 ")  # noqa: PT017
        layers = [layer for kernel, pool in zip(kernels, pooled, strict=True) for layer in _layers(kernel, pool)]
        with pytest.raises(RuntimeError):
            nn.Sequential(*layers)(torch.zeros(1, 1, *size))
    else:
        assert model(random_images(2, *size)).shape == (2, 10)


def _layers(kernel: int, pool: bool) -> list[nn.Module]:
    return [nn.Conv2d(1, 1, kernel), *([nn.MaxPool2d(2)] if pool else [])]


def test_the_summary_command_shows_the_chosen_width() -> None:
    done = run_tenfold("summary", "wide", "--set", "model.width=90")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["conv1", "Conv2d", "90", "×", "28", "×", "28", "6,840", "5,292,000"] in lines
    assert any(line[0] == "total" and line[1] == f"{count(built('wide', width=90)):,}" for line in lines)
