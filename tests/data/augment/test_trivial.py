"""TrivialAugment: draws of the wide search space, and each operation with its strength."""

import math

import pytest
import torch
from torch import Tensor

from tenfold.data.augment import color
from tenfold.data.augment.trivial import LEVELS, OPERATIONS, change_colors, draw_trivial, moves

COUNT = 14_000
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def noise(count: int = 14, side: int = 16) -> Tensor:
    shape = count, 3, side, side
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def changed(name: str, level: int) -> Tensor:
    """Returns one image after an operation, [3, H, W]."""
    return change_colors(noise(1), torch.tensor([OPERATIONS.index(name)]), torch.tensor([level]))[0]


def test_operations_and_strengths_are_drawn_uniformly() -> None:
    draws = draw_trivial(COUNT, seed=1, epoch=2)
    assert len(OPERATIONS) == 14
    assert abs(torch.bincount(draws["operation"], minlength=14) - 1000).max() < 4 * math.sqrt(1000)
    counts = torch.bincount(draws["level"].abs(), minlength=31)
    assert abs(counts - COUNT / 31).max() < 4 * math.sqrt(COUNT / 31)
    assert abs(draws["level"].sign().sum()) < 4 * math.sqrt(COUNT)


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    first = draw_trivial(50, seed=3, epoch=4)
    torch.manual_seed(5)
    assert all(torch.equal(rows, draw_trivial(50, seed=3, epoch=4)[name]) for name, rows in first.items())
    for other in (draw_trivial(50, seed=3, epoch=5), draw_trivial(50, seed=4, epoch=4)):
        assert all(not torch.equal(rows, other[name]) for name, rows in first.items())


def test_motions_have_the_strengths_of_the_wide_space() -> None:
    draws = draw_trivial(500, seed=0, epoch=0)
    names = [OPERATIONS[i] for i in draws["operation"].tolist()]
    for name, level, motion in zip(names, draws["level"].tolist(), draws["motion"].flatten(1).tolist(), strict=True):
        part = level / LEVELS
        cos, sin = math.cos(math.radians(135) * part), math.sin(math.radians(135) * part)
        expected = {
            "shear_x": (1, 0.99 * part, 0, 0, 1, 0),
            "shear_y": (1, 0, 0, 0.99 * part, 1, 0),
            "translate_x": (1, 0, 32 * part, 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, 32 * part),
            "rotate": (cos, -sin, 0, sin, cos, 0),
        }.get(name, IDENTITY)
        assert motion == pytest.approx(expected, abs=1e-6)
    moved = [OPERATIONS[i] for i in range(14) if moves(torch.tensor([i]))]
    assert moved == ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"]


@pytest.mark.parametrize("name", ["brightness", "color", "contrast", "sharpness"])
def test_enhancing_takes_the_sign_of_the_level(name: str) -> None:
    for level in (-30, 0, 30):  # 0.01, 1 and 1.99
        expected = getattr(color, name)(noise(1), 1 + torch.tensor([0.033]) * level)[0]
        assert torch.equal(changed(name, level), expected)


@pytest.mark.parametrize("sign", [-1, 1])
def test_posterize_and_solarize_ignore_the_sign(sign: int) -> None:
    for level, bits in [(0, 8), (2, 8), (3, 7), (15, 5), (30, 2)]:
        expected = color.posterize(noise(1), torch.tensor([bits]))[0]
        assert torch.equal(changed("posterize", sign * level), expected)
    for level, threshold in [(0, 255.0), (2, 238.0), (30, 0.0)]:
        expected = color.solarize(noise(1), torch.tensor([threshold]))[0]
        assert torch.equal(changed("solarize", sign * level), expected)


def test_operations_that_move_leave_colors_as_they_are() -> None:
    images = noise(6)
    assert change_colors(images, torch.arange(6), torch.full((6,), 30)) is images


@pytest.mark.parametrize("device", ["cpu", "all at once"])
def test_every_operation_changes_its_own_images_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device != "cpu":  # as on a GPU
        monkeypatch.setattr("tenfold.data.augment.trivial.change_chosen", change_all)
    images, operation, level = noise(), torch.arange(14), torch.full((14,), -21)
    found = change_colors(images, operation, level)
    for i, name in enumerate(OPERATIONS):
        alone = change_colors(images[i : i + 1], operation[i : i + 1], level[i : i + 1])
        assert torch.equal(found[i : i + 1], alone)
        same = name == "identity" or bool(moves(operation[i : i + 1]))
        assert torch.equal(found[i], images[i]) == same
    assert torch.equal(images, noise())


def change_all(images: Tensor, chosen: Tensor, change: object) -> Tensor:
    assert callable(change)
    return torch.where(chosen[:, None, None, None], change(images, torch.arange(len(images))), images)
