"""The header and the footnotes of a run's page: what ran, not what was asked for."""

from pathlib import Path
from typing import Any

import pytest

from harness.predicted_runs import predicted_run, random_predictions
from harness.written_runs import written_run, written_sweep
from tenfold.recipes.load import load_recipe
from tenfold.report.page.header import run_header, training_text, use_of_test_images
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder

CLASSES = ("cat", "dog")


def trained(steps: int, batch_size: int = 32, num_train: int = 125, **others: Any) -> dict[str, Any]:
    """Returns the part of a summary that says how long a run trained."""
    return {"steps": steps, "batch_size": batch_size, "dataset": {"pictures": {"train": num_train}}, **others}


@pytest.mark.parametrize(
    ("overrides", "summary", "text"),
    [
        (["train.duration=32 epochs"], trained(128), "32 epochs · 128 steps of 32 images"),
        (["train.duration=0.25 epochs"], trained(1, 100, 400), "0.25 epochs · 1 step of 100 images"),
        (
            ["train.duration=0.25 epochs", "train.min_steps=128"],
            trained(128),
            "32 epochs · 128 steps of 32 images · 0.25 epochs asked for, but at least 128 steps",
        ),
        (
            ["train.duration=9 epochs", "train.early_stop=2"],
            trained(20),
            "5 epochs · 20 steps of 32 images · stopped before the 9 epochs asked for, "
            "as the validation accuracy no longer improved",
        ),
        (
            ["train.duration=9 epochs"],
            trained(6, target={"reached": True}),
            "1.5 epochs · 6 steps of 32 images · stopped before the 9 epochs asked for, as the target was reached",
        ),
        (["train.duration=60 s"], trained(20), "5 epochs · 20 steps of 32 images · planned for 60 s"),
        (
            ["train.duration=32 epochs"],
            trained(128, head={"kept": True}),
            "32 epochs · 128 steps of 32 images · the model is the head alone, fitted before: all layers were no "
            "better on the validation images",
        ),
        (["train.duration=32 epochs"], trained(128, head={"kept": False}), "32 epochs · 128 steps of 32 images"),
        (["train.duration=32 epochs"], trained(128, head={"l2": 1.0}), "32 epochs · 128 steps of 32 images"),
        (["train.duration=9 epochs"], trained(0, head={"kept": True}), "the model is the head alone, before any step"),
        (["train.duration=9 epochs"], {"steps": 20}, "20 steps"),  # of a version that did not record the batch size
    ],
)
def test_the_header_says_how_long_the_run_trained(overrides: list[str], summary: dict[str, Any], text: str) -> None:
    assert training_text(load_recipe("mlp", overrides), summary) == text


def test_values_that_were_not_used_as_given_stand_with_their_reason(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 20))
    assert "Not as asked for" not in dict(run_header(folder).facts)
    change = {"key": "train.batch_size", "asked": 1000, "used": 36, "reason": "an epoch has at least four batches"}
    folder.write_summary({**folder.read_summary(), "changes": [change]})
    expected = "batch size: 36 instead of 1,000, because an epoch has at least four batches"
    assert dict(run_header(folder).facts)["Not as asked for"] == expected


def test_what_a_resume_changed_was_asked_for(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 20))
    reason = "the run was resumed with it after step 8"
    change = {"key": "train.duration", "asked": "2 epochs", "used": "4 epochs", "reason": reason}
    folder.write_summary({**folder.read_summary(), "changes": [change]})
    facts = dict(run_header(folder).facts)
    assert "Not as asked for" not in facts
    assert facts["Changed by a resume"] == f"length: 4 epochs instead of 2 epochs, because {reason}"


def use_text(folder: RunFolder, **summary: Any) -> str:
    return use_of_test_images(folder, summary)


def test_the_test_images_were_used_as_often_as_it_is_recorded(tmp_path: Path) -> None:
    folder = RunFolder.open(written_run(tmp_path, "run", "10"))
    once = [{"step": 10, "epochs": 2}]
    twice = [*once, {"step": 20, "epochs": 4}]
    assert use_text(folder, evaluations=once) == "The test images were used once, after training."
    assert use_text(folder, evaluations=twice).startswith("The test images were evaluated twice: after 2 and 4 epochs.")
    same_epoch = [*once, {"step": 1200, "epochs": 2}]
    assert "twice: after 10 and 1,200 steps." in use_text(folder, evaluations=same_epoch)


def test_an_old_run_is_counted_from_its_log_or_claims_nothing(tmp_path: Path) -> None:
    folder = RunFolder.open(written_run(tmp_path, "run", "10"))
    assert use_text(folder) == ""
    log = Log(folder.log)
    log.write("finished", step=10)
    assert use_text(folder) == "The test images were used once, after training."
    log.write("finished", step=20)
    assert "twice: after 10 and 20 steps." in use_text(folder)


def test_a_sweep_chosen_by_test_accuracy_is_named(tmp_path: Path) -> None:
    sweep = written_sweep(tmp_path, "study", ["10", "11"])
    folder = RunFolder.open(sweep / "trials" / "seed=0")
    assert use_text(folder) == ""  # seeds are no choice
    plan = sweep / "sweep.json"
    plan.write_text(plan.read_text("utf-8").replace('"seeds"', '"grid"'), "utf-8")
    assert "This run is one of the sweep study, which compares its settings on these test images" in use_text(folder)
    assert use_text(folder, val_accuracy=0.5) == ""
