"""Calibration on a small dataset of shapes."""

from pathlib import Path

import pytest
import torch

from tenfold.data.sources.shapes import build_shapes
from tenfold.experiments.budget import costs as calibration
from tenfold.experiments.budget.budget_plan import Cost
from tenfold.experiments.budget.costs import calibrate, time_checkpoint, time_setup
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

torch.set_num_threads(1)

SHAPES = build_shapes(train=64, test=32)


def quick_recipe(*widths: int) -> Recipe:
    settings = {"train.batch_size": 8, "train.device": "cpu", "train.execution": "eager"}
    return load_recipe("quick", {"model.widths": list(widths), **settings})


def test_costs_are_returned_in_the_order_of_the_recipes() -> None:
    large, small = calibrate([quick_recipe(64, 64), quick_recipe(8, 8)], SHAPES, seconds=0.2)
    assert large.step > small.step > 0
    assert large.image > small.image > 0
    assert small.compiling == 0


def test_networks_not_measured_in_time_are_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Recipe] = []

    def measure(recipe: Recipe, *_: object) -> Cost:
        measured.append(recipe)
        return Cost(step=0.1, image=0.01)

    monkeypatch.setattr(calibration, "_measure", measure)
    monkeypatch.setattr(calibration, "perf_counter", iter(range(0, 100, 10)).__next__)
    costs = calibrate([quick_recipe(16, 32), quick_recipe(8, 16)], SHAPES, seconds=1.0)
    assert measured == [quick_recipe(8, 16)], "the smallest is always measured"
    assert costs[1] == Cost(0.1, 0.01)
    factor = costs[0].step / costs[1].step
    assert 2 < factor < 4, "twice the widths are up to four times the work"
    assert costs[0].image == pytest.approx(factor * costs[1].image)


def test_a_calibration_keeps_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    calibrate([quick_recipe(8, 8)], SHAPES, seconds=0.01)
    assert time_setup(quick_recipe(8, 8), SHAPES) > 0
    assert time_checkpoint(quick_recipe(8, 8), SHAPES, tmp_path) > 0
    assert torch.equal(torch.rand(3), expected)
