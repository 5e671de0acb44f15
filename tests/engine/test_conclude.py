"""The end of a run: what is written, with a validation split and without."""

import csv
from pathlib import Path

import pytest
import torch

import tenfold
from harness.runs import noise_dataset, tiny_run
from harness.written_runs import written_run
from tenfold.engine.conclude import predictions
from tenfold.evaluate.calibration import fit_temperature
from tenfold.experiments.compare.finished_runs import read_finished_runs
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import RunFolder


def test_the_best_model_is_calibrated_on_the_validation_split(tmp_path: Path) -> None:
    data = noise_dataset(val=6)
    assert data.val is not None
    folder = RunFolder(tiny_run(tmp_path, data=data))
    best = Classifier.load(folder.best)
    temperature = fit_temperature(best.logits(data.val.images), torch.from_numpy(data.val.labels))
    assert folder.read_summary()["calibration"] == {"temperature": temperature, "pictures": 6, "source": "val"}
    logits = best.logits(data.test.images)
    plain, scaled = logits.softmax(1), (logits / temperature).softmax(1)
    rows = folder.read_predictions()
    cells = range(len(rows)), [data.classes.index(row.predicted) for row in rows]
    assert cells[1] == logits.argmax(1).tolist()
    assert [row.probability for row in rows] == plain[cells].tolist()
    assert [row.calibrated for row in rows] == scaled[cells].tolist()


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
        assert found.raw_probability != pytest.approx(found.probability, abs=1e-3)


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
