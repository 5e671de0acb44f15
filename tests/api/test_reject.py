"""The probability below which answers are unsure, read off the predictions of a run."""

from pathlib import Path

import pytest

from tenfold.api.reject import reject_threshold
from tenfold.core.errors import RunError, UsageError
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow


def run_with(tmp_path: Path, split: str, *rows: tuple[float, float | None, bool]) -> RunFolder:
    """Returns a run with predictions: probability, calibrated probability, and whether each is correct."""
    folder = RunFolder.create(tmp_path, "shapes", "quick", "mine")
    folder.recipe.write_text(to_toml(load_recipe("tutorial")), encoding="utf-8")
    named = [PredictionRow(str(i), "a", "a" if right else "b", p, c) for i, (p, c, right) in enumerate(rows)]
    folder.write_predictions(named, split)
    return folder


def test_the_threshold_is_the_lowest_that_keeps_to_the_fraction(tmp_path: Path) -> None:
    rows = [(0.5, 0.9, True), (0.5, 0.8, True), (0.5, 0.7, False), (0.5, 0.6, True), (0.5, 0.5, False)]
    folder = run_with(tmp_path, "test", *rows)
    assert reject_threshold(folder.path, 0.2) == (0.8, "test", 5, 2, 0)
    found = reject_threshold(folder.path, 0.25)
    assert found == (0.6, "test", 5, 4, 1)
    assert str(found) == (
        "unsure below 60.0 %: 4 of 5 test images are at or above it, 25.0 % of these wrong "
        "(95 % interval 4.6–69.9 %); on new images it varies"
    )


def test_validation_images_come_first_and_probabilities_may_be_uncalibrated(tmp_path: Path) -> None:
    folder = run_with(tmp_path, "val", (0.9, None, True), (0.4, None, False))
    folder.write_predictions([PredictionRow("0", "a", "a", 0.1)])
    assert reject_threshold(folder.path, 0.02) == (0.9, "validation", 2, 1, 0)


def test_a_fraction_that_no_threshold_keeps_and_a_model_file_are_errors(tmp_path: Path) -> None:
    folder = run_with(tmp_path, "test", (0.9, None, False), (0.4, None, True))
    with pytest.raises(
        RunError, match=r"no probability keeps the errors of .* at 2\.0 % of the answers on its 2 test im"
    ):
        reject_threshold(folder.path, 0.02)
    with pytest.raises(
        UsageError, match="has no predictions to read a threshold off; name its run folder, or use --rej"
    ):
        reject_threshold(folder.path / "last.safetensors", 0.02)


def test_a_run_without_predictions_is_told_what_works(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "shapes", "quick", "mine")
    folder.recipe.write_text(to_toml(load_recipe("tutorial")), encoding="utf-8")
    with pytest.raises(RunError, match=r"has no predictions to read a threshold off, .*; use --reject-below"):
        reject_threshold(folder.path, 0.1)
