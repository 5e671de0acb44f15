"""A head that is fitted first, then all layers: the better one by validation is the model."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.runs import CLASSES, Notes, StopAfter, digests, noise_dataset, tiny_run
from tenfold.core.errors import RecipeError, Stopped
from tenfold.core.text import percent
from tenfold.engine.head_first import HEAD_EPOCHS, head_alone
from tenfold.engine.state import has_diverged
from tenfold.recipes.load import load_recipe
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint
from tenfold.runs.log import read_log
from tenfold.runs.model_file import load_model
from tenfold.runs.tables import read_metrics

torch.set_num_threads(1)

FIRST = (
    "train.layers=head-then-all",
    "train.batch_size=4",
    "train.duration=2 epochs",
    "train.execution=eager",
    "train.checkpoint_every=2 steps",
    "optim.ema=0.9",
    "optim.head_l2=0.1",
    "data.augment.shift=1",
)
HARMFUL, USEFUL = "optim.lr=1000", "optim.lr=0.0001"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of these networks are not worth keeping."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


class TwoLayers(nn.Sequential):
    """A network whose last layer is linear, without anything random."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            super().__init__(
                nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, len(CLASSES))
            )


def run(runs: Path, name: str = "run", *keys: str, resume: bool = False, progress: Any = None) -> Path:
    return tiny_run(
        runs, name, overrides=keys if resume else (*FIRST, *keys), model=TwoLayers(), resume=resume, progress=progress
    )


def summary(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "summary.json").read_text("utf-8"))
    return found


def alone(runs: Path) -> dict[str, torch.Tensor]:
    """Returns the weights of a head that was fitted to each image and its mirror image, and of the layers below."""
    keys = ("train.layers=head", "train.batch_size=4", "train.duration=2 epochs", "data.augment.flip=alternating")
    keys += ("optim.head_l2=0.1",)
    return load_model(tiny_run(runs, "alone", overrides=keys, model=TwoLayers()) / "last.safetensors")[0]


