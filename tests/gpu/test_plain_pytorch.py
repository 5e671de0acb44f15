"""Training against the same steps written in plain PyTorch."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.gpu import (
    DEVICE,
    STEPS,
    distance,
    easy_images,
    first_weights,
    gpu_tests,
    losses,
    settings,
    trained,
    weights,
)
from tenfold.engine.precision import choose_hardware
from tenfold.recipes.load import load_recipe

pytestmark = gpu_tests

BATCH, CLASSES = 10, 3
LR, MOMENTUM = 0.02, 0.9
COMMON = (
    f"train.batch_size={BATCH}",
    f"optim.lr={LR}",
    f"optim.momentum={MOMENTUM}",
    "optim.name=sgd",
    "optim.nesterov=false",
    "optim.schedule=constant",
    "optim.label_smoothing=0",
    "train.shuffle=false",
    "data.normalize=half",
    "data.augment.flip=none",
    "data.augment.shift=0",
)
ARGUMENTS = {"mlp": (), "tutorial": (), "quick": ("model.widths=[16, 32]", "model.strided=false", "model.directions=8")}


class Scale(nn.Module):
    """Multiplies by a ninth."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits / 9


def plain_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 32 * 32, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )


def plain_tutorial() -> nn.Module:
    convolutions = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    linear = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)]
    return nn.Sequential(*convolutions, nn.Flatten(), *linear)


def plain_quick() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 2), nn.GELU()]
    layers[0].weight.requires_grad = False  # type: ignore[union-attr]
    for inputs, outputs in ((16, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2), *norm_and_gelu(outputs)]
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), *norm_and_gelu(outputs)]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES, bias=False), Scale())


def norm_and_gelu(channels: int) -> list[nn.Module]:
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.3)
    norm.weight.requires_grad = False
    return [norm, nn.GELU()]


@pytest.mark.parametrize("build", [plain_mlp, plain_tutorial, plain_quick])
def test_steps_equal_plain_pytorch(tmp_path: Path, build: object, device: torch.device) -> None:
    assert callable(build)
    name = build.__name__.removeprefix("plain_")
    more = (*COMMON, *ARGUMENTS[name])
    data = easy_images()
    run = trained(tmp_path, name, *more, data=data)
    start = first_weights(name, *more, data=data)
    recipe = load_recipe(name, settings(name, *more))

    plain: nn.Module = build()
    names = dict(zip(plain.state_dict(), start, strict=True))
    plain.load_state_dict({own: start[theirs] for own, theirs in names.items()})
    layout = torch.channels_last if recipe.train.channels_last else torch.contiguous_format
    plain.to(device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], lr=LR, momentum=MOMENTUM)
    images = torch.from_numpy(data.train.images).permute(0, 3, 1, 2).to(device).float()
    images = (images / 255 - 0.5) / 0.5
    labels = torch.from_numpy(data.train.labels).to(device)
    expected = []
    with choose_hardware(recipe.train).active():
        for step in range(STEPS):
            rows = slice(first := step % 7 * BATCH, first + BATCH)
            loss = F.cross_entropy(plain(images[rows].contiguous(memory_format=layout)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())

    found = losses(run)
    assert found[-5:].mean() < found[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=0.005)
    ends = {theirs: plain.state_dict()[own] for own, theirs in names.items()}
    assert distance(weights(run), ends, start) < 0.05


def test_the_device_under_test_is_the_gpu() -> None:
    assert DEVICE.type == ("cuda" if torch.cuda.is_available() else "cpu")
