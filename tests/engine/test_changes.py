"""What a run does not use as given is announced, and stands in its summary."""

import json
from pathlib import Path

import pytest

from harness.runs import Notes, noise_dataset, tiny_run
from tenfold.data.types import Dataset
from tenfold.engine.changes import recipe_changes, resume_changes
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe


def lines(dataset: Dataset, **train: object) -> list[str]:
    return [str(change) for change in recipe_changes(resolve({"train": train}), dataset)]


def test_a_recipe_that_is_used_as_given_has_no_changes() -> None:
    assert recipe_changes(Recipe(), noise_dataset()) == []


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (
            {"batch_size": 1000},
            "batch size: 36 instead of 1,000, because an epoch of 144 training images must have at least four batches",
        ),
        (
            {"batch_size": 36, "duration": "0.25 epochs", "min_steps": 125},
            "length: 31.25 epochs (125 steps) instead of 0.25 epochs, because train.min_steps = 125",
        ),
        (
            {"evaluate_every": "500 steps"},
            "evaluate every: 36 steps instead of 500 steps, "
            "because the validation split is also evaluated at the end of each epoch",
        ),
    ],
)
def test_a_changed_value_is_one_line_with_its_reason(train: dict[str, object], line: str) -> None:
    assert lines(noise_dataset(144), **train) == [line]


def test_a_validation_split_of_the_source_replaces_the_fraction_asked_for() -> None:
    recipe = resolve(Recipe(), {"data.val_fraction": 0.5})
    assert [str(change) for change in recipe_changes(recipe, noise_dataset())] == [
        "val fraction: 6 images instead of 0.5, because the data has a validation split of its own"
    ]


def test_changes_are_messages_at_the_start_and_stand_in_the_summary(tmp_path: Path) -> None:
    notes = Notes()
    settings = ("train.batch_size=1000", "train.duration=1 step", "train.log_every=1")
    run = tiny_run(tmp_path, overrides=settings, progress=notes)
    line = "batch size: 4 instead of 1,000, because an epoch of 16 training images must have at least four batches"
    assert line in notes.messages
    assert json.loads((run / "summary.json").read_text())["changes"] == [
        {
            "key": "train.batch_size",
            "asked": 1000,
            "used": 4,
            "reason": "an epoch of 16 training images must have at least four batches",
        }
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"min_steps": 100}, {"min_steps": 200}, "length: 50 epochs (200 steps) instead of 25 epochs (100 steps), "),
        ({"min_steps": 100}, {"duration": "30 epochs"}, "length: 30 epochs instead of 25 epochs (100 steps), "),
        ({}, {"duration": "8 steps"}, None),
        ({}, {"min_steps": 8}, None),
        ({"precision": "bfloat16"}, {"precision": "float32"}, "precision: float32 instead of bfloat16, "),
        ({"execution": "compiled"}, {"execution": "auto"}, None),
    ],
)
def test_a_resumed_run_names_what_changes(
    before: dict[str, object], after: dict[str, object], expected: str | None
) -> None:
    short = resolve(Recipe(), {"train": {"duration": "2 epochs", "min_steps": 0, "batch_size": 4, **before}})
    changes = resume_changes(short, resolve(short, {"train": after}), noise_dataset(), 4, None)
    reason = "because the run was resumed with it after step 4"
    assert [str(change) for change in changes] == ([] if expected is None else [expected + reason])
