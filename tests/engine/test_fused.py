"""Fused layers: the same training as by the network's own layers."""

from typing import Any

import pytest
import torch

from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch, Mixture
from tenfold.engine.eager import EagerStep
from tenfold.engine.fused import fused_loss
from tenfold.engine.graphs import warm_up
from tenfold.engine.kernels.gpu_layers import GpuLayers
from tenfold.engine.precision import Hardware
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

CPU = Hardware(torch.device("cpu"), autocast=None, threads=1)
PREPROCESSING = Preprocessing((32, 32), "crop", (0.5, 0.4, 0.45), (0.2, 0.25, 0.3))


@pytest.fixture(autouse=True)
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces functions, forward and backward, without writing and compiling C++, which takes a minute on a CPU."""
    compile_function = torch.compile

    def traced(function: Any, **options: Any) -> Any:
        return compile_function(function, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", traced)


def make_step(*, fused: bool, weights: torch.Tensor | None = None) -> tuple[EagerStep, torch.nn.Module, Any]:
    torch.manual_seed(0)
    arguments = {"widths": [8, 16], "depth": 1, "directions": 4}
    model = build_model("quick", arguments, num_classes=4, image_size=(32, 32)).train()
    optimizer = build_optimizer(model, OptimizerSettings("muon", 0.5, 0.85, nesterov=True, weight_decay=0.0))
    if not fused:
        return EagerStep(model, optimizer, PREPROCESSING, CPU, 0.2, class_weights=weights), model, optimizer
    loss = dict.fromkeys(
        (batch(side).images.shape for side in (16, 24)), fused_loss(model, PREPROCESSING, 0.2, weights)
    )
    step = EagerStep(model, optimizer, PREPROCESSING, CPU, 0.2, GpuLayers(model), loss, weights)
    return step, model, optimizer


def batch(side: int, mixture: Mixture | None = None) -> Batch:
    generator = torch.Generator().manual_seed(side)
    images = torch.randint(0, 256, (8, 3, side, side), dtype=torch.uint8, generator=generator)
    return Batch(images, torch.arange(8) % 4, torch.arange(8), mixture)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 4.0, 1.0, 1.0])])
def test_fused_steps_train_like_plain_ones_at_every_image_size(weights: torch.Tensor | None) -> None:
    mixed = Mixture(torch.zeros(8, dtype=torch.int64), torch.full((8,), 0.5))
    batches = [batch(16), batch(24), batch(16), batch(24, mixed), batch(20)]
    batches = batches if weights is None else batches[:1]  # compiling takes seconds
    plain, fused = (make_step(fused=value, weights=weights) for value in (False, True))
    for example in batches:
        (loss, logits), (fused_value, fused_logits) = plain[0](example), fused[0](example)
        torch.testing.assert_close(fused_value, loss)
        torch.testing.assert_close(fused_logits, logits)
    torch.testing.assert_close(fused[1].state_dict(), plain[1].state_dict())


def test_a_warm_up_changes_neither_weights_nor_optimizer() -> None:
    step, model, optimizer = make_step(fused=True)
    before = {name: tensor.clone() for name, tensor in (model.state_dict() | optimizer.state_tensors()).items()}
    warm_up(step, model, optimizer, [batch(16)])
    torch.testing.assert_close(model.state_dict() | optimizer.state_tensors(), before, rtol=0, atol=0)


def test_a_second_network_of_the_same_kind_is_not_compiled_again() -> None:
    make_step(fused=True)[0](batch(16))
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    make_step(fused=True)[0](batch(16))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled > 0
