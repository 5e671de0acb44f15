"""`tenfold.train` to a target and within a budget, on tiny datasets."""

import json
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from torch import nn

import tenfold
from harness.runs import TINY, noise_dataset, without_plots
from harness.tiny import dataset, photo_folder
from tenfold.core.errors import ModelError, RecipeError, TenfoldError, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset
from tenfold.experiments.budget.accuracy_table import measured_networks
from tenfold.experiments.budget.budget_plan import Cost, Overhead
from tenfold.experiments.budget.costs import calibrate
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder

torch.set_num_threads(1)

QUICKLY = ["train.batch_size=8", "train.min_steps=0", "train.threads=1", "train.device=cpu"]


class Notes(SilentProgress):
    """Keeps the messages of a run."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def about(self, word: str) -> list[str]:
        return [text for text in self.messages if text.startswith(word)]


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the charts, which take most of the time of a tiny run, and their part of a budget."""
    monkeypatch.setattr("tenfold.api.training_run.write_report", lambda folder, images, model: None)
    monkeypatch.setattr("tenfold.api.budget._time_charts", lambda images, folder: 0.0)


def fixed_overhead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the measured overhead, which depends on the load of the machine."""

    def overhead(recipe: Recipe, dataset: Dataset, runs: Path, report: bool, started: float) -> Overhead:
        sizes = {"train": len(dataset.train), "val": len(dataset.val or ()), "test": len(dataset.test)}
        return Overhead(**sizes, spent=0.1, setup=0.05, drawing=0.0, checkpoint=0.01)

    monkeypatch.setattr("tenfold.api.budget._overhead", overhead)


def costs(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Replaces the calibration by made-up costs."""
    monkeypatch.setattr(
        "tenfold.api.budget.calibrate", lambda recipes, images: [Cost(step, step / 1000) for _ in recipes]
    )
    fixed_overhead(monkeypatch)


def planned(run: tenfold.Run) -> dict[str, Any]:
    (entry,) = (entry for entry in read_log(RunFolder(run.path).log) if entry["event"] == "planned")
    return dict(entry["plan"])


