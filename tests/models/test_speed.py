"""The network of the recipe `quick`."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.models import speed
from tenfold.models.build import build_model
from tenfold.models.speed import SpeedNet, Whitening


def quick(size: tuple[int, int] = (32, 32), num_classes: int = 10, **arguments: object) -> SpeedNet:
    model = build_model("quick", arguments, num_classes=num_classes, image_size=size)
    assert isinstance(model, SpeedNet)
    return model


def smooth_images(count: int = 200, height: int = 16, width: int = 16) -> torch.Tensor:
    """Returns noise with correlated pixels and channels, as in photos."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 3, height + 4, width + 4, generator=generator)
    mixed = torch.einsum("dc,nchw->ndhw", torch.tensor([[1.0, 0.5, 0.2], [0.4, 1.0, 0.3], [0.1, 0.6, 1.0]]), noise)
    return F.avg_pool2d(mixed, 5, stride=1)


def test_the_number_of_parameters() -> None:
    whitening = 24 * 3 * 2 * 2 + 24
    groups = sum(a * b * 9 + b * b * 9 + 4 * b for a, b in [(24, 32), (32, 64), (64, 128)])
    assert sum(weight.numel() for weight in quick().parameters()) == whitening + groups + 128 * 10


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (64, 64), (96, 96), (9, 31), (28, 28)])
def test_any_size_from_nine_pixels_works(size: tuple[int, int]) -> None:
    model = quick(size, num_classes=3)
    logits = model(torch.randn(4, 3, *size))
    assert logits.shape == (4, 3)
    assert logits.isfinite().all()


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (64, 8)])
def test_too_small_images_are_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=f"images of {size[1]}×{size[0]} cannot be halved 3 times; use larger images"):
        quick(size)


def test_small_images_work_with_fewer_groups() -> None:
    assert quick((8, 8), widths=[16, 32])(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_forward_equals_a_functional_implementation() -> None:
    torch.manual_seed(0)
    model = quick(widths=(8, 12), depth=2, scale=0.5).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.bias)
    images = torch.randn(3, 3, 32, 32)
    weights = model.state_dict()

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, offset = (
            weights[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "bias")
        )
        return F.gelu((x - mean) / variance.sqrt() + offset)

    x = F.gelu(F.conv2d(images, weights["whiten.weight"], weights["whiten.bias"]))
    for group in ("groups.0", "groups.1"):
        x = normed(F.max_pool2d(F.conv2d(x, weights[f"{group}.0.weight"], padding=1), 2), f"{group}.2")
        x = normed(F.conv2d(x, weights[f"{group}.4.weight"], padding=1), f"{group}.5")
    expected = x.amax((2, 3)) @ weights["head.weight"].T * 0.5
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_whitened_patches_are_uncorrelated_with_std_one() -> None:
    images = smooth_images()
    whitening = Whitening()
    nn.init.zeros_(whitening.bias)
    whitening.fit(images, epsilon=0.0)
    outputs = whitening(images).permute(0, 2, 3, 1).reshape(-1, 24)[:, :12].double()
    moments = outputs.T @ outputs / len(outputs)
    torch.testing.assert_close(moments, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-3)


def test_the_second_half_of_the_filters_is_the_first_negated() -> None:
    whitening = Whitening()
    whitening.fit(smooth_images())
    assert torch.equal(whitening.weight[12:], -whitening.weight[:12])


def test_whitening_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    images = smooth_images(60)
    at_once, in_parts = Whitening(), Whitening()
    at_once.fit(images)
    monkeypatch.setattr(speed, "_VALUES_PER_CHUNK", 7 * images[0].numel())
    in_parts.fit(images)
    torch.testing.assert_close(in_parts.weight.abs(), at_once.weight.abs(), rtol=1e-4, atol=1e-5)


