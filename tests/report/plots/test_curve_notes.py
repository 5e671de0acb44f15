"""Captions of training curves: only where a curve is not what it seems."""

from typing import Any

import pytest

from tenfold.recipes.load import load_recipe
from tenfold.report.plots.curve_notes import curve_notes

ROWS: list[dict[str, Any]] = [{"step": 1, "train_loss": 1.0, "train_objective": None}]
WITH_OBJECTIVE: list[dict[str, Any]] = [{"step": 1, "train_loss": 1.0, "train_objective": 1.4}]


@pytest.mark.parametrize(
    ("overrides", "rows", "notes"),
    [
        ([], ROWS, []),
        (["data.augment.mixup=0.2"], ROWS, ["With mixup, training loss and accuracy are of mixed images"]),
        (
            ["data.augment.mixup=0.2", "data.augment.cutmix=1.0"],
            WITH_OBJECTIVE,
            [
                "With mixup and cutmix, training loss",
                "Objective: the loss that training minimizes, with mixed labels; train and",
            ],
        ),
        (["optim.label_smoothing=0.2"], WITH_OBJECTIVE, ["minimizes, with label smoothing 0.2; train and validation"]),
        (["optim.label_smoothing=0.2"], ROWS, ["The training loss includes label smoothing 0.2"]),
        ([], [{"step": 0, "train_loss": 0.1}, *ROWS], ["Step 0 is the head alone, trained on images without augment"]),
        (["data.pruning=0.5"], ROWS, ["From the second epoch on, training loss and accuracy are of harder images"]),
    ],
)
def test_curves_that_need_a_caption_have_one(
    overrides: list[str], rows: list[dict[str, Any]], notes: list[str]
) -> None:
    found = curve_notes(load_recipe("mlp", overrides), rows)
    assert len(found) == len(notes)
    assert all(part in note for part, note in zip(notes, found, strict=True))
