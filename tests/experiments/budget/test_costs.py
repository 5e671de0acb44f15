"""What networks cost, found out on a handful of shapes."""

from pathlib import Path

import pytest
import torch

from tenfold.data.sources.shapes import build_shapes
from tenfold.experiments.budget.budget_plan import Cost
from tenfold.experiments.budget.budget_plan import costs as calibration
from tenfold.experiments.budget.costs import calibrate, time_checkpoint, time_setup
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

torch.set_num_threads(1)

SHAPES = build_shapes(train=64, test=32)


def quick(*widths: int) -> Recipe:
    settings = {"train.batch_size": 8, "train.device": "cpu", "train.execution": "eager"}
    return load_recipe("quick", {"model.widths": list(widths), **settings})


def test_every_network_gets_its_cost_in_the_order_given() -> None:
    large, small = calibrate([quick(64, 64), quick(8, 8)], SHAPES, seconds=0.2)
    assert large.step > small.step > 0
    assert large.picture > small.picture > 0
    assert small.compiling == 0


def test_what_there_is_no_time_to_measure_is_scaled_by_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Recipe] = []

    def measure(recipe: Recipe, *_: object) -> Cost:
        measured.append(recipe)
        return Cost(step=0.1, picture=0.01)

    monkeypatch.setattr(calibration, "_measure", measure)
    monkeypatch.setattr(calibration, "perf_counter", iter(range(0, 100, 10)).__next__)
    costs = calibrate([quick(16, 32), quick(8, 16)], SHAPES, seconds=1.0)
    assert measured == [quick(8, 16)], "the smallest, in any case"
    assert costs[1] == Cost(0.1, 0.01)
    factor = costs[0].step / costs[1].step
    assert 2 < factor < 4, "twice the widths are up to four times the work"
    assert costs[0].picture == pytest.approx(factor * costs[1].picture)


def test_a_calibration_leaves_the_random_numbers_of_its_caller_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    calibrate([quick(8, 8)], SHAPES, seconds=0.01)
    assert time_setup(quick(8, 8), SHAPES) > 0
    assert time_checkpoint(quick(8, 8), SHAPES, tmp_path) > 0
    assert torch.equal(torch.rand(3), expected)
