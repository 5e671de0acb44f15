"""Runs that end when they reach a target accuracy."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from harness.runs import TINY, tiny_run
from tenfold.engine.target import settings_for_target, target_protocol, target_summary, target_text
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

OFTEN = (*TINY, "train.duration=20 epochs", "train.evaluate_every=1 step", "optim.lr=0.01", "train.log_every=1")


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("every", ["1 step", "3 steps", "1 epoch"])
def test_a_run_ends_at_the_first_evaluation_that_reaches_its_target(tmp_path: Path, every: str) -> None:
    free = rows_of(tiny_run(tmp_path, "free", overrides=(*OFTEN, f"train.evaluate_every={every}")))
    evaluated = [row for row in free if row["val_accuracy"]]
    target = 0.5
    first = next(row for row in evaluated if float(row["val_accuracy"]) >= target)
    assert first != evaluated[0] or every == "1 epoch"
    assert first != evaluated[-1], "there is something to save"
    run = tiny_run(tmp_path, overrides=(*OFTEN, f"train.evaluate_every={every}", f"train.target={target}"))
    rows, summary = rows_of(run), summary_of(run)
    assert rows[-1]["step"] == first["step"]
    timeless = [{k: v for k, v in row.items() if k != "time_s"} for row in rows]
    assert timeless == [{k: v for k, v in row.items() if k != "time_s"} for row in free[: len(rows)]], (
        "the schedule is that of the whole duration"
    )
    outcome = summary["target"]
    assert (outcome["accuracy"], outcome["reached"], outcome["step"]) == (target, True, int(first["step"]))
    assert outcome["val_accuracy"] == summary["val_accuracy"] == float(first["val_accuracy"])
    assert (
        outcome["training_seconds"] == float(rows[-1]["time_s"]) <= outcome["run_seconds"] <= summary["total_seconds"]
    )
    assert summary["model"] == "best"
    assert summary["steps"] == int(first["step"])


def test_an_unreached_target_is_reported_with_the_best_accuracy(tmp_path: Path) -> None:
    summary = summary_of(tiny_run(tmp_path, overrides=(*TINY, "train.target=0.999", "train.duration=1 epoch")))
    outcome = summary["target"]
    assert not outcome["reached"]
    assert outcome["run_seconds"] is None
    assert outcome["val_accuracy"] == summary["val_accuracy"]
    text = target_text(outcome, "all")
    assert text.startswith("target 99.9 % not reached: best ")
    assert "--epochs" in text


def test_a_run_without_a_target_has_none(tmp_path: Path) -> None:
    assert summary_of(tiny_run(tmp_path))["target"] is None


def test_a_reached_target_is_reported_with_both_times() -> None:
    outcome = {"accuracy": 0.9, "reached": True, "val_accuracy": 0.903, "step": 1234, "epoch": 4}
    text = target_text({**outcome, "training_seconds": 41.2, "run_seconds": 48.5}, "all")
    assert text == (
        "target 90.0 % reached: 90.3 % after step 1,234 (epoch 4), 41.2 s of training, "
        "48.5 s after the command's start, evaluations included"
    )


def test_an_unreached_target_of_a_head_names_what_helps_a_head() -> None:
    outcome = {"accuracy": 0.99, "reached": False, "val_accuracy": 0.95, "step": 16, "epoch": 2}
    assert target_text(outcome, "head") == (
        "target 99.0 % not reached: best 95.0 % with the fitted head; try --recipe photo-tuned, which trains all "
        "layers after the head, or more training images"
    )


def test_the_protocol_of_a_head_says_that_it_is_evaluated_once() -> None:
    settings = {"train.target": 0.9, "train.layers": "head", "train.duration": "2 epochs"}
    assert target_protocol(resolve(Recipe(), settings), 1) == (
        "target: 90.0 % of 1 validation image, evaluated once, when the head is fitted, never on the test split"
    )


def test_a_target_sets_a_validation_split_and_frequent_evaluation() -> None:
    both = {"data.val_fraction": 0.1, "train.evaluate_every": "0.1 epochs"}
    assert settings_for_target(Recipe(), evaluate_every_set=False) == {}
    with_target = resolve(Recipe(), ["train.target=0.9"])
    assert settings_for_target(with_target, evaluate_every_set=False) == both
    assert settings_for_target(with_target, evaluate_every_set=True) == {"data.val_fraction": 0.1}
    split = resolve(with_target, ["data.val_fraction=0.2"])
    assert settings_for_target(split, evaluate_every_set=False) == {"train.evaluate_every": "0.1 epochs"}


def test_a_run_without_an_evaluation_has_no_summary() -> None:
    class Unevaluated:
        best = None

    with pytest.raises(ValueError, match="evaluated at least once"):
        target_summary(0.9, Unevaluated())  # type: ignore[arg-type]
