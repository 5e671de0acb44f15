"""Golden loss curves: a refactoring must not change training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.curves import RECIPES, STEPS, curve, shapes
from harness.runs import digests, tiny_run
from tenfold.data.sources.shapes import build_shapes
from tenfold.recipes.load import load_recipe, recipe_names

torch.set_num_threads(1)

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_first_steps_match_the_golden_curve(recipe: str) -> None:
    golden, found = json.loads((GOLDEN / f"{recipe}.json").read_text()), curve(recipe)
    assert len(found["train_loss"]) == STEPS
    assert found["lr"] == pytest.approx(golden["lr"], rel=1e-12)
    # Another CPU adds up in another order, and the difference grows from step to step.
    assert found["train_loss"] == pytest.approx(golden["train_loss"], rel=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_runs_of_one_seed_are_bit_identical(tmp_path: Path, recipe: str) -> None:
    settings = ("train.duration=6 steps", *RECIPES[recipe])
    first, second = (tiny_run(tmp_path, name, recipe, data=shapes(), overrides=settings) for name in "ab")
    assert digests(first) == digests(second)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    first = tiny_run(tmp_path, "a", overrides=("train.duration=6 steps", "model.hidden=[4]"))
    second = tiny_run(tmp_path, "b", overrides=("train.duration=6 steps", "model.hidden=[4]", "train.seed=1"))
    assert digests(first)["model"] != digests(second)["model"]


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_shipped_recipe_takes_a_step(tmp_path: Path, recipe: str) -> None:
    load_recipe(recipe)
    few = build_shapes(train=16, test=8)
    data = replace(few, val=few.test)
    run = tiny_run(tmp_path, recipe=recipe, data=data, overrides=("train.duration=1 step", "train.min_steps=1"))
    assert json.loads((run / "summary.json").read_text())["epochs"] == 1  # a head sees each image


def test_a_run_does_not_change_its_callers_random_state(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tiny_run(tmp_path)
    assert torch.equal(torch.rand(3), expected)