def test_images_of_one_colour_give_finite_filters() -> None:
    whitening = Whitening()
    whitening.fit(torch.zeros(4, 3, 8, 8))
    assert whitening.weight.isfinite().all()
    assert whitening.weight.abs().max() <= 5e-4**-0.5


def test_fit_to_changes_only_the_whitening() -> None:
    model = quick()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.fit_to(smooth_images())
    changed = [name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])]
    assert changed == ["whiten.weight"]


def test_convolutions_start_as_the_identity_on_common_channels() -> None:
    weight = quick().groups[0][0].weight  # 32 24 3 3
    features = torch.randn(2, 24, 6, 6)
    assert torch.equal(F.conv2d(features, weight, padding=1)[:, :24], features)
    assert weight[24:].std() > 0.01


def test_whitening_filters_and_batch_norm_scales_are_frozen() -> None:
    model = quick()
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    norms = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert len(norms) == 6
    assert frozen == {"whiten.weight"} | norms


def test_a_single_image_that_shrinks_to_1x1_can_be_trained_on() -> None:
    model = quick((16, 16)).train()
    model(torch.randn(1, 3, 16, 16)).sum().backward()
    assert all(w.grad.isfinite().all() for w in model.parameters() if w.grad is not None)


def test_fewer_directions_are_those_of_the_largest_eigenvalues() -> None:
    images, few, complete = smooth_images(), Whitening(directions=3), Whitening()
    few.fit(images)
    complete.fit(images)
    assert torch.equal(few.weight, torch.cat([complete.weight[:3], -complete.weight[:3]]))
    assert quick(directions=3).groups[0][0].in_channels == 6


def test_strided_replaces_the_pooling_of_the_first_group() -> None:
    strided, pooled = quick(strided=True), quick()
    assert strided.groups[0][0].stride == (2, 2)
    assert sum(isinstance(module, nn.MaxPool2d) for module in strided.modules()) == 2
    features = strided.whiten(torch.randn(1, 3, 32, 32))
    assert strided.groups[0](features).shape == pooled.groups[0](features).shape == (1, 32, 15, 15)


def test_a_stem_of_stride_two_uses_every_pixel_once() -> None:
    whitening = Whitening(stride=2)
    whitening.fit(smooth_images())
    image = smooth_images()[:1, :, :4, :4]
    patches = image.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(4, 12)
    expected = (patches @ whitening.weight.reshape(24, 12).T + whitening.bias).T.reshape(1, 24, 2, 2)
    torch.testing.assert_close(whitening(image), expected)
    assert quick(stem_stride=2).whiten(torch.randn(1, 3, 32, 32)).shape[2:] == (16, 16)


@pytest.mark.parametrize(("stem_stride", "smallest"), [(1, 9), (2, 16)])
def test_a_stem_of_stride_two_needs_larger_images(stem_stride: int, smallest: int) -> None:
    quick((smallest, smallest), stem_stride=stem_stride)(torch.zeros(2, 3, smallest, smallest))
    with pytest.raises(ModelError, match=f"images of {smallest - 1}×{smallest - 1} cannot be halved 3 times"):
        quick((smallest - 1, smallest - 1), stem_stride=stem_stride)


def test_a_residual_adds_its_input_to_its_output() -> None:
    model = quick(residual=True, depth=3, widths=[8, 8]).eval()
    group = model.groups[1]
    features = torch.randn(2, 8, 8, 8)
    halved = group[3](group[2](group[1](group[0](features))))
    residual, activation = group[4], group[5]
    output = halved
    for layer in residual:
        output = layer(output)
    torch.testing.assert_close(group(features), activation(halved + output))
    assert len(list(residual)) == 5


def test_a_fixed_bias_of_the_whitening_keeps_gradients_from_the_first_layer() -> None:
    network = build_model("quick", {"stem_bias": False}, num_classes=10, image_size=(32, 32))
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert network.whiten.bias.grad is None
    assert network.groups[0][0].weight.grad is not None
