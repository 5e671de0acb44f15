import os
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.eager import Eager, LossNotFiniteError
from tenfold.engine.kernels.programs import compiler, programs_folder
from tenfold.engine.kernels.tutorial_step import NativeStep, compiled, why_not
from tenfold.engine.precision import Hardware
from tenfold.models.build import build_model
from tenfold.models.tutorial import TutorialNet, tutorial
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")

CPU = Hardware(torch.device("cpu"), None, threads=1)
PROCESSING = Preprocessing((32, 32), "crop", (0.5, 0.4, 0.3), (0.5, 0.25, 0.2))


def parts(
    name: str = "tutorial",
    *,
    size: tuple[int, int] = (32, 32),
    classes: int = 10,
    lr: float = 0.001,
    **arguments: object,
) -> tuple[TutorialNet, CombinedOptimizer]:
    torch.manual_seed(1)
    settings = {key: arguments.pop(key) for key in ("nesterov", "weight_decay") if key in arguments}
    model = build_model(name, arguments, classes=classes, image_size=size)
    assert isinstance(model, TutorialNet)
    defaults: dict[str, object] = {"name": "sgd", "lr": lr, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    return model, build_optimizer(model, OptimizerSettings(**{**defaults, **settings}))  # type: ignore[arg-type]


def batches(count: int, *, size: int = 4, image: tuple[int, int] = (32, 32), classes: int = 10) -> list[Batch]:
    """Noise in which each class has a colour of its own, so that there is something to learn."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(count):
        labels = torch.randint(0, classes, (size,), generator=generator)
        noise = torch.randint(0, 156, (size, 3, *image), generator=generator)
        images = (noise + 10 * labels[:, None, None, None]).to(torch.uint8)
        found.append(Batch(images, labels, torch.arange(size)))
    return found


def farthest(one: nn.Module, other: nn.Module) -> float:
    """The greatest distance between two weights that should be the same."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_two_hundred_steps_end_with_the_weights_of_plain_pytorch() -> None:
    model, optimizer = parts()
    plain = deepcopy(model)
    sgd = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    step = NativeStep(model, optimizer, PROCESSING, 0.0, batch_size=4)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (PROCESSING.mean, PROCESSING.std))
    for batch in batches(200):
        loss, logits = step(batch)
        sgd.zero_grad()
        expected = plain((batch.images / 255 - mean) / deviation)
        criterion = F.cross_entropy(expected, batch.labels)
        criterion.backward()
        sgd.step()
        assert torch.allclose(loss, criterion, atol=1e-5)
        assert torch.allclose(logits, expected, atol=1e-5)
    assert farthest(model, plain) < 1e-5
    assert farthest(model, parts()[0]) > 1e-2  # it did learn


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
def test_every_network_of_the_tutorials_learns_as_operation_by_operation(
    name: str, settings: dict[str, object], smoothing: float
) -> None:
    size, classes = settings.get("size", (32, 32)), settings.get("classes", 10)
    model, optimizer = parts(name, lr=0.01, **settings)  # type: ignore[arg-type]
    other, other_optimizer = parts(name, lr=0.01, **settings)  # type: ignore[arg-type]
    step = NativeStep(model, optimizer, Preprocessing(size, "crop", (0.5,) * 3, (0.5,) * 3), smoothing, 3)  # type: ignore[arg-type]
    eager = Eager(other, other_optimizer, Preprocessing(size, "crop", (0.5,) * 3, (0.5,) * 3), CPU, smoothing)  # type: ignore[arg-type]
    for batch in batches(20, size=3, image=size, classes=classes):  # type: ignore[arg-type]
        found, expected = step(batch), eager(batch)
        assert torch.allclose(found[0], expected[0], atol=1e-5)
        assert torch.allclose(found[1], expected[1], atol=1e-4)
    assert farthest(model, other) < 1e-5