# A network that cannot be


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=tutoral"], "unknown model 'tutoral'; did you mean 'tutorial'"),
        (["model.hiden=[4]"], r"model\.hiden is not an argument of 'mlp'; did you mean 'hidden'"),
        (["model.name=quick", "model.widths=[8,8,8,8,8]"], "images of 16×16 cannot be halved 5 times"),
    ],
)
def test_a_network_that_cannot_be_built_leaves_no_files(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises((ModelError, RecipeError), match=message) as caught:
        tenfold.train("mlp", data=dataset(), overrides=[*QUICKLY, *overrides], runs=tmp_path / "runs")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_network_replaces_the_recipes(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    overrides = [*QUICKLY, "model.name=quick", "model.widths=[8,8,8,8,8]", "train.duration=1 epoch", "optim.name=sgd"]
    with without_plots():
        run = tenfold.train("mlp", data=dataset(), model=own, overrides=overrides, runs=tmp_path)
    assert run.summary["parameters"] == 3 * 16 * 16 * 3 + 3


# A target


def test_a_target_adds_a_validation_split_and_evaluations(tmp_path: Path) -> None:
    notes, photos = Notes(), photo_folder(tmp_path / "photos")
    settings = [*QUICKLY, "train.duration=3 epochs", "train.target=0.5"]
    with without_plots():
        run = tenfold.train("mlp", data=photos, overrides=settings, runs=tmp_path / "runs", progress=notes)
    recipe = load_recipe(run.path)
    assert (recipe.data.val_fraction, str(recipe.train.evaluate_every)) == (0.1, "0.1 epochs")
    assert run.summary["dataset"]["pictures"]["val"] > 0
    said, protocol, result = notes.about("target")
    assert said == "target: data.val_fraction = 0.1, train.evaluate_every = 0.1 epochs (defaults)"
    assert "validation images, evaluated every 0.1 epochs, never on the test split" in protocol
    assert "warm-up and compilation" in protocol
    word = "reached" if run.summary["target"]["reached"] else "not reached"
    assert result.startswith(f"target 50.0 % {word}: ")


def test_total_seconds_count_from_the_given_start(tmp_path: Path) -> None:
    settings = [*QUICKLY, "train.duration=1 epoch", "train.target=0.01"]
    notes, before = Notes(), 1000.0
    with without_plots():
        run = tenfold.train(
            "mlp",
            data=dataset(val=6),
            overrides=settings,
            runs=tmp_path,
            progress=notes,
            started=perf_counter() - before,
        )
    aim = run.summary["target"]
    assert before < aim["run_seconds"] <= run.summary["total_seconds"]
    assert aim["training_seconds"] <= run.summary["training_seconds"] < before
    assert f"{aim['run_seconds']:.1f} s after the command's start" in notes.about("target")[-1]
    assert "total time counts from the start of the command" in notes.about("target")[-2]


def test_evaluation_settings_of_the_user_are_kept(tmp_path: Path) -> None:
    said = ["data.val_fraction=0.25", "train.evaluate_every=1 epoch", "train.target=0.999", "train.duration=1 epoch"]
    for recipe in ("mlp", resolve(load_recipe("mlp"), said)):
        notes = Notes()
        overrides = [*QUICKLY, *(said if recipe == "mlp" else [])]
        with without_plots():
            run = tenfold.train(recipe, data=dataset(val=6), overrides=overrides, runs=tmp_path, progress=notes)
        complete = load_recipe(run.path)
        assert (complete.data.val_fraction, str(complete.train.evaluate_every)) == (0.25, "1 epoch")
        assert not any("(defaults)" in text for text in notes.messages)


def test_a_recipe_with_a_target_repeats_the_run(tmp_path: Path) -> None:
    with without_plots():
        settings = [*QUICKLY, "train.duration=3 epochs", "train.target=0.4"]
        run = tenfold.train("mlp", data=dataset(val=6), overrides=settings, runs=tmp_path)
        again = tenfold.train(run.path / "recipe.toml", data=dataset(val=6), runs=tmp_path)
    assert load_recipe(again.path) == load_recipe(run.path)
    timeless = ("step", "epoch", "val_accuracy", "reached", "accuracy")
    assert [again.summary["target"][key] for key in timeless] == [run.summary["target"][key] for key in timeless]


def test_a_resumed_run_may_get_a_target_if_it_has_validation(tmp_path: Path) -> None:
    with without_plots():
        for val in (6, 0):
            data = noise_dataset(val=val)
            run = tenfold.train("mlp", data=data, overrides=[*TINY, "train.threads=1"], runs=tmp_path, name=f"{val}")
            go_on = partial(tenfold.train, data=data, resume=run.path)
            further = ["train.duration=4 epochs", "train.target=0.01"]
            if val:
                assert go_on(overrides=further).summary["target"]["reached"]
                continue
            before = (run.path / "recipe.toml").read_bytes()
            with pytest.raises(RecipeError, match=r"train\.target needs a validation split"):
                go_on(overrides=further)
            assert (run.path / "recipe.toml").read_bytes() == before
            assert (run.path / "summary.json").is_file()


# A budget


@pytest.mark.usefixtures("no_charts")
def test_a_budget_becomes_a_recipe_and_its_parts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.api.budget.calibrate", partial(calibrate, seconds=0.05))
    fixed_overhead(monkeypatch)
    notes = Notes()
    overrides = [*QUICKLY, "evaluate.batch_size=16", "train.execution=eager"]
    data = build_shapes(train=64, test=32)
    run = tenfold.train("quick", data=data, overrides=overrides, runs=tmp_path, budget="8s", progress=notes)
    plan, recipe = planned(run), load_recipe(run.path)
    parts = ("spent", "setup", "compiling", "training", "validating", "testing", "finishing", "margin", "unused")
    assert sum(plan[name] for name in parts) == pytest.approx(8) == pytest.approx(plan["budget"])
    assert recipe.train.duration.unit == "s"
    assert recipe.train.duration.amount == pytest.approx(plan["training"], abs=0.01)
    assert tuple(recipe.model.arguments["widths"]) in {network.rows[0].widths for network in measured_networks()}  # type: ignore[arg-type]
    assert recipe.train.batch_size == 8, "what the user chose is kept"
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["total_seconds"] >= summary["training_seconds"] >= recipe.train.duration.amount
    protocol, *_, spent = notes.about("budget")
    assert "preparing the images for the first time is not counted" in protocol
    assert spent.endswith("of 8 s spent")
    assert len(notes.about("plan")) == 1


@pytest.mark.usefixtures("no_charts")
def test_another_network_keeps_its_shape_and_gets_a_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs(monkeypatch, step=2e-5)
    for recipe, own in (("mlp", "model.hidden=[4]"), ("quick", "model.widths=[8, 8]")):
        run = tenfold.train(recipe, data=dataset(), overrides=[*QUICKLY, own], runs=tmp_path, budget="2s")
        complete = load_recipe(run.path)
        assert complete.model == load_recipe(recipe, [own]).model
        assert complete.optim == load_recipe(recipe).optim
        assert (complete.train.duration.unit, planned(run)["accuracy"]) == ("s", None)


@pytest.mark.usefixtures("no_charts")
def test_a_budget_may_end_at_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs(monkeypatch, step=2e-5)
    overrides = [*QUICKLY, "train.target=0.05", "model.hidden=[4]"]
    run = tenfold.train("mlp", data=dataset(val=12), overrides=overrides, runs=tmp_path, budget="60s")
    assert run.summary["target"]["reached"]
    assert planned(run)["validating"] > 0
    assert run.summary["training_seconds"] < load_recipe(run.path).train.duration.amount


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "60"}, "--budget is '60'; expected a time"),
        ({"budget": "60s", "resume": "somewhere"}, "--budget plans a whole run and cannot plan the rest of one"),
        ({"budget": "60s", "overrides": ["train.duration=2 epochs"]}, "leave out --epochs and train.duration"),
        ({"budget": "60s", "model": nn.Flatten()}, "for your own network, set train.duration in seconds"),
        ({"budget": "0.01s"}, r"--budget 0\.01 s is too short on this machine: .* expected at least \d+ s"),
    ],
)
@pytest.mark.usefixtures("no_charts")
def test_an_impossible_budget_leaves_no_run_folder(
    arguments: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs(monkeypatch, step=0.01)
    with pytest.raises(UsageError, match=message):
        tenfold.train("quick", data=build_shapes(train=64, test=32), runs=tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_charts")
def test_first_preparation_does_not_count_against_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs(monkeypatch, step=2e-5)
    photos, first, second = photo_folder(tmp_path / "photos"), Notes(), Notes()
    for notes in (first, second):
        tenfold.train("mlp", data=photos, overrides=QUICKLY, runs=tmp_path / "runs", budget="2s", progress=notes)
    assert "s to prepare the images" in first.about("budget")[-1]
    assert second.about("budget")[-1].endswith("of 2 s spent")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"name": "there"}, "there already exists"),
        ({"name": "a/b"}, "'a/b' is not a valid run name"),
        ({"overrides": ["model.name=quik"]}, "unknown model 'quik'; did you mean 'quick'"),
        ({"overrides": ["model.hidden=[4]"]}, "model.hidden is not an argument of 'quick'"),
    ],
    ids=str,
)
def test_what_needs_no_images_is_reported_before_they_are_prepared(
    tmp_path: Path, arguments: dict[str, Any], found: str
) -> None:
    (tmp_path / "there").mkdir()
    for train in (tenfold.train, tenfold.sweep):
        with pytest.raises(TenfoldError, match=found):
            train("quick", data=tmp_path / "no images", runs=tmp_path, **arguments)
