"""The end of a run: what is written, with a validation split and without."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import tenfold
from harness.runs import noise_dataset, tiny_run
from harness.written_runs import written_run
from tenfold.data.types import Dataset, Split
from tenfold.engine.calibrate import fit_calibration
from tenfold.engine.conclude import predictions
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_order
from tenfold.evaluate.calibration import PRIOR_STD, fit_temperature
from tenfold.experiments.compare.finished_runs import read_finished_runs
from tenfold.recipes.load import load_recipe, resolve
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import RunFolder


def test_the_best_model_is_calibrated_on_the_validation_split(tmp_path: Path) -> None:
    data = noise_dataset(val=6)
    assert data.val is not None
    folder = RunFolder(tiny_run(tmp_path, data=data))
    best = Classifier.load(folder.best)
    temperature = fit_temperature(best.logits(data.val.images), torch.from_numpy(data.val.labels), prior_std=PRIOR_STD)
    assert folder.read_summary()["calibration"] == {"temperature": temperature, "pictures": 6, "source": "val"}
    logits = best.logits(data.test.images)
    plain, scaled = logits.softmax(1), (logits / temperature).softmax(1)
    rows = folder.read_predictions()
    cells = range(len(rows)), [data.classes.index(row.predicted) for row in rows]
    assert cells[1] == logits.argmax(1).tolist()
    assert [row.probability for row in rows] == plain[cells].tolist()
    assert [row.calibrated for row in rows] == scaled[cells].tolist()


def test_the_predictions_for_the_validation_images_are_those_of_the_best_model(tmp_path: Path) -> None:
    folder = RunFolder(tiny_run(tmp_path, data=noise_dataset(val=6)))
    rows = folder.read_predictions("val")
    assert sum(row.true == row.predicted for row in rows) / 6 == folder.read_summary()["val_accuracy"]
    assert all(row.calibrated is not None for row in rows)


def test_the_temperature_is_in_the_file_of_the_weights_it_was_fitted_to(tmp_path: Path) -> None:
    folder = RunFolder(tiny_run(tmp_path, data=noise_dataset(val=6)))
    assert Classifier.load(folder.best).temperature == folder.read_summary()["calibration"]["temperature"]
    assert Classifier.load(folder.last).temperature is None
    without = RunFolder(tiny_run(tmp_path, "without", data=noise_dataset(val=0)))
    assert Classifier.load(without.last).temperature is None


def test_predict_gives_the_calibrated_probabilities_of_predictions_csv(tmp_path: Path) -> None:
    data = noise_dataset(val=6)
    folder = RunFolder(tiny_run(tmp_path, data=data))
    for row, found in zip(
        folder.read_predictions(), tenfold.load(folder.path).predict_all(data.test.images), strict=True
    ):
        assert (found.label, found.calibrated) == (row.predicted, True)
        assert found.probability == found.probabilities[row.predicted] == pytest.approx(row.calibrated, abs=1e-6)
        assert found.raw_probability == pytest.approx(row.probability, abs=1e-6)
        assert found.raw_probability != pytest.approx(found.probability, abs=1e-5)


def test_without_a_validation_split_nothing_is_calibrated(tmp_path: Path) -> None:
    folder = RunFolder(tiny_run(tmp_path, data=noise_dataset(val=0)))
    assert folder.read_summary()["calibration"] is None
    with folder.predictions.open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "true", "predicted", "probability"]
    assert all(row.calibrated is None for row in folder.read_predictions())


@pytest.mark.parametrize("temperature", [0.05, 20.0])
def test_a_temperature_changes_probabilities_but_no_predicted_class(temperature: float) -> None:
    test = noise_dataset().test
    logits = torch.randn(len(test), 3, generator=torch.Generator().manual_seed(0))
    rows = predictions(test, logits, ("a", "b", "c"), temperature)
    assert [row[:4] for row in rows] == [row[:4] for row in predictions(test, logits, ("a", "b", "c"))]
    for row in rows:
        assert row.calibrated is not None
        assert (row.calibrated > row.probability) == (temperature < 1)


def test_runs_with_and_without_calibration_can_be_compared(tmp_path: Path) -> None:
    folder = RunFolder(written_run(tmp_path, "new", "1101"))  # a run from before calibration existed
    written_run(tmp_path, "old", "1001")
    folder.write_predictions([row._replace(calibrated=0.5) for row in folder.read_predictions()])
    folder.write_summary({**folder.read_summary(), "calibration": {"temperature": 1.5, "pictures": 4}})
    new, old = read_finished_runs([tmp_path / "new", tmp_path / "old"])[0]
    assert (new.accuracy, old.accuracy) == (0.75, 0.5)


def untrained(data: Dataset, name: str = "mlp", *, is_custom: bool = False) -> Any:
    """Returns what `fit_calibration` needs of a setup."""
    recipe = load_recipe("mlp", ["train.batch_size=4", "model.hidden=[4]"])
    classifier = make_classifier(recipe, data, None)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"name": name})})
    return SimpleNamespace(recipe=recipe, dataset=data, classifier=classifier, is_custom=is_custom)


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Returns 16 training and 6 test images without validation, which count as a large dataset."""
    monkeypatch.setattr("tenfold.engine.calibrate._MIN_TRAIN", 16)
    return noise_dataset(train=16, val=0)


