"""Color operations equal those of Pillow, which TrivialAugment was published with."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from tenfold.data.augment import color

FACTORS = torch.tensor([0.01, 0.3, 0.769, 1.0, 1.33, 1.99])
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "color": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def images() -> Tensor:
    """Returns noise, smooth, dark, flat and nearly flat images, uint8 [6, 3, 17, 23], channels_last."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 17, 23, 3))
    ramp = np.broadcast_to(np.linspace(0, 255, 23).astype(int)[:, None], (17, 23, 3))
    kinds = [noise[0], ramp, noise[2] // 5 + 3, np.full((17, 23, 3), 77), 100 + (noise[4] > 127), noise[5] ** 2 // 255]
    return torch.from_numpy(np.stack(kinds).astype(np.uint8)).permute(0, 3, 1, 2)


def pillow(change: Callable[[Image.Image, int], Image.Image]) -> Tensor:
    changed = [change(Image.fromarray(image.permute(1, 2, 0).numpy()), i) for i, image in enumerate(images())]
    return torch.from_numpy(np.stack([np.asarray(image) for image in changed])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancing_equals_pillow(name: str) -> None:
    for turn in range(len(FACTORS)):
        factors = FACTORS.roll(turn)
        expected = pillow(lambda image, i, f=factors: ENHANCERS[name](image).enhance(f[i].item()))  # type: ignore[misc]
        found = getattr(color, name)(images(), factors)
        assert found.dtype == torch.uint8
        assert torch.equal(found, expected)


def test_posterize_solarize_and_equalize_equal_pillow() -> None:
    bits, thresholds = torch.tensor([2, 3, 5, 6, 7, 8]), torch.tensor([255.0, 0.0, 17.0, 76.5, 101.0, 238.0])
    assert torch.equal(
        color.posterize(images(), bits), pillow(lambda image, i: ImageOps.posterize(image, int(bits[i])))
    )
    expected = pillow(lambda image, i: ImageOps.solarize(image, thresholds[i].item()))
    assert torch.equal(color.solarize(images(), thresholds), expected)
    assert torch.equal(color.equalize(images()), pillow(lambda image, _: ImageOps.equalize(image)))


def test_autocontrast_equals_pillow_but_for_its_rounding() -> None:
    found, expected = color.autocontrast(images()), pillow(lambda image, _: ImageOps.autocontrast(image))
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).float().mean() < 0.02


@pytest.mark.parametrize("height", [1, 2])
def test_sharpness_leaves_images_without_an_inside(height: int) -> None:
    flat = images()[:, :, :height]
    assert torch.equal(color.sharpness(flat, FACTORS), flat)


def test_an_image_alone_has_the_colors_that_it_has_in_a_batch() -> None:
    for name in ENHANCERS:
        together = getattr(color, name)(images(), FACTORS)
        alone = [getattr(color, name)(images()[i : i + 1], FACTORS[i : i + 1]) for i in range(6)]
        assert torch.equal(torch.cat(alone), together)
    assert torch.equal(torch.cat([color.equalize(image[None]) for image in images()]), color.equalize(images()))
