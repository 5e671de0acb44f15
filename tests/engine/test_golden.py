"""A refactoring must not change what is learnt: the curves in `tests/golden` are to be met."""

import json
from pathlib import Path

import pytest
import torch

from harness.curves import RECIPES, STEPS, curve, shapes
from harness.runs import digests, tiny_run
from tenfold.recipes.load import load_recipe, recipe_names

torch.set_num_threads(1)

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_first_steps_are_those_on_record(recipe: str) -> None:
    on_record, found = json.loads((GOLDEN / f"{recipe}.json").read_text()), curve(recipe)
    assert len(found["train_loss"]) == STEPS
    assert found["lr"] == pytest.approx(on_record["lr"], rel=1e-12)
    # Another processor adds up in another order, and the steps carry the difference on.
    assert found["train_loss"] == pytest.approx(on_record["train_loss"], rel=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_runs_of_one_seed_are_equal_to_the_last_bit(tmp_path: Path, recipe: str) -> None:
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
    run = tiny_run(tmp_path, recipe=recipe, data=shapes(), overrides=("train.duration=1 step", "train.min_steps=1"))
    assert json.loads((run / "summary.json").read_text())["steps"] == 1


def test_a_run_leaves_the_random_numbers_of_its_caller_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tiny_run(tmp_path)
    assert torch.equal(torch.rand(3), expected)
