"""The tutorials' networks against the same networks written out by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.tutorial_net import Net
from tenfold.core.errors import ModelError
from tenfold.models import tutorial as _registers  # noqa: F401
from tenfold.models.build import build_model


class Mlp(nn.Module):
    """Flatten, 3072 → 128 → 64 → 10."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3072, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def built(name: str, size: tuple[int, int] = (32, 32), classes: int = 10, **arguments: object) -> nn.Module:
    return build_model(name, arguments, classes=classes, image_size=size)


def count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def pictures(count: int = 5, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_tutorial_has_62006_parameters() -> None:
    assert count(built("tutorial")) == 62_006


def test_mlp_has_402250_parameters() -> None:
    assert count(built("mlp")) == (3072 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 10 == 402_250


def test_parameters_are_called_and_shaped_as_in_the_tutorial() -> None:
    ours, theirs = built("tutorial").state_dict(), Net().state_dict()
    assert {name: weight.shape for name, weight in ours.items()} == {n: w.shape for n, w in theirs.items()}
    assert list(ours) == [
        f"{layer}.{part}" for layer in ("conv1", "conv2", "fc1", "fc2", "fc3") for part in ("weight", "bias")
    ]


@pytest.mark.parametrize(("name", "plain"), [("tutorial", Net), ("mlp", Mlp)])
def test_same_weights_give_the_same_logits_and_gradients_as_plain_pytorch(name: str, plain: type[nn.Module]) -> None:
    theirs, ours = plain(), built(name)
    ours.load_state_dict(theirs.state_dict())
    logits = []
    for model in (theirs, ours):
        logits.append(model(pictures()))
        F.cross_entropy(logits[-1], torch.arange(5)).backward()
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-6)
    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-5, atol=1e-7)


def test_channels_last_pictures_are_flattened_in_the_tutorials_order() -> None:
    model = built("tutorial")
    ordinary = model(pictures())
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(
        model(pictures().contiguous(memory_format=torch.channels_last)), ordinary, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("size", "features"), [((32, 32), 400), ((28, 28), 256), ((24, 40), 16 * 3 * 7), ((64, 64), 16 * 13 * 13)]
)
def test_width_of_the_first_linear_layer_follows_from_the_picture_size(size: tuple[int, int], features: int) -> None:
    model = built("tutorial", size, classes=7)
    assert model.get_submodule("fc1").in_features == features
    assert model(pictures(2, *size)).shape == (2, 7)


def test_arguments_change_the_stages() -> None:
    model = built("tutorial", (64, 64), channels=(4, 8, 12), kernel=3, hidden=(30,))
    assert [name for name, _ in model.named_children()] == ["pool", "conv1", "conv2", "conv3", "fc1", "fc2"]
    assert model.get_submodule("fc1").in_features == 12 * 6 * 6
    assert model(pictures(2, 64, 64)).shape == (2, 10)


def test_mlp_without_hidden_layers_is_one_linear_layer() -> None:
    assert count(built("mlp", hidden=())) == 3073 * 10


def test_a_picture_that_shrinks_away_is_refused_with_the_size_after_each_stage() -> None:
    with pytest.raises(ModelError, match="shrinks below 1×1: 12×20 → 4×8 → 0×2; use larger pictures"):
        built("tutorial", (12, 20))