def test_a_smaller_last_batch_and_channels_last_pictures_count_as_they_should() -> None:
    (model, optimizer), (other, other_optimizer) = parts(lr=0.01), parts(lr=0.01)
    step, eager = NativeStep(model, optimizer, PROCESSING, 0.0, 4), Eager(other, other_optimizer, PROCESSING, CPU)
    for size in (4, 1, 4, 3):
        (batch,) = batches(1, size=size)
        step(batch._replace(images=batch.images.contiguous(memory_format=torch.channels_last)))
        _, expected = eager(batch)
        assert expected.shape == (size, 10)
    assert farthest(model, other) < 1e-6


def test_learning_rates_and_restored_memory_are_followed() -> None:
    (model, optimizer), (other, other_optimizer) = parts(), parts()
    step, eager = NativeStep(model, optimizer, PROCESSING, 0.0, 4), Eager(other, other_optimizer, PROCESSING, CPU)
    for factor, batch in zip((1.0, 0.5, 10.0), batches(3), strict=True):
        for each, learn in ((optimizer, step), (other_optimizer, eager)):
            each.scale_lr(factor)
            learn(batch)
    optimizer.load_state_tensors({name: torch.zeros_like(kept) for name, kept in optimizer.state_tensors().items()})
    before = deepcopy(model)
    optimizer.scale_lr(0.0)
    step(batches(1)[0])
    assert farthest(model, before) == 0.0
    assert farthest(model, other) < 1e-6


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    model, optimizer = parts()
    step = NativeStep(model, optimizer, PROCESSING, 0.0, 4)
    with torch.no_grad():
        model.layers[-1].bias[3] = float("nan")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(LossNotFiniteError):
        step(batches(1)[0])
    assert all(torch.equal(weight, before[name]) or name == "fc3.bias" for name, weight in model.state_dict().items())


def test_not_a_number_in_the_first_layer_reaches_the_loss() -> None:
    model, optimizer = parts()
    step = NativeStep(model, optimizer, PROCESSING, 0.0, 4)
    with torch.no_grad():
        model.convolutions[0][0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(LossNotFiniteError):
        step(batches(1)[0])


def test_the_same_batches_give_the_same_bits() -> None:
    ends: list[Tensor] = []
    for _ in range(2):
        model, optimizer = parts()
        step = NativeStep(model, optimizer, PROCESSING, 0.0, 4)
        for batch in batches(20):
            step(batch)
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.equal(*ends)


def test_a_program_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = parts(channels=(2, 3))
    path = compiled(model, (32, 32), 4)
    assert path.parent == programs_folder()
    monkeypatch.setattr("subprocess.run", None)
    assert compiled(model, (32, 32), 4) == path
    assert [each.suffix for each in path.parent.iterdir() if each.is_dir()] == []  # nothing temporary is left


def test_another_size_is_another_program() -> None:
    model, _ = parts(channels=(2, 3))
    assert compiled(model, (32, 32), 4) != compiled(model, (32, 32), 2)


def test_what_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = parts()
    assert why_not(model, optimizer, CPU, 4) is None
    assert why_not(model, optimizer, Hardware(torch.device("cpu"), torch.bfloat16, 1), 4) == (
        "it computes on cpu, 1 thread, bfloat16, not on a CPU in float32"
    )
    assert "33 pictures" in (why_not(model, optimizer, CPU, 33) or "")
    other = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    assert "more than convolutions" in (why_not(other, optimizer, CPU, 4) or "")
    assert "more than convolutions" in (why_not(tutorial(10, (32, 32), dropout=0.1), optimizer, CPU, 4) or "")
    adam = build_optimizer(model, OptimizerSettings("adam", 0.001, 0.9, False, 0.0))
    assert "not SGD with momentum" in (why_not(model, adam, CPU, 4) or "")
    model.fc1.bias.requires_grad_(False)
    assert "frozen" in (why_not(model, optimizer, CPU, 4) or "")
    monkeypatch.setenv("CXX", os.devnull)
    assert "no C++ compiler" in (why_not(parts()[0], optimizer, CPU, 4) or "")
