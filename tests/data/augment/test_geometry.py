"""Resampling equals Pillow's affine transformation, windows lie where they should."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tenfold.data.augment.geometry import GRAY, resample, shift
from tenfold.data.decode.margin import centered

IDENTITY = torch.eye(2, 3)
LEFT_HALF = torch.tensor([[0.5, 0.25, 1.0, 0.5]])


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def smooth(height: int = 24, width: int = 30) -> Tensor:
    """Returns an image whose neighboring pixels differ by little, uint8 [1, 3, H, W]."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 5), np.cos(y / 4 + x / 9), np.sin((x + y) / 7)])
    return torch.from_numpy((waves * 120 + 128).astype(np.uint8))[None]


def test_the_whole_image_is_unchanged() -> None:
    for shape in [(4, 3, 24, 30), (2, 3, 8, 8), (1, 3, 33, 5)]:
        size = shape[2], shape[3]
        images, whole = noise(*shape), torch.tensor([[0.5, 0.5, 1.0, 1.0]]).repeat(shape[0], 1)
        assert torch.equal(resample(images, None, IDENTITY.repeat(shape[0], 1, 1), size), images)
        assert torch.equal(resample(images, whole, None, size), images)


def test_a_box_of_whole_pixels_is_cut_out_and_mirrored_exactly() -> None:
    images = noise(1, 3, 8, 12)
    assert torch.equal(resample(images, LEFT_HALF, None, (8, 6)), images[..., :6])
    mirrored = LEFT_HALF * torch.tensor([1, 1, 1, -1])
    assert torch.equal(resample(images, mirrored, None, (8, 6)), images[..., :6].flip(3))


def test_an_enlarged_box_is_interpolated_between_pixel_centers() -> None:
    images = torch.tensor([0, 40, 80, 200], dtype=torch.uint8).expand(1, 3, 1, 4)
    found = resample(images, LEFT_HALF, None, (1, 4))[0, 0, 0]
    assert found.tolist() == [0, 10, 30, 50]  # the last one reaches into the pixel beside the box


def test_a_motion_by_whole_pixels_fills_with_gray() -> None:
    images = noise(1, 3, 6, 9)
    motion = torch.tensor([[[1.0, 0, 2], [0, 1, -1]]])
    found = resample(images, None, motion, (6, 9))
    assert torch.equal(found[..., 1:, :7], images[..., :5, 2:])
    assert (found[..., 0, :] == GRAY).all()
    assert (found[..., 7:] == GRAY).all()


def test_a_quarter_turn_turns_the_pixels() -> None:
    images = noise(1, 3, 8, 8)
    motion = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    assert torch.equal(resample(images, None, motion, (8, 8)), images.rot90(1, (2, 3)))


@pytest.mark.parametrize("motion", [(1, 0.4, 0, 0, 1, 0), (1, 0, 3.3, -0.7, 1, -2), (0.8, -0.6, 1.5, 0.6, 0.8, 2)])
def test_motions_equal_the_affine_transformation_of_pillow(motion: tuple[float, ...]) -> None:
    image = smooth()
    (a, b, c, d, e, f), (down, right) = motion, (12, 15)
    from_corner = (a, b, c + right - a * right - b * down, d, e, f + down - d * right - e * down)
    expected = Image.fromarray(image[0].permute(1, 2, 0).numpy()).transform(
        (30, 24), Image.Transform.AFFINE, from_corner, Image.Resampling.BILINEAR, fillcolor=(GRAY,) * 3
    )
    found = resample(image, None, torch.tensor(motion).view(1, 2, 3), (24, 30))[0].permute(1, 2, 0)
    difference = np.abs(found.numpy().astype(int) - np.asarray(expected, int))
    assert (difference > 1).mean() < 0.005  # pixels that lie on the edge of the image


def test_a_box_and_a_motion_together_show_what_lies_beside_the_box() -> None:
    image = smooth()
    moved = resample(image, LEFT_HALF, torch.tensor([[[1.0, 0, 3], [0, 1, 0]]]), (24, 15))
    assert torch.equal(moved, image[..., 3:18])


def test_results_depend_on_neither_position_nor_memory_format() -> None:
    generator = torch.Generator().manual_seed(1)
    images, boxes = noise(7, 3, 19, 21), torch.rand(7, 4, generator=generator) / 2 + 0.25
    angles = torch.rand(7, generator=generator) * 2 * math.pi
    motions = torch.stack([angles.cos(), -angles.sin(), angles, angles.sin(), angles.cos(), angles], 1).view(7, 2, 3)
    together = resample(images, boxes, motions, (13, 11))
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    assert torch.equal(resample(images[order], boxes[order], motions[order], (13, 11)), together[order])
    alone = [resample(images[i : i + 1], boxes[i : i + 1], motions[i : i + 1], (13, 11)) for i in range(7)]
    assert torch.equal(torch.cat(alone), together)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(resample(channels_last, boxes, motions, (13, 11)), together)


@pytest.mark.parametrize(("stored", "size"), [((12, 16), (8, 8)), ((9, 11), (8, 8)), ((8, 8), (8, 8))])
def test_shifts_begin_at_the_center_and_use_the_margin(stored: tuple[int, int], size: tuple[int, int]) -> None:
    images = noise(1, 3, *stored)
    top, left = ((old - new) // 2 for old, new in zip(stored, size, strict=True))
    assert torch.equal(shift(images, torch.tensor([[3, 3]]), 3, size), centered(images, size))
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (5, 5), (5, 5)], mode="reflect")
    for y, x in [(0, 6), (1, 4), (6, 0)]:
        first, second = top + y - 3 + 5, left + x - 3 + 5
        expected = padded[:, :, first : first + size[0], second : second + size[1]]
        assert np.array_equal(shift(images, torch.tensor([[y, x]]), 3, size).numpy(), expected)
