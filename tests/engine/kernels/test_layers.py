"""Training steps whose layers run as compiled kernels."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.needs import needs_bfloat16, needs_compiler
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.eager import EagerStep, LossNotFiniteError
from tenfold.engine.kernels import layers
from tenfold.engine.kernels.layers import CompiledLayers, unsupported_reason
from tenfold.engine.precision import Hardware
from tenfold.models.blocks import BatchNorm
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

CPU = Hardware(torch.device("cpu"), torch.bfloat16, threads=1)
HALF = Preprocessing((32, 32), "crop", (0.5,) * 3, (0.25,) * 3)


def network(name: str = "quick", **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(name, arguments, num_classes=10, image_size=(32, 32))
    return model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def batches(count: int, size: int = 20) -> list[Batch]:
    """Noise in which each class has a brightness of its own, so that a network can be trained on it."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for _ in range(count):
        labels = torch.randint(0, 10, (size,), generator=generator)
        noise = torch.randint(0, 156, (size, 3, 32, 32), generator=generator)
        images = (noise + 10 * labels[:, None, None, None]).to(torch.uint8)
        made.append(Batch(images.contiguous(memory_format=torch.channels_last), labels, torch.arange(size)))
    return made


def losses(model: nn.Module, *, kernels: bool, steps: int = 25) -> list[float]:
    settings = OptimizerSettings("muon", 0.05, 0.85, True, 0.0, 0.05, 0.6)
    optimizer = build_optimizer(model, settings, torch.bfloat16)
    step = EagerStep(model, optimizer, HALF, CPU, 0.1, CompiledLayers(model, 1) if kernels else None)
    return [float(step(batch)[0]) for batch in batches(steps)]


class Recorded:
    """PyTorch's own operations under the kernels' names, which any CPU can run; counts the calls of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(layers, "Workspace", lambda threads: None)
        for name in ("convolve", "norm_gelu", "gelu"):
            monkeypatch.setattr(layers, name, getattr(self, name))
        monkeypatch.setattr(layers, "norm_fits", lambda features, norm, pool: True)
        monkeypatch.setattr(layers, "gelu_fits", lambda features, approximate: approximate == "none")

    def convolve(self, workspace: Any, images: Tensor, filters: Tensor) -> Tensor:
        self.calls.append("convolve")
        return F.conv2d(images, filters, padding=1)

    def norm_gelu(self, workspace: Any, features: Tensor, norm: BatchNorm, *, pool: bool) -> Tensor:
        self.calls.append("pool + norm_gelu" if pool else "norm_gelu")
        return F.gelu(norm(F.max_pool2d(features, 2) if pool else features))

    def gelu(self, workspace: Any, features: Tensor) -> Tensor:
        self.calls.append("gelu")
        return F.gelu(features)


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (
            {"widths": (32, 64)},
            # the first convolution has 24 input channels, the second group's first 32
            [
                *("gelu", "pool + norm_gelu", "convolve", "norm_gelu"),
                *("convolve", "pool + norm_gelu", "convolve", "norm_gelu"),
            ],
        ),
        ({"widths": (32,), "strided": True}, ["gelu", "norm_gelu", "convolve", "norm_gelu"]),
        # a skip connection makes it no plain chain: its layers run one by one
        ({"widths": (32,), "depth": 3, "residual": True}, ["gelu", "gelu", "convolve", "gelu", "convolve", "gelu"]),
    ],
)
def test_layers_with_a_kernel_use_it_inside_the_context_only(
    arguments: dict[str, object], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, model, images = Recorded(monkeypatch), network(**arguments), torch.randn(4, 3, 32, 32)
    plain = deepcopy(model)(images)
    with CompiledLayers(model, threads=1):
        found = model(images)
        with torch.no_grad():
            model(images)
    assert recorded.calls == calls
    torch.testing.assert_close(found, plain)
    model(images)
    assert recorded.calls == calls
    assert not any("forward" in layer.__dict__ for layer in model.modules())


def test_layers_of_other_kinds_keep_their_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            return 2 * super().forward(input)

    recorded = Recorded(monkeypatch)
    model = nn.Sequential(
        Doubled(32, 32, 3, padding=1, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, bias=False, padding_mode="reflect"),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.MaxPool2d(3),
        nn.GELU("tanh"),
        nn.MaxPool2d(2),
    ).train()
    images = torch.randn(2, 32, 18, 18)
    with CompiledLayers(model, threads=1):
        found = model(images)
    assert recorded.calls == []
    assert torch.equal(found, model(images))


@needs_bfloat16
@needs_compiler
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("quick", {"widths": (32, 64, 96), "directions": 8, "strided": True}),
        ("quick", {"widths": (32, 32), "depth": 3}),
        ("quick", {"widths": (32, 64), "residual": True}),
    ],
)
def test_a_network_trains_with_kernels_as_it_does_without(name: str, arguments: dict[str, object]) -> None:
    model = network(name, **arguments)
    other = deepcopy(model)
    expected, found = losses(other, kernels=False), losses(model, kernels=True)
    assert found[0] == pytest.approx(expected[0], rel=0.01)
    assert sum(found[-5:]) == pytest.approx(sum(expected[-5:]), rel=0.1)
    assert sum(found[-5:]) < 0.8 * 5 * found[0]  # the loss did fall


@needs_bfloat16
@needs_compiler
def test_kernels_run_only_while_active_and_with_gradients() -> None:
    images, layer = torch.randn(2, 32, 8, 8).bfloat16(), nn.Conv2d(32, 32, 3, padding=1, bias=False)
    with torch.autocast("cpu", torch.bfloat16):
        plain = layer(images)
        with CompiledLayers(layer, 1):
            compiled = layer(images)
            with torch.no_grad():
                without_gradients = layer(images)
        after = layer(images)
    assert not torch.equal(compiled, plain)
    assert torch.equal(without_gradients, plain)
    assert torch.equal(after, plain)


@needs_bfloat16
@needs_compiler
def test_the_same_batches_give_the_same_bits() -> None:
    ends = []
    for _ in range(2):
        model = network(widths=(32, 64), directions=4)
        losses(model, kernels=True, steps=5)
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.equal(*ends)


@needs_bfloat16
@needs_compiler
def test_a_loss_that_is_not_finite_is_found_before_the_update() -> None:
    model = network(widths=(32, 64), directions=4)
    convolution = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels == 32)
    with torch.no_grad():
        convolution.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(LossNotFiniteError):
        losses(model, kernels=True, steps=1)


def test_the_reason_against_kernels_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsupported_reason(network(widths=(16, 24))) == (
        "its network has no 3×3 convolution of stride 1 between multiples of 32 channels"
    )
    supported = network(widths=(32, 64))
    monkeypatch.setattr(layers, "supports_bfloat16", lambda device: True)
    monkeypatch.setattr(layers, "compiler", lambda: None)
    assert unsupported_reason(supported) == "there is no C++ compiler (g++ or clang++) on this machine"
    monkeypatch.setattr(layers, "supports_bfloat16", lambda device: False)
    assert unsupported_reason(supported) == "this CPU does not multiply bfloat16 (AVX-512 BF16)"
