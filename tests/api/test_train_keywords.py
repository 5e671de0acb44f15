"""`tenfold.train` with the keywords of the command line."""

import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import tenfold
from harness.tiny import dataset
from tenfold.api.train import TrainSettings
from tenfold.core.errors import UsageError
from tenfold.core.progress import SilentProgress
from tenfold.recipes.load import load_recipe

SETTINGS = ["train.threads=1", "train.device=cpu", "model.hidden=[4]"]


def test_keywords_are_the_recipe_keys_of_the_flags(tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lr": 0.02, "seed": 3, "target": 0.9}
    run = tenfold.train("mlp", data=dataset(val=6), overrides=SETTINGS, runs=tmp_path, report=False, **keywords)
    recipe = load_recipe(run.path / "recipe.toml")
    assert (str(recipe.train.duration), recipe.train.batch_size, recipe.optim.lr) == ("1 epoch", 8, 0.02)
    assert (recipe.train.seed, recipe.train.target) == (3, 0.9)


def test_train_with_seeds_is_a_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr("tenfold.api.train.sweep", lambda *args, **keywords: calls.append((args, keywords)))
    tenfold.train("mlp", data="shapes", seeds=[1, 5], epochs=2, name="five", runs=tmp_path)
    ((arguments, keywords),) = calls
    assert arguments == ("mlp",)
    assert keywords["seeds"] == [1, 5]
    assert keywords["overrides"] == ["train.duration=2 epochs"]
    assert (keywords["data"], keywords["name"], keywords["runs"]) == ("shapes", "five", tmp_path)
    assert not keywords["resplit"]
    tenfold.train("mlp", data="shapes", seeds=2, resplit=True)
    assert calls[1][1]["resplit"]


def test_a_single_run_refuses_resplit() -> None:
    with pytest.raises(UsageError, match="resplit was given without seeds; expected seeds=N"):
        tenfold.train("mlp", data="shapes", resplit=True)


def test_a_sweep_has_the_same_keywords(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="epochs is 0; expected a number above 0"):
        tenfold.sweep("mlp", seeds=2, epochs=0, runs=tmp_path)
    with pytest.raises(UsageError, match="batch_size is 0; expected a whole number of at least 1"):
        tenfold.sweep("mlp", seeds=2, batch_size=0, runs=tmp_path)


@pytest.mark.parametrize("other", [{"resume": "runs/a"}, {"budget": "60s"}])
def test_several_seeds_refuse_what_is_about_one_run(other: dict[str, str]) -> None:
    (name,) = other
    with pytest.raises(UsageError, match=f"seeds and {name} were both given; expected {name} for a single run only"):
        tenfold.train("mlp", seeds=2, **other)  # type: ignore[arg-type]


def test_train_without_a_progress_uses_the_default_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Started(SilentProgress):
        def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
            started.append(run)

    started: list[Path] = []
    monkeypatch.setattr("tenfold.api.train.default_progress", Started)
    run = tenfold.train("mlp", data=dataset(), epochs=1, overrides=SETTINGS, runs=tmp_path, report=False)
    assert started == [run.path]


def test_type_checkers_see_the_arguments_of_train() -> None:
    hints = get_type_hints(TrainSettings)
    arguments = inspect.signature(tenfold.train).parameters.keys()
    assert hints.keys() == arguments - {"recipe", "seeds", "folds"}
    declared = get_type_hints(inspect.unwrap(tenfold.train))
    assert {name: declared[name] for name in hints} == hints
