"""Run and sweep folders with given results, written without training."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from tenfold.core import durable
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import PredictionRow

CLASSES = ("cat", "dog")


def written_run(
    root: Path,
    name: str,
    correct: str,
    overrides: Sequence[str] = (),
    *,
    fingerprint: str = "0123456789abcdef",
    parameters: int = 10,
    finished: bool = True,
    dataset: str = "shapes",
    digest: str | None = None,
    images: Sequence[str] | None = None,
) -> Path:
    """Writes a run on cats and dogs; the true class of the i-th test image is cat for even i, else dog.

    Args:
        root: folder of the runs.
        name: run name.
        correct: one character per test image: `1` where it is predicted correctly, else `0`.
        overrides: overrides of the recipe `mlp`.
        fingerprint: fingerprint of the dataset.
        parameters: number of parameters of the network.
        finished: whether the run has a result.
        dataset: name of the dataset.
        digest: of the test split; None writes none, as before there was one.
        images: names of the test images (default: their indices).
    """
    folder = RunFolder.create(root, "shapes", "mlp", name)
    durable.write_text(folder.recipe, to_toml(load_recipe("mlp", ["data.source=shapes", *overrides])))
    labels = torch.arange(len(correct)) % 2
    predicted = torch.where(torch.tensor([flag == "1" for flag in correct]), labels, 1 - labels)
    evaluation = evaluate_logits(torch.eye(2)[predicted], labels, CLASSES)
    folder.write_predictions(
        [
            PredictionRow(images[i] if images else str(i), CLASSES[true], CLASSES[label], 0.75)
            for i, (true, label) in enumerate(zip(labels.tolist(), predicted.tolist(), strict=True))
        ]
    )
    folder.write_metrics(
        [{"epoch": 1, "step": s, "time_s": s / 2, "train_loss": 2 / s, "train_accuracy": 0.5} for s in (1, 2, 3)]
    )
    if finished:
        folder.write_summary(
            {
                "test_accuracy": evaluation.accuracy,
                "test_interval": list(evaluation.interval),
                "val_accuracy": None,
                "steps": 3,
                "training_seconds": 1.5,
                "total_seconds": 2.0,
                "parameters": parameters,
                "dataset": {"name": dataset, "fingerprint": fingerprint}
                | ({} if digest is None else {"test_digest": digest}),
                "evaluation": evaluation.to_json(),
            }
        )
    return folder.path


def written_sweep(root: Path, name: str, corrects: Sequence[str | None], *, resplit: bool = False) -> Path:
    """Writes a sweep over seeds with one trial per item of `corrects`; a trial of None has no result."""
    trials = [Trial(f"seed={seed}", {}, seed, seed) for seed in range(len(corrects))]
    sweep = SweepFolder.create(root, (), {"kind": "seeds", "resplit": resplit}, "", trials, name)
    for trial, correct in zip(trials, corrects, strict=True):
        if correct is not None:
            written_run(sweep.trials_folder, trial.name, correct, [f"train.seed={trial.seed}"])
    return sweep.path


def without_key(run: Path, key: str) -> None:
    """Removes a key from `summary.json`."""
    file = run / "summary.json"
    summary = json.loads(file.read_text("utf-8"))
    del summary[key]
    file.write_text(json.dumps(summary), "utf-8")
