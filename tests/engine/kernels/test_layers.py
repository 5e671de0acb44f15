"""Networks that learn with compiled layers."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.devices import computes_bfloat16
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.eager import Eager, LossNotFiniteError
from tenfold.engine.kernels.layers import CompiledLayers, why_not
from tenfold.engine.kernels.programs import compiler
from tenfold.engine.precision import Hardware
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

BFLOAT16 = computes_bfloat16(torch.device("cpu"))
needs_program = pytest.mark.skipif(compiler() is None or not BFLOAT16, reason="needs a C++ compiler and AVX-512 BF16")

CPU = Hardware(torch.device("cpu"), torch.bfloat16, threads=1)
HALF = Preprocessing((32, 32), "crop", (0.5,) * 3, (0.25,) * 3)


def network(name: str = "quick", **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(name, arguments, classes=10, image_size=(32, 32))
    return model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def batches(count: int, size: int = 20) -> list[Batch]:
    """Noise in which each class has a colour of its own, so that there is something to learn."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(count):
        labels = torch.randint(0, 10, (size,), generator=generator)
        noise = torch.randint(0, 156, (size, 3, 32, 32), generator=generator)
        images = (noise + 10 * labels[:, None, None, None]).to(torch.uint8)
        found.append(Batch(images.contiguous(memory_format=torch.channels_last), labels, torch.arange(size)))
    return found


def losses(model: nn.Module, layers: CompiledLayers | None, steps: int = 25) -> list[float]:
    settings = OptimizerSettings("muon", 0.05, 0.85, True, 0.0, 0.05, 0.6)
    step = Eager(model, build_optimizer(model, settings, torch.bfloat16), HALF, CPU, 0.1, layers)
    return [float(step(batch)[0]) for batch in batches(steps)]


@needs_program
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("quick", {"widths": (32, 64, 96), "directions": 8, "strided": True}),
        ("quick", {"widths": (32, 32), "depth": 3}),
        ("quick", {"widths": (32, 64), "residual": True}),
    ],
)
def test_a_network_learns_as_it_does_operation_by_operation(name: str, arguments: dict[str, object]) -> None:
    model = network(name, **arguments)
    other = deepcopy(model)
    expected, found = losses(other, None), losses(model, CompiledLayers(1))
    assert found[0] == pytest.approx(expected[0], rel=0.01)
    assert sum(found[-5:]) == pytest.approx(sum(expected[-5:]), rel=0.1)
    assert sum(found[-5:]) < 0.8 * 5 * found[0]  # it did learn


@needs_program
def test_the_program_carries_layers_out_only_while_it_is_active_and_something_is_learnt() -> None:
    images, filters = torch.randn(2, 32, 8, 8).bfloat16(), torch.randn(32, 32, 3, 3).requires_grad_()

    def convolved() -> Tensor:
        return nn.Conv2d._conv_forward(layer, images, filters, None)

    layer = nn.Conv2d(32, 32, 3, padding=1, bias=False)
    layers = CompiledLayers(1)
    with torch.autocast("cpu", torch.bfloat16):
        plain = convolved()
        with layers:
            compiled = convolved()
            with torch.no_grad():
                judged = convolved()
            pooled = F.max_pool2d(images, 2)
        after = convolved()
    assert not torch.equal(compiled, plain)
    assert torch.equal(judged, plain)
    assert torch.equal(after, plain)
    assert torch.equal(pooled, F.max_pool2d(images, 2))


@needs_program
def test_the_same_batches_give_the_same_bits() -> None:
    ends = []
    for _ in range(2):
        model = network(widths=(32, 64), directions=4)
        losses(model, CompiledLayers(1), steps=5)
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.equal(*ends)


@needs_program
def test_a_loss_that_is_not_finite_is_found_before_the_update() -> None:
    model = network(widths=(32, 64), directions=4)
    convolution = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels == 32)
    with torch.no_grad():
        convolution.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(LossNotFiniteError):
        losses(model, CompiledLayers(1), steps=1)


@pytest.mark.skipif(not BFLOAT16, reason="needs AVX-512 BF16")
def test_what_keeps_a_network_from_being_helped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(network(widths=(16, 24))) == (
        "its network has no 3×3 convolution of stride 1 between multiples of 32 channels"
    )
    helped = network(widths=(32, 64))
    monkeypatch.setenv("CXX", "/dev/null")
    assert why_not(helped) == "there is no C++ compiler (g++ or clang++) on this machine"
    monkeypatch.setattr("tenfold.engine.kernels.layers.computes_bfloat16", lambda device: False)
    assert why_not(helped) == "this CPU does not multiply bfloat16 (AVX-512 BF16)"
