"""Recipes printed with every key."""

import tomllib

import pytest

from tenfold.core.errors import RecipeError
from tenfold.recipes.complete import complete_toml
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe


def lines_of(recipe: Recipe) -> dict[str, list[str]]:
    """Returns the lines of each section, with single spaces."""
    sections: dict[str, list[str]] = {}
    for line in complete_toml(recipe).splitlines():
        if line.startswith("["):
            sections[line] = lines = []
        elif line:
            lines.append(" ".join(line.split()))
    return sections


def test_keys_of_the_network_are_printed_with_their_defaults():
    model = lines_of(load_recipe("quick"))["[model]"]
    assert 'name = "quick"' in model
    assert "widths = [32, 64, 128] # default" in model
    assert "momentum = 0.3" in model


def test_keys_that_a_recipe_or_an_override_sets_are_no_defaults():
    plain, changed = (lines_of(load_recipe("mlp", lines))["[train]"] for lines in ((), ["train.seed=0"]))
    assert "seed = 0 # default" in plain
    assert "seed = 0" in changed


def test_sections_hold_every_key_once():
    sections = lines_of(Recipe())
    assert list(sections) == ["[data]", "[data.augment]", "[model]", "[optim]", "[train]", "[evaluate]"]
    assert tomllib.loads(complete_toml(Recipe())).keys() == Recipe.model_fields.keys()
    for name, section in (("data", Recipe().data), ("train", Recipe().train)):
        keys = [line.partition(" =")[0] for line in sections[f"[{name}]"]]
        assert keys == [key for key in type(section).model_fields if key != "augment"]


def test_a_key_without_a_default_value_is_a_comment():
    assert "# width = # default: no value" in lines_of(load_recipe("wide"))["[model]"]
    assert "width = 6" in lines_of(load_recipe("wide", ["model.width=6"]))["[model]"]


def test_an_unknown_network_is_an_error():
    with pytest.raises(RecipeError, match="unknown model 'quik'"):
        complete_toml(load_recipe("quick", ["model.name=quik"]))