@pytest.mark.parametrize(("steps", "views"), [(1, 0), (4, 1), (5, 1), (8, 2)])
def test_a_short_run_fits_its_temperature_to_the_training_images_seen_least(
    steps: int, views: int, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Split] = []
    monkeypatch.setattr("tenfold.engine.calibrate._fit", lambda _, split: fitted.append(split) or 1.5)
    setup = untrained(small_data)
    found = fit_calibration(setup, steps, None)
    assert found == {"temperature": 1.5, "pictures": 6, "source": "train", "views": views}
    order, seen = training_order(setup.recipe, small_data), Counter[int]()
    for epoch in range(2):
        shown = min(4, steps - 4 * epoch)
        seen.update(order.indices(epoch)[: max(0, 4 * shown)].tolist())
    (split,) = fitted
    positions = [i for image in split.images for i in range(16) if np.array_equal(image, small_data.train.images[i])]
    assert len(set(positions)) == 6
    assert max(seen[i] for i in positions) == views


def test_training_images_do_not_serve_where_that_was_not_measured_to_work(small_data: Dataset) -> None:
    assert fit_calibration(untrained(small_data), 8, None) is not None
    assert fit_calibration(untrained(small_data), 9, None) is None  # some images are seen a third time
    assert fit_calibration(untrained(noise_dataset(train=15, val=0)), 4, None) is None  # too few images
    assert fit_calibration(untrained(small_data, "timm:resnet18"), 4, None) is None  # it may be pretrained
    assert fit_calibration(untrained(small_data, is_custom=True), 4, None) is None
    pruned = untrained(small_data)
    pruned.recipe = resolve(pruned.recipe, {"data.pruning": 0.5})
    assert fit_calibration(pruned, 8, None) is None  # it shows some images several times in an epoch


def test_a_temperature_of_training_images_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = RunFolder(tiny_run(tmp_path, "without", data=noise_dataset(val=0)))
    assert without.read_summary()["calibration"] is None
    monkeypatch.setattr("tenfold.engine.calibrate._MIN_TRAIN", 16)
    folder = RunFolder(tiny_run(tmp_path, "with", data=noise_dataset(val=0)))
    found = folder.read_summary()["calibration"]
    assert (found["source"], found["views"], found["pictures"]) == ("train", 2, 6)
    assert Classifier.load(folder.last).temperature == found["temperature"]
    one, two = (Classifier.load(each.last).model.state_dict() for each in (without, folder))
    assert all(torch.equal(one[name], two[name]) for name in one)
