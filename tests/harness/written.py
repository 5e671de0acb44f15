"""Run folders with any result that a test wants, written as training writes them, but in no time."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from tenfold.core import durable
from tenfold.evaluate.metrics import evaluate_logits
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import Prediction

CLASSES = ("cat", "dog")


def written_run(
    root: Path,
    name: str,
    right: str,
    overrides: Sequence[str] = (),
    *,
    fingerprint: str = "0123456789abcdef",
    parameters: int = 10,
    finished: bool = True,
) -> Path:
    """Writes a run whose i-th test picture, a cat where i is even and else a dog, is recognised where `right` has 1.

    Args:
        root: where runs lie.
        name: of the run.
        right: one `0` or `1` for each picture.
        overrides: of the recipe `mlp`.
        fingerprint: of its data.
        parameters: of its network.
        finished: whether it has a result.
    """
    folder = RunFolder.create(root, "shapes", "mlp", name)
    durable.write_text(folder.recipe, to_toml(load_recipe("mlp", ["data.source=shapes", *overrides])))
    labels = torch.arange(len(right)) % 2
    guesses = torch.where(torch.tensor([mark == "1" for mark in right]), labels, 1 - labels)
    evaluation = evaluate_logits(torch.eye(2)[guesses], labels, CLASSES)
    folder.write_predictions(
        [
            Prediction(str(i), CLASSES[true], CLASSES[guess], 0.75)
            for i, (true, guess) in enumerate(zip(labels.tolist(), guesses.tolist(), strict=True))
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
                "dataset": {"name": "shapes", "fingerprint": fingerprint},
                "evaluation": evaluation.to_json(),
            }
        )
    return folder.path


def written_sweep(root: Path, name: str, rights: Sequence[str | None]) -> Path:
    """Writes a sweep over seeds: one trial for each of `rights`, without a result for None."""
    trials = [Trial(f"seed={seed}", {}, seed, seed) for seed in range(len(rights))]
    sweep = SweepFolder.create(root, (), {"kind": "seeds"}, "", trials, name)
    for trial, right in zip(trials, rights, strict=True):
        if right is not None:
            written_run(sweep.trials_folder, trial.name, right, [f"train.seed={trial.seed}"])
    return sweep.path


def without_key(run: Path, key: str) -> None:
    """Removes a key from `summary.json`."""
    file = run / "summary.json"
    summary = json.loads(file.read_text("utf-8"))
    del summary[key]
    file.write_text(json.dumps(summary), "utf-8")
