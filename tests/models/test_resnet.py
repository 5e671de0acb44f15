"""ResNet-18 for small images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tenfold import models as _registers  # noqa: F401
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model
from tenfold.models.resnet import ResNet
from tenfold.models.summary import summarize

SMALL = {"width": 4, "blocks": [1, 2]}


def resnet(size: tuple[int, int] = (32, 32), num_classes: int = 10, **arguments: object) -> ResNet:
    model = build_model("resnet18", arguments, num_classes=num_classes, image_size=size)
    assert isinstance(model, ResNet)
    return model


def block_parameters(inputs: int, outputs: int) -> int:
    shortcut = inputs * outputs + 2 * outputs if inputs != outputs else 0
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs + shortcut


def test_the_number_of_parameters() -> None:
    stem, head = 27 * 64 + 2 * 64, 512 * 10 + 10
    pairs = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    expected = stem + sum(block_parameters(*pair) for pair in pairs) + head
    assert sum(weight.numel() for weight in resnet().parameters()) == expected == 11_173_962


def test_each_stage_after_the_first_halves_the_image() -> None:
    rows = {row.name: row.output_shape for row in summarize(resnet(), (32, 32))}
    assert [rows[f"layer{stage}.1.conv2"] for stage in (1, 2, 3, 4)] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (64, 64), (9, 31), (8, 8)])
def test_any_size_from_eight_pixels_works(size: tuple[int, int]) -> None:
    logits = resnet(size, num_classes=3, width=2)(torch.randn(4, 3, *size))
    assert logits.shape == (4, 3)
    assert logits.isfinite().all()


@pytest.mark.parametrize("size", [(8, 64), (64, 8)])
def test_too_small_images_are_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(
        ModelError,
        match=rf"images of {size[1]}×{size[0]} cannot be halved 4 times; use larger images .* or fewer stages",
    ):
        resnet(size, blocks=[1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("width", 0, "model.width = 0: .* greater than or equal to 1"),
        ("blocks", [], "model.blocks = \\[\\]: .* at least 1 item"),
        ("blocks", [2, 0], "model.blocks.1 = 0: .* greater than or equal to 1"),
    ],
)
def test_invalid_arguments_are_an_error(argument: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resnet(**{argument: value})


def test_forward_equals_a_functional_implementation() -> None:
    torch.manual_seed(0)
    model = resnet((12, 16), **SMALL).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    weights = model.state_dict()

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, scale, offset = (
            weights[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + offset

    def block(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        inner = normed(F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1").relu()
        inner = normed(F.conv2d(inner, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride != 1:
            x = normed(F.conv2d(x, weights[f"{name}.shortcut.0.weight"], stride=stride), f"{name}.shortcut.1")
        return (x + inner).relu()

    images = torch.randn(3, 3, 12, 16)
    x = normed(F.conv2d(images, weights["conv1.weight"], padding=1), "bn1").relu()
    x = block(block(block(x, "layer1.0", 1), "layer2.0", 2), "layer2.1", 1)
    expected = x.mean((2, 3)) @ weights["linear.weight"].T + weights["linear.bias"]
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_a_single_image_that_shrinks_to_1x1_can_be_trained_on() -> None:
    model = resnet((8, 8), width=2).train()
    model(torch.randn(1, 3, 8, 8)).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
