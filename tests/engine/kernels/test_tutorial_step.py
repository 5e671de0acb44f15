"""Compiled training steps of the tutorials' networks against PyTorch's."""

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.needs import needs_compiler
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.eager import EagerStep, LossNotFiniteError
from tenfold.engine.kernels.programs import programs_folder
from tenfold.engine.kernels.tutorial_step import CompiledTutorialStep, compiled_program, unsupported_reason
from tenfold.engine.precision import Hardware
from tenfold.models.build import build_model
from tenfold.models.tutorial import TutorialNet, tutorial
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer

pytestmark = needs_compiler

CPU = Hardware(torch.device("cpu"), None, threads=1)
PREPROCESSING = Preprocessing((32, 32), "crop", (0.5, 0.4, 0.3), (0.5, 0.25, 0.2))


def network_and_optimizer(
    name: str = "tutorial",
    *,
    size: tuple[int, int] = (32, 32),
    classes: int = 10,
    lr: float = 0.001,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    **arguments: object,
) -> tuple[TutorialNet, CombinedOptimizer]:
    torch.manual_seed(1)
    model = build_model(name, arguments, num_classes=classes, image_size=size)
    assert isinstance(model, TutorialNet)
    return model, build_optimizer(model, OptimizerSettings("sgd", lr, 0.9, nesterov, weight_decay))


def compiled_and_eager(
    *arguments: Any, smoothing: float = 0.0, weights: Tensor | None = None, batch_size: int = 4, **settings: Any
) -> tuple[CompiledTutorialStep, EagerStep, TutorialNet, TutorialNet]:
    """A compiled and an eager step, each with its own copy of the same network."""
    model, optimizer = network_and_optimizer(*arguments, **settings)
    eager_model, eager_optimizer = network_and_optimizer(*arguments, **settings)
    preprocessing = Preprocessing(settings.get("size", (32, 32)), "crop", PREPROCESSING.mean, PREPROCESSING.std)
    step = CompiledTutorialStep(model, optimizer, preprocessing, smoothing, batch_size, weights)
    eager = EagerStep(eager_model, eager_optimizer, preprocessing, CPU, smoothing, class_weights=weights)
    return step, eager, model, eager_model


def batches(count: int, *, size: int = 4, image: tuple[int, int] = (32, 32), classes: int = 10) -> list[Batch]:
    """Noise in which each class has its own brightness, so that a network can be trained on it."""
    generator = torch.Generator().manual_seed(3)
    result = []
    for _ in range(count):
        labels = torch.randint(0, classes, (size,), generator=generator)
        noise = torch.randint(0, 156, (size, 3, *image), generator=generator)
        images = (noise + 10 * labels[:, None, None, None]).to(torch.uint8)
        result.append(Batch(images, labels, torch.arange(size)))
    return result


def max_difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_two_hundred_steps_end_with_the_weights_of_plain_pytorch() -> None:
    model, optimizer = network_and_optimizer()
    initial, plain = deepcopy(model), deepcopy(model)
    sgd = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    step = CompiledTutorialStep(model, optimizer, PREPROCESSING, 0.0, batch_size=4)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
    for batch in batches(200):
        loss, logits = step(batch)
        sgd.zero_grad()
        expected_logits = plain((batch.images / 255 - mean) / std)
        expected_loss = F.cross_entropy(expected_logits, batch.labels)
        expected_loss.backward()
        sgd.step()
        assert torch.allclose(loss, expected_loss, atol=1e-5)
        assert torch.allclose(logits, expected_logits, atol=1e-5)
    assert max_difference(model, plain) < 1e-5
    assert max_difference(model, initial) > 1e-2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mlp", {"size": (9, 14), "classes": 3}),
        ("wide", {"width": 9, "channels": (9, 21)}),
        ("deep4", {"channels": (5, 7, 18, 33)}),
        ("tutorial", {"size": (40, 29), "channels": (3, 17), "pooled": (False, True), "kernels": (4, 3)}),
        ("tutorial", {"channels": (8,), "kernels": 7, "hidden": (), "classes": 2}),
        ("tutorial", {"nesterov": True, "weight_decay": 0.01}),
    ],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_every_tutorial_network_trains_as_in_eager_execution(
    name: str, settings: dict[str, Any], smoothing: float
) -> None:
    step, eager, model, eager_model = compiled_and_eager(name, lr=0.01, smoothing=smoothing, **settings)
    size, classes = settings.get("size", (32, 32)), settings.get("classes", 10)
    for batch in batches(20, image=size, classes=classes):
        (loss, logits), (expected_loss, expected_logits) = step(batch), eager(batch)
        assert torch.allclose(loss, expected_loss, atol=1e-5)
        assert torch.allclose(logits, expected_logits, atol=1e-4)
    assert max_difference(model, eager_model) < 1e-5


