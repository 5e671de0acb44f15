"""Runs that end where they have reached what they aim at."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.runs import TINY, tiny_run
from tenfold.engine.target import percent, settings_for_target, target_summary, target_text
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

torch.set_num_threads(1)

OFTEN = (*TINY, "train.duration=20 epochs", "train.evaluate_every=1 step", "optim.lr=0.01", "train.log_every=1")


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("every", ["1 step", "3 steps", "1 epoch"])
def test_a_run_ends_at_the_first_judgement_that_reaches_its_target(tmp_path: Path, every: str) -> None:
    free = rows_of(tiny_run(tmp_path, "free", overrides=(*OFTEN, f"train.evaluate_every={every}")))
    judged = [row for row in free if row["val_accuracy"]]
    target = 0.5
    first = next(row for row in judged if float(row["val_accuracy"]) >= target)
    assert first != judged[0] or every == "1 epoch"
    assert first != judged[-1], "there is something to save"
    run = tiny_run(tmp_path, overrides=(*OFTEN, f"train.evaluate_every={every}", f"train.target={target}"))
    rows, summary = rows_of(run), summary_of(run)
    assert rows[-1]["step"] == first["step"]
    timeless = [{k: v for k, v in row.items() if k != "time_s"} for row in rows]
    assert timeless == [{k: v for k, v in row.items() if k != "time_s"} for row in free[: len(rows)]], (
        "the schedule is that of the whole duration"
    )
    aim = summary["target"]
    assert (aim["accuracy"], aim["reached"], aim["step"]) == (target, True, int(first["step"]))
    assert aim["val_accuracy"] == summary["val_accuracy"] == float(first["val_accuracy"])
    assert aim["training_seconds"] == float(rows[-1]["time_s"]) <= aim["run_seconds"] <= summary["total_seconds"]
    assert summary["model"] == "best"
    assert summary["steps"] == int(first["step"])


def test_a_target_that_is_not_reached_is_told_with_the_best(tmp_path: Path) -> None:
    summary = summary_of(tiny_run(tmp_path, overrides=(*TINY, "train.target=0.999", "train.duration=1 epoch")))
    aim = summary["target"]
    assert not aim["reached"]
    assert aim["run_seconds"] is None
    assert aim["val_accuracy"] == summary["val_accuracy"]
    text = target_text(aim)
    assert text.startswith(f"target 99.9 % not reached: {percent(aim['val_accuracy'])} at best, after step")
    assert "--epochs" in text


def test_a_run_without_a_target_has_none(tmp_path: Path) -> None:
    assert summary_of(tiny_run(tmp_path))["target"] is None


def test_a_reached_target_is_told_in_training_time_and_in_the_commands() -> None:
    aim = {"accuracy": 0.9, "reached": True, "val_accuracy": 0.903, "step": 1234, "epoch": 4}
    text = target_text({**aim, "training_seconds": 41.2, "run_seconds": 48.5})
    assert text == (
        "target 90.0 % reached: 90.3 % after step 1,234 (epoch 4), 41.2 s of training, "
        "48.5 s after the command's start, judging included"
    )


def test_a_target_brings_validation_pictures_and_frequent_judgement_where_nothing_is_said() -> None:
    both = {"data.val_fraction": 0.1, "train.evaluate_every": "0.1 epochs"}
    assert settings_for_target(Recipe(), chose_when=False) == {}
    aiming = resolve(Recipe(), ["train.target=0.9"])
    assert settings_for_target(aiming, chose_when=False) == both
    assert settings_for_target(aiming, chose_when=True) == {"data.val_fraction": 0.1}
    split = resolve(aiming, ["data.val_fraction=0.2"])
    assert settings_for_target(split, chose_when=False) == {"train.evaluate_every": "0.1 epochs"}


def test_a_run_that_was_never_judged_has_no_result() -> None:
    class Unjudged:
        best = None

    with pytest.raises(ValueError, match="judged at least once"):
        target_summary(0.9, Unjudged(), 1.0)  # type: ignore[arg-type]
