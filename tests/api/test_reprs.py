"""What a notebook shows of a result: one short line."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import tenfold
from harness.runs import noise_dataset, tiny_run
from harness.written_runs import written_run
from tenfold.api.sweep_results import Sweep
from tenfold.api.training_run import Run
from tenfold.deploy.predictor import Prediction
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.evaluate.spread import Spread

EVALUATION = evaluate_logits(torch.eye(2)[[0, 1, 1, 1]], torch.tensor([0, 1, 0, 1]), ("cat", "dog"))


def test_a_run_and_an_evaluation_show_accuracy_images_and_interval() -> None:
    text = "75.0 % of {}, 95 % interval 30.1–95.4 %"
    assert repr(EVALUATION) == f"Evaluation({text.format('4 images')})"
    assert repr(Run(Path("runs/a"), {}, EVALUATION)) == f"Run('runs/a', {text.format('4 test images')})"


def test_a_prediction_shows_label_and_probability() -> None:
    found = Prediction("cat.jpg", "cat", 0.912, {"cat": 0.912, "dog": 0.088}, None, 0.8, True)
    assert repr(found) == "Prediction('cat.jpg', 'cat' 91.2 %, calibrated)"
    assert repr(replace(found, calibrated=False)) == "Prediction('cat.jpg', 'cat' 91.2 %, not calibrated)"
    assert repr(Prediction("a.jpg", None, 0.0, {}, "gone")) == "Prediction('a.jpg', error='gone')"


def test_a_predictor_shows_network_classes_and_size(tmp_path: Path) -> None:
    predictor = tenfold.load(tiny_run(tmp_path, data=noise_dataset(val=6)), device="cpu")
    assert repr(predictor) == f"Predictor({type(predictor.model).__name__}, 3 classes, 8×8, calibrated)"
    assert np.array_equal(predictor.classes, ("circle", "ring", "square"))


def test_a_comparison_shows_its_first_runs(tmp_path: Path) -> None:
    runs = [written_run(tmp_path, name, "1101") for name in "abcde"]
    assert repr(tenfold.compare(runs)) == (
        "Comparison(a 75.0 % (30.1–95.4 %), b 75.0 % (30.1–95.4 %), c 75.0 % (30.1–95.4 %), and 2 more)"
    )


def test_a_sweep_shows_mean_and_interval_of_its_seeds_or_its_best_setting() -> None:
    rows = [{"status": "finished"}] * 2
    study = SimpleNamespace(
        rows=rows,
        best=SimpleNamespace(settings={"model.width": 90}, mean=0.71),
        tested=lambda _: Spread(2, 0.7, 0.01, (0.6, 0.8), 0.69, 0.71),
    )
    seeds = Sweep(Path("runs/s"), "seeds", (), study)  # type: ignore[arg-type]
    assert repr(seeds) == "Sweep('runs/s', 2 seeds 70.0 ± 1.0 %, 95 % interval 60.0–80.0 %)"
    assert repr(replace(seeds, kind="grid")) == "Sweep('runs/s', 2 trials, best model.width=90: 71.0 %)"
