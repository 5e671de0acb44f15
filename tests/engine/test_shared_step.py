"""Micro-batches and clipped gradients of one process. Two processes: `test_two_processes.py`."""

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.share import Share
from tenfold.data.types import Batch
from tenfold.engine.eager import EagerStep, LossNotFiniteError
from tenfold.engine.precision import Hardware
from tenfold.engine.shared_step import SharedStep
from tenfold.engine.step_context import StepContext
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

HALF = Preprocessing((32, 32), "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CPU = Hardware(torch.device("cpu"), None, threads=1)


def context(lr: float = 0.05, **settings: object) -> StepContext:
    torch.manual_seed(0)
    model = build_model("tutorial", {}, num_classes=10, image_size=(32, 32))
    optimizer = build_optimizer(model, OptimizerSettings("sgd", lr, 0.0, nesterov=False, weight_decay=0.0))
    return StepContext(model, optimizer, HALF, CPU, **settings)  # type: ignore[arg-type]


def batch(size: int = 10) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (size, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Batch(images, torch.arange(size) % 10, torch.arange(size))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 10, 11])
def test_micro_batches_take_the_step_of_their_batch(micro_batch: int) -> None:
    whole, cut = context(), context(share=Share(micro_batch=micro_batch))
    plain, shared = whole.build(batch()), cut.build(batch())
    assert type(plain) is EagerStep
    assert isinstance(shared, SharedStep)
    for _ in range(3):
        (loss, logits), (cut_loss, cut_logits) = plain(batch()), shared(batch())
        torch.testing.assert_close(cut_loss, loss)
        torch.testing.assert_close(cut_logits, logits)
    torch.testing.assert_close(weights(cut.model), weights(whole.model))


@pytest.mark.parametrize(("clip_norm", "is_clipped"), [(0.01, True), (1e6, False)])
def test_gradients_above_the_largest_norm_are_scaled_down_to_it(clip_norm: float, is_clipped: bool) -> None:
    free, clipped = context(lr=1.0), context(lr=1.0, clip_norm=clip_norm)
    before = weights(free.model)
    free.build(batch())(batch())
    clipped.build(batch())(batch())
    gradient, found = before - weights(free.model), before - weights(clipped.model)
    assert float(gradient.norm()) > 0.01
    torch.testing.assert_close(found, gradient * (clip_norm / gradient.norm()) if is_clipped else gradient)


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    parts = context(share=Share(micro_batch=4))
    step = parts.build(batch())
    with torch.no_grad():
        next(parts.model.parameters()).fill_(torch.inf)
    before = weights(parts.model)
    with pytest.raises(LossNotFiniteError):
        step(batch())
    assert torch.equal(weights(parts.model), before)


@pytest.mark.parametrize("settings", [{"share": Share(micro_batch=4)}, {"clip_norm": 1.0}])
def test_a_step_that_is_one_program_refuses_them(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"cannot be: train.micro_batch or optim.clip_norm is set; set train.exec"):
        context(**settings).check_compiled(10, mixed=False)