def killed(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def killed_at(place: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begins a run that ends at the first call of `place`."""
    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(KeyboardInterrupt):
            run(runs, "run")


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> Sequence[str]:
    return [name for name in first if not torch.equal(first[name], second[name])]


def test_a_head_that_all_layers_do_not_improve_on_is_the_model(tmp_path: Path) -> None:
    notes = Notes()
    path = run(tmp_path, "run", HARMFUL, progress=notes)
    found, rows = summary(path), read_metrics(path / "metrics.csv")
    assert differing(load_model(path / "best.safetensors")[0], alone(tmp_path)) == []
    assert found["head"]["kept"]
    assert (found["model"], found["best_epoch"]) == ("best", 0)
    assert found["val_accuracy"] == found["head"]["val_accuracy"] == rows[0]["val_accuracy"]
    assert found["head"]["all_layers"] <= found["val_accuracy"]
    assert f"head alone: validation accuracy {percent(found['val_accuracy'])}" in notes.messages
    assert any(line.startswith("the head alone is kept: no epoch of all layers was better") for line in notes.messages)


def test_all_layers_are_the_model_where_they_are_better(tmp_path: Path) -> None:
    notes = Notes()
    keys = ("train.monitor=loss", "optim.head_l2=100", "optim.name=adam", "optim.lr=0.003")
    path = run(tmp_path, "run", *keys, progress=notes)
    found = summary(path)
    assert not found["head"]["kept"]
    assert found["best_epoch"] > 0
    assert found["head"]["all_layers"] == found["val_accuracy"]
    assert any(line.startswith("all layers are kept: better than the head alone by") for line in notes.messages)


def test_the_head_is_epoch_0_of_the_metrics_and_the_average_starts_from_it(tmp_path: Path) -> None:
    path = run(tmp_path, "run", "train.duration=1 step", "optim.lr=1e-30")
    first, *_ = rows = read_metrics(path / "metrics.csv")
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 0), (1, 1)]
    assert (first["lr"], first["time_s"]) == (0, 0)
    assert first["train_accuracy"] > 1 / 3
    last = load_model(path / "last.safetensors")[0]
    head = alone(tmp_path)
    assert differing({"4.weight": last["4.weight"]}, {"4.weight": head["4.weight"]}) == []


@pytest.mark.parametrize("k", [1, 4, 5])
@pytest.mark.parametrize("rate", [HARMFUL, USEFUL])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path, k: int, rate: str) -> None:
    whole = run(tmp_path, "whole", rate)
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Stopped):
        run(tmp_path, "run", rate)
    resumed = run(tmp_path, "run", resume=True)
    assert digests(resumed) == digests(whole)
    assert {**summary(resumed)["head"], "seconds": 0} == {**summary(whole)["head"], "seconds": 0}
    assert [entry["event"] for entry in read_log(resumed / "log.jsonl")].count("head fitted") == 1


@pytest.mark.parametrize("place", ["tenfold.engine.head_first.fit_head", "tenfold.engine.head_first.save_checkpoint"])
def test_a_run_killed_before_its_first_step_starts_anew(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digests(run(tmp_path, "whole"))

    killed_at(place, tmp_path, monkeypatch)
    assert digests(run(tmp_path, "run", resume=True)) == whole


def test_a_run_killed_after_the_head_goes_on_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digests(run(tmp_path, "whole"))

    killed_at("tenfold.engine.eager.EagerStep.__call__", tmp_path, monkeypatch)
    assert load_checkpoint(tmp_path / "run" / "checkpoints").step == 0
    monkeypatch.setattr("tenfold.engine.head_first.fit_head", killed)  # it is not fitted again
    assert digests(run(tmp_path, "run", resume=True)) == whole


def test_a_target_that_the_head_reaches_ends_the_run(tmp_path: Path) -> None:
    notes = Notes()
    found = summary(run(tmp_path, "run", "train.target=0.01", progress=notes))
    assert (found["steps"], found["epochs"], found["target"]["step"]) == (0, 0, 0)
    assert any("reached" in line and "with the head alone, before the first step" in line for line in notes.messages)
    assert any(line.startswith("the head alone is kept, which ended the training") for line in notes.messages)


def test_the_strength_of_the_head_is_chosen_within_the_training_images(tmp_path: Path) -> None:
    found = summary(run(tmp_path, "run", "optim.head_l2=0", "train.duration=1 step"))["head"]
    assert found["chosen"]["folds"] == 5
    assert found["l2"] > 0


def test_the_head_alone_is_shown_each_image_and_its_mirror_image() -> None:
    alone = head_alone(load_recipe("photo-tuned"))
    assert (alone.train.duration.amount, alone.data.augment.flip) == (HEAD_EPOCHS, "alternating")


def test_early_stopping_counts_from_the_head(tmp_path: Path) -> None:
    found = summary(run(tmp_path, "run", HARMFUL, "train.duration=9 epochs", "train.early_stop=2"))
    assert (found["best_epoch"], found["epochs"]) == (0, 2)


def test_without_a_validation_split_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^train.layers = 'head-then-all' needs a validation split: set data.val_fr"):
        tiny_run(tmp_path, data=noise_dataset(val=0), overrides=FIRST, model=TwoLayers())


def test_the_low_loss_of_a_head_makes_no_later_checkpoint_useless() -> None:
    losses = {0: 0.05, 3: 0.8, 5: 0.7}
    rows = [{"step": step, "train_loss": loss, "train_objective": None} for step, loss in losses.items()]
    checkpoint = Checkpoint(5, {"pending": {"losses": torch.empty(0)}}, {"rows": rows})
    assert not has_diverged(checkpoint, diverged_at=9)
    rows[-1]["train_loss"] = 1.7
    assert has_diverged(checkpoint, diverged_at=9)
