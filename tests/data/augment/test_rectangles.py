"""Random rectangles lie inside of the image, with the area and aspect that were asked for; erasing fills them."""

import math

import pytest
import torch
from torch import Tensor

from tenfold.data.augment.erasing import draw_erasing, erase
from tenfold.data.augment.rectangles import draw_rectangles

COUNT = 20_000


def drawn(area: tuple[float, float], aspect: float, seed: int = 0) -> Tensor:
    return draw_rectangles(COUNT, area, aspect, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("area", "aspect"), [((0.08, 1.0), 4 / 3), ((0.02, 0.33), 1 / 0.3), ((1.0, 1.0), 2.0)])
def test_rectangles_have_the_area_and_aspect_and_lie_inside(area: tuple[float, float], aspect: float) -> None:
    centers, sides = drawn(area, aspect).double().split(2, 1)
    assert (centers - sides / 2).min() > -1e-6
    assert (centers + sides / 2).max() < 1 + 1e-6
    areas, ratios = sides.prod(1), sides[:, 1] / sides[:, 0]
    assert area[0] - 1e-6 < areas.min() <= areas.max() < area[1] + 1e-6
    assert 1 / aspect - 1e-5 < ratios.min() <= ratios.max() < aspect + 1e-5
    width = area[1] - area[0]
    assert abs(areas.mean() - sum(area) / 2) <= 4 * width / math.sqrt(12 * COUNT) + 1e-6
    assert abs(ratios.log().mean()) <= 4 * math.log(aspect) / math.sqrt(3 * COUNT)


def test_the_logarithm_of_the_aspect_is_uniform_where_every_aspect_fits() -> None:
    sides = drawn((0.1, 0.5), 4 / 3)[:, 2:].double()
    logarithms = (sides[:, 1] / sides[:, 0]).log() / math.log(4 / 3)
    assert logarithms.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.02)
    assert logarithms.min() < -0.99
    assert logarithms.max() > 0.99


def test_positions_are_uniform() -> None:
    centers, sides = drawn((0.2, 0.4), 4 / 3).double().split(2, 1)
    positions = (centers - sides / 2) / (1 - sides)
    assert (positions.mean(0) - 0.5).abs().max() < 4 / math.sqrt(12 * COUNT)
    assert (torch.corrcoef(positions.T)[0, 1]).abs() < 4 / math.sqrt(COUNT)


def noise(count: int = 40) -> Tensor:
    shape = count, 3, 20, 30
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_images_are_erased_with_the_probability() -> None:
    for probability in (0.0, 0.25, 1.0):
        erased = draw_erasing(COUNT, probability=probability, seed=0, epoch=1)["erase"][:, 2] > 0
        tolerance = 4 * math.sqrt(probability * (1 - probability) / COUNT)
        assert abs(erased.double().mean() - probability) <= tolerance


def test_erasing_fills_a_rectangle_with_random_pixels() -> None:
    draws, images = draw_erasing(40, probability=0.5, seed=0, epoch=1), torch.zeros(40, 3, 40, 60, dtype=torch.uint8)
    found = erase(images, draws["erase"], draws["noise"])
    assert not images.any()
    fills = []
    for image, (down, right, height, width) in zip(found, draws["erase"].tolist(), strict=True):
        filled = image.bool().any(0)
        if not height:
            assert not filled.any()
            continue
        rows, columns = filled.any(1).nonzero().flatten(), filled.any(0).nonzero().flatten()
        assert abs(len(rows) - height * 40) <= 1
        assert abs(len(columns) - width * 60) <= 1
        assert abs((rows[0] + rows[-1] + 1) / 2 - down * 40) <= 1
        assert abs((columns[0] + columns[-1] + 1) / 2 - right * 60) <= 1
        fills.append(image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].double())
    assert 10 < len(fills) < 30
    every = torch.cat([fill.flatten() for fill in fills])
    assert every.mean().item() == pytest.approx(127.5, abs=1)
    assert every.std().item() == pytest.approx(256 / math.sqrt(12), abs=1)
    assert torch.corrcoef(torch.stack([fills[0].flatten()[:-1], fills[0].flatten()[1:]]))[0, 1].abs() < 0.1


def test_erasing_depends_on_seed_epoch_and_image_alone() -> None:
    images, draws = noise(), draw_erasing(40, probability=0.7, seed=3, epoch=4)
    together = erase(images, draws["erase"], draws["noise"])
    alone = [erase(images[i : i + 1], draws["erase"][i : i + 1], draws["noise"][i : i + 1]) for i in range(40)]
    assert torch.equal(torch.cat(alone), together)
    again = draw_erasing(40, probability=0.7, seed=3, epoch=4)
    assert all(torch.equal(rows, again[name]) for name, rows in draws.items())
    for other in (
        draw_erasing(40, probability=0.7, seed=3, epoch=5),
        draw_erasing(40, probability=0.7, seed=4, epoch=4),
    ):
        assert all(not torch.equal(rows, other[name]) for name, rows in draws.items())