def test_class_weights_are_those_of_eager_execution() -> None:
    weights = torch.tensor([0.2, 5.0, 1.0] + [1.0] * 7)
    step, eager, model, eager_model = compiled_and_eager(lr=0.01, smoothing=0.2, weights=weights)
    for batch in batches(20):
        assert torch.allclose(step(batch)[0], eager(batch)[0], atol=1e-5)
    assert max_difference(model, eager_model) < 1e-5


def test_smaller_batches_and_channels_last_images_are_supported() -> None:
    step, eager, model, eager_model = compiled_and_eager(lr=0.01)
    for size in (4, 1, 4, 3):
        (batch,) = batches(1, size=size)
        _, logits = step(batch._replace(images=batch.images.contiguous(memory_format=torch.channels_last)))
        eager(batch)
        assert logits.shape == (size, 10)
    assert max_difference(model, eager_model) < 1e-6


def test_the_learning_rate_and_a_restored_state_take_effect() -> None:
    model, optimizer = network_and_optimizer()
    eager_model, eager_optimizer = network_and_optimizer()
    step = CompiledTutorialStep(model, optimizer, PREPROCESSING, 0.0, 4)
    eager = EagerStep(eager_model, eager_optimizer, PREPROCESSING, CPU)
    for factor, batch in zip((1.0, 0.5, 10.0), batches(3), strict=True):
        optimizer.scale_lr(factor)
        eager_optimizer.scale_lr(factor)
        step(batch)
        eager(batch)
    assert max_difference(model, eager_model) < 1e-6
    optimizer.load_state_tensors({name: torch.zeros_like(kept) for name, kept in optimizer.state_tensors().items()})
    before = deepcopy(model)
    optimizer.scale_lr(0.0)
    step(batches(1)[0])
    assert max_difference(model, before) == 0.0


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    model, optimizer = network_and_optimizer()
    step = CompiledTutorialStep(model, optimizer, PREPROCESSING, 0.0, 4)
    with torch.no_grad():
        model.layers[-1].bias[3] = float("nan")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(LossNotFiniteError):
        step(batches(1)[0])
    assert all(torch.equal(weight, before[name]) or name == "fc3.bias" for name, weight in model.state_dict().items())


def test_nan_in_the_first_layer_reaches_the_loss() -> None:
    model, optimizer = network_and_optimizer()
    step = CompiledTutorialStep(model, optimizer, PREPROCESSING, 0.0, 4)
    with torch.no_grad():
        model.convolutions[0][0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(LossNotFiniteError):
        step(batches(1)[0])


def test_the_same_batches_give_the_same_bits() -> None:
    weights: list[Tensor] = []
    for _ in range(2):
        model, optimizer = network_and_optimizer()
        step = CompiledTutorialStep(model, optimizer, PREPROCESSING, 0.0, 4)
        for batch in batches(20):
            step(batch)
        weights.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.equal(*weights)


def test_a_program_is_compiled_once_for_each_batch_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compilations: list[Sequence[str]] = []

    def compile_nothing(arguments: Sequence[str]) -> None:
        compilations.append(arguments)
        Path(arguments[-1]).touch()

    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr("tenfold.engine.kernels.programs._compile", compile_nothing)
    model, _ = network_and_optimizer(channels=(2, 3))
    paths = [compiled_program(model, (32, 32), batch_size) for batch_size in (4, 4, 2, 4)]
    assert len(compilations) == 2
    assert paths[0] == paths[1] == paths[3] != paths[2]
    assert {path.parent for path in paths} == {programs_folder()}
    assert set(programs_folder().iterdir()) == set(paths)  # no temporary folders


def test_the_reason_of_an_unsupported_step_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = network_and_optimizer()
    assert unsupported_reason(model, optimizer, CPU, 4) is None
    assert unsupported_reason(model, optimizer, Hardware(torch.device("cpu"), torch.bfloat16, 1), 4) == (
        "it computes on cpu, 1 thread, bfloat16, not on a CPU in float32"
    )
    assert "33 images, more than 32" in (unsupported_reason(model, optimizer, CPU, 33) or "")
    for other in (nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), tutorial(10, (32, 32), dropout=0.1)):
        assert "more than convolutions" in (unsupported_reason(other, optimizer, CPU, 4) or "")
    adam = build_optimizer(model, OptimizerSettings("adam", 0.001, 0.9, False, 0.0))
    assert unsupported_reason(model, adam, CPU, 4) == "its optimizer is not SGD with momentum"
    layered = build_optimizer(model, OptimizerSettings("sgd", 0.001, 0.9, False, 0.0, layer_decay=0.8))
    assert "learning rates of their own" in (unsupported_reason(model, layered, CPU, 4) or "")
    model.fc1.bias.requires_grad_(False)
    assert "frozen" in (unsupported_reason(model, optimizer, CPU, 4) or "")
    monkeypatch.setenv("CXX", os.devnull)
    assert "no C++ compiler" in (unsupported_reason(network_and_optimizer()[0], optimizer, CPU, 4) or "")
