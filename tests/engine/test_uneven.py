"""Runs on uneven classes: weights, balanced epochs and what is monitored, through stops and old checkpoints."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.runs import TINY, StopAfter, digests, noise_dataset, tiny_run
from tenfold.core.errors import Interrupted, RecipeError
from tenfold.engine.plan import make_plan
from tenfold.engine.state import Best, monitored
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.recipes.load import load_recipe

torch.set_num_threads(1)

BALANCED = ("train.shuffle=true", "data.balance=0.8")
UNEVEN = (*TINY, *BALANCED, "data.augment.flip=random", "data.augment.mixup=0.2", "optim.class_weights=sqrt")


@pytest.mark.parametrize("k", [1, 5])
def test_a_run_with_weights_and_balanced_epochs_resumes_to_the_same_bits(tmp_path: Path, k: int) -> None:
    data = noise_dataset(16)
    data.train.labels[:13] = 0  # two and one image of the other classes
    whole = digests(tiny_run(tmp_path, "whole", data=data, overrides=UNEVEN))
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Interrupted):
        tiny_run(tmp_path, data=data, overrides=UNEVEN)
    assert digests(tiny_run(tmp_path, data=data, resume=True)) == whole


def test_weights_and_balance_change_the_trained_weights(tmp_path: Path) -> None:
    data = noise_dataset(16)
    data.train.labels[:13] = 0
    keys = ("optim.class_weights=balanced", "data.balance=1", "train.monitor=macro_f1")
    settings = [(*TINY, "train.shuffle=true", key) for key in keys]
    runs = [tiny_run(tmp_path, f"run{i}", data=data, overrides=lines) for i, lines in enumerate(settings)]
    assert len({digests(run)["model"] for run in runs}) == 3


def test_metrics_keep_the_plain_loss_beside_the_weighted_one(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=(*TINY, "optim.class_weights={ring=9}"))
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    columns = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
    assert all(row["train_objective"] and row["train_objective"] != row["train_loss"] for row in columns)


@pytest.mark.parametrize(("monitor", "best"), [("accuracy", 0), ("balanced_accuracy", 1), ("macro_f1", 1), ("loss", 2)])
def test_the_monitored_figure_chooses_the_best_model(monitor: str, best: int) -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)
    always_first = torch.tensor([[4.0, 0.0]]).repeat(10, 1)
    both = always_first.clone()
    both[[0, 1, 8, 9]] = torch.tensor([0.0, 5.0])
    both[2] = torch.tensor([0.0, 9.0])
    unsure = torch.tensor([[0.1, 0.0]]).repeat(10, 1)
    unsure[:8, 0] = 0.6
    unsure[0] = torch.tensor([0.0, 0.1])
    results = [evaluate_logits(logits, labels, ["a", "b"]) for logits in (always_first, both, unsure)]
    scores = [monitored(monitor, result) for result in results]
    assert scores.index(max(scores)) == best


def test_the_summary_tells_what_was_monitored(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=(*TINY, "train.monitor=loss"))
    summary = json.loads((run / "summary.json").read_text())
    losses = [row.split(",") for row in (run / "metrics.csv").read_text().splitlines()]
    column = losses[0].index("val_loss")
    assert summary["monitored"]["figure"] == "loss"
    assert summary["monitored"]["value"] == pytest.approx(min(float(row[column]) for row in losses[1:] if row[column]))


def test_an_area_under_the_curve_chooses_the_best_model(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=(*TINY, "train.monitor=roc_auc_ovr"))
    monitored_value = json.loads((run / "summary.json").read_text())["monitored"]
    assert monitored_value["figure"] == "roc_auc_ovr"
    assert 0 <= monitored_value["value"] <= 1


def test_an_area_under_the_curve_is_monitored_only_where_there_is_one() -> None:
    recipe = load_recipe("mlp", ["train.monitor=roc_auc_ovr"])
    dataset = noise_dataset(val=6)
    make_plan(recipe, dataset)
    assert dataset.val is not None
    one_class = replace(dataset, val=dataset.val.subset(np.flatnonzero(dataset.val.labels == dataset.val.labels[0])))
    with pytest.raises(RecipeError, match="needs validation images of two classes or more, and all are of one"):
        make_plan(recipe, one_class)


def test_a_best_result_of_an_earlier_version_is_scored_by_its_accuracy() -> None:
    assert Best(accuracy=0.7, epoch=2, step=8).score == 0.7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.monitor=macro_f1"], "train.monitor needs a validation split: set data.val_fraction, e.g. 0.1"),
        (["train.monitor=roc_auc_ovr"], "train.monitor needs a validation split"),
        (["train.monitor=loss", "train.target=0.9"], "train.target is an accuracy, and train.monitor is loss"),
        (["data.balance=0.5", "data.pruning=0.5"], "data.balance = 0.5 and data.pruning = 0.5 both decide"),
        (["data.balance=0.5", "train.shuffle=false"], "data.balance = 0.5 needs shuffled epochs"),
        (["data.balance=1.5"], "data.balance is 1.5; expected a number from 0 to 1"),
        (["optim.class_weights=balance"], "found 'balance', expected 'none', 'balanced', 'sqrt', or weights above 0"),
        (["optim.class_weights={ring=0}"], "found {'ring': 0}, expected"),
        (["optim.class_weights.cube=2"], "optim.class_weights names the class 'cube'"),
        (["train.monitor=f1"], "train.monitor is 'f1'; expected 'accuracy'"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(settings: list[str], message: str) -> None:
    val = 6 if "train.target=0.9" in settings else 0
    with pytest.raises(RecipeError) as error:
        make_plan(load_recipe("mlp", settings), noise_dataset(val=val))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
