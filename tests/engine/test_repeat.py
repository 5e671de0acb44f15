"""A run's own recipe repeats it to the bit, whatever a measurement would choose the next time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tenfold
from harness.curves import shapes
from harness.needs import needs_compiler
from harness.runs import Notes, digests, tiny_run, without_plots
from tenfold.api.prepare import recipe_with_target
from tenfold.core import durable
from tenfold.core.errors import RecipeError
from tenfold.engine import execution
from tenfold.recipes.load import load_recipe

SETTINGS = ("train.duration=6 steps", "train.device=cpu", "train.log_every=2")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def prefer(monkeypatch: pytest.MonkeyPatch, cache: Path, *wanted: str) -> None:
    """Makes the measurement of an empty cache folder prefer an option whose name has all of these words."""

    def measured(options: dict[str, object], *_: object) -> dict[str, float]:
        return {name: 0.1 if all(word in name for word in wanted) else 0.2 for name in options}

    monkeypatch.setenv("TENFOLD_CACHE", str(cache))
    monkeypatch.setattr(execution, "_measure", measured)


def train(runs: Path, name: str, recipe: str | Path, *overrides: str) -> Path:
    with without_plots():
        return tenfold.train(recipe, data=shapes(), overrides=overrides, name=name, runs=runs).path


@pytest.mark.parametrize("wanted", [("1 thread,",), pytest.param(("compiled",), marks=needs_compiler)], ids=" ".join)
def test_a_run_repeats_from_its_own_recipe_whatever_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: tuple[str, ...]
) -> None:
    settings = (*SETTINGS, *([] if "compiled" in wanted else ["train.execution=eager"]))
    prefer(monkeypatch, tmp_path / "a", *wanted)
    first = train(tmp_path, "first", "tutorial", *settings)
    prefer(monkeypatch, tmp_path / "b", "2 threads, float32")
    other = train(tmp_path, "other", "tutorial", *settings)
    monkeypatch.setattr(execution, "_measure", None)  # measuring would fail
    again = train(tmp_path, "again", first)
    assert digests(again) == digests(first)
    assert (again / "recipe.toml").read_text() == (first / "recipe.toml").read_text()
    used, others = load_recipe(first).train, load_recipe(other).train
    assert (used.threads, used.execution) != (others.threads, others.execution)
    described = json.loads((again / "env.json").read_text())["execution"]
    assert described["threads"] == used.threads
    assert described["compiled"] == (used.execution == "compiled") == (described["kernels"] is not None)
    assert described["processor"]


def test_the_recipe_of_a_run_names_its_precision(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=("train.duration=1 step", "train.precision=auto", "train.execution=eager"))
    assert load_recipe(run).train.precision in ("float32", "bfloat16")


def test_a_changed_training_leaves_the_recorded_execution_open_again(tmp_path: Path) -> None:
    run = train(tmp_path, "run", "mlp", *SETTINGS, "train.execution=eager", "train.threads=1")
    durable.write_text(run / "recipe.toml", (run / "recipe.toml").read_text().replace('"eager"', '"compiled"'))
    notes = Notes()
    for recipe in (run, run / "recipe.toml"):
        chosen, _ = recipe_with_target(recipe, ["optim.name=adam", "train.seed=1"], notes)
        assert chosen.train.execution == "auto"
    assert notes.messages == ["train.execution = auto, because optim.name is not the run's"] * 2
    assert recipe_with_target(run, [], notes, ["model.width"])[0].train.execution == "auto"
    for lines in (["train.seed=1", "train.duration=1 epoch"], ["optim.name=adam", "train.execution=compiled"]):
        assert recipe_with_target(run, lines, notes)[0].train.execution == "compiled"


def test_steps_that_cannot_be_compiled_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    settings = (*SETTINGS, "train.execution=compiled", "train.precision=float32", "optim.name=adam")
    expected = "its optimizer is not SGD with momentum; set train.execution=eager, or auto for a new run or sweep"
    with pytest.raises(RecipeError, match=expected):
        train(tmp_path / "runs", "run", "tutorial", *settings)
    assert not (tmp_path / "runs").exists()
