"""Tests of training the head alone, `train.layers = "head"`, with whole runs on small networks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tenfold
from harness.runs import noise_dataset
from tenfold.core.errors import RecipeError
from tenfold.core.progress import SilentProgress
from tenfold.recipes.load import load_recipe
from tenfold.runs.features import FeatureExtractor
from tenfold.runs.model_file import load_model

HEAD = ["train.layers=head", "train.batch_size=4", "train.threads=1", "train.duration=2 epochs"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


class Messages(SilentProgress):
    """Keeps the messages of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def trained(tmp_path: Path, name: str = "run", overrides: list[str] | None = None, **settings: Any) -> tenfold.Run:
    """Trains the head of a small MLP on noise images."""
    settings.setdefault("data", noise_dataset(train=24, val=0))
    run = tenfold.train(
        "mlp", overrides=[*HEAD, *(overrides or [])], name=name, runs=tmp_path, report=False, **settings
    )
    assert isinstance(run, tenfold.Run)
    return run


def test_only_the_head_changes(tmp_path: Path) -> None:
    weights = load_model(trained(tmp_path).path / "last.safetensors")[0]
    torch.manual_seed(0)
    untrained = trained(tmp_path, "other", ["optim.head_l2=1000000"])
    start = load_model(untrained.path / "last.safetensors")[0]
    changed = [name for name in weights if not torch.equal(weights[name], start[name])]
    assert len(changed) == 2
    assert {name.rpartition(".")[2] for name in changed} == {"weight", "bias"}
    assert len({name.rpartition(".")[0] for name in changed}) == 1


def test_two_runs_give_the_same_bits_with_and_without_cached_features(tmp_path: Path) -> None:
    first, again = trained(tmp_path, "first"), trained(tmp_path, "again")
    assert (first.path / "last.safetensors").read_bytes() == (again.path / "last.safetensors").read_bytes()


def test_features_are_computed_once_for_each_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    compute = FeatureExtractor._compute
    monkeypatch.setattr(
        FeatureExtractor, "_compute", lambda self, images: computed.append(len(images)) or compute(self, images)
    )
    progress = Messages()
    trained(tmp_path, "first", progress=progress)
    assert sum(computed) == 24  # two epochs without augmentation
    trained(tmp_path, "second", seed=0, overrides=["optim.head_l2=0.5"], progress=progress)
    assert sum(computed) == 24
    lines = [line for line in progress.lines if line.startswith("features: ")]
    assert lines == ["features: 24 computed, 24 known", "features: 0 computed, 48 known"]


def test_the_summary_and_one_line_say_how_the_strength_was_chosen(tmp_path: Path) -> None:
    progress = Messages()
    summary = trained(tmp_path, progress=progress).summary
    line = next(line for line in progress.lines if line.startswith("head:"))
    assert "chosen by 5-fold cross-validation on 24 training images" in line
    head = summary["head"]
    assert f"L2 strength {head['l2']:g}" in line
    assert head["chosen"]["losses"][str(head["l2"])] == min(head["chosen"]["losses"].values())
    assert summary["calibration"]["source"] == "out of fold"
    assert summary["calibration"]["pictures"] == 24
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["head"] == head


def test_a_given_strength_is_used(tmp_path: Path) -> None:
    assert trained(tmp_path, overrides=["optim.head_l2=0.25"]).summary["head"]["l2"] == 0.25


def test_validation_images_select_and_calibrate(tmp_path: Path) -> None:
    run = trained(tmp_path, data=noise_dataset(train=24, val=9))
    assert run.summary["model"] == "best"
    assert run.summary["calibration"]["source"] == "val"
    assert run.summary["val_accuracy"] == pytest.approx(
        tenfold.load(run.path).classifier.evaluate(noise_dataset(train=24, val=9).val).accuracy
    )


def test_a_resumed_run_with_more_epochs_is_that_of_a_run_planned_so(tmp_path: Path) -> None:
    crops = ["data.augment.shift=2"]  # other images in each epoch
    trained(tmp_path, "short", crops)
    longer = tenfold.train(
        resume=tmp_path / "short",
        data=noise_dataset(train=24, val=0),
        overrides=["train.duration=3 epochs"],
        report=False,
    )
    planned = trained(tmp_path, "planned", [*crops, "train.duration=3 epochs"])
    assert isinstance(longer, tenfold.Run)
    ours, theirs = (load_model(run.path / "last.safetensors")[0] for run in (longer, planned))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.augment.mixup=0.2", "data.augment.mixup"),
        ("data.pruning=0.3", "data.pruning"),
        ("optim.ema=0.9", "optim.ema"),
        ("train.progressive=[[0.5, 0.5]]", "train.progressive"),
        ("train.duration=30 s", "train.duration is 30 s"),
    ],
)
def test_what_a_fitted_head_cannot_use_is_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"{message}.*train.layers = 'head'"):
        trained(tmp_path, overrides=[override])


def test_a_strength_without_a_fitted_head_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"optim\.head_l2 = 0\.5 is set, but train\.layers = 'all' fits no head"):
        load_recipe("quick", ["optim.head_l2=0.5"])
    assert load_recipe("photo-tuned", ["optim.head_l2=0.5"]).optim.head_l2 == 0.5


def test_keys_of_training_steps_have_no_effect_on_a_head_and_a_line_says_so(tmp_path: Path) -> None:
    progress = Messages()
    keys = ["early_stop=2", "evaluate_every=1 steps", "execution=compiled", "frozen_batch_norm=true", "fuse=true"]
    trained(tmp_path, overrides=[f"train.{key}" for key in keys], progress=progress)  # without a validation split
    names = ", ".join(f"train.{key.partition('=')[0]}" for key in keys)
    assert f"{names} have no effect: train.layers = head fits the head without training steps" in progress.lines


def test_an_optimizer_that_the_user_sets_is_said_to_have_no_effect(tmp_path: Path) -> None:
    progress = Messages()
    trained(tmp_path, lr=0.5, progress=progress)
    assert any("optim.lr has no effect" in line for line in progress.lines)
