"""Run folders with given predictions, and datasets that match them, written without training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tenfold.core import durable
from tenfold.data.types import Dataset, Split
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow


def random_predictions(
    classes: Sequence[str], count: int, seed: int = 0, *, accuracy: float = 0.6, calibrated: bool = False
) -> list[PredictionRow]:
    """Returns random predictions for `count` images, a fraction `accuracy` of which are correct."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, len(classes), count)
    other = (true + generator.integers(1, max(2, len(classes)), count)) % len(classes)
    predicted = np.where(generator.random(count) < accuracy, true, other)
    probability = generator.beta(5, 2, count)
    return [
        PredictionRow(f"test/{i}.png", classes[t], classes[p], q, q**0.5 if calibrated else None)
        for i, (t, p, q) in enumerate(zip(true.tolist(), predicted.tolist(), probability.tolist(), strict=True))
    ]


def predicted_run(root: Path, name: str, classes: Sequence[str], rows: Sequence[PredictionRow]) -> RunFolder:
    """Writes a finished run with these predictions and without a model."""
    folder = RunFolder.create(root, "made", "mlp", name)
    durable.write_text(folder.recipe, to_toml(load_recipe("mlp", ["data.source=shapes"])))
    durable.write_json(
        folder.env, {"command": ["tenfold", "train", "--name", name], "python": "3.11.7", "cpu": "Abacus", "cores": 2}
    )
    folder.write_predictions(rows)
    folder.write_metrics(
        [
            {"epoch": 1, "step": s, "time_s": s / 2, "lr": 0.1 / s, "train_loss": 2 / s, "train_accuracy": 1 - 0.5 / s}
            for s in range(1, 9)
        ]
    )
    calibrated = rows[0].calibrated is not None
    folder.write_summary(
        {
            "steps": 8,
            "training_seconds": 4.0,
            "total_seconds": 75.0,
            "parameters": 1234,
            "dataset": {"name": "made", "pictures": {"train": 60, "test": len(rows)}, "image_size": [8, 8]},
            "calibration": {"temperature": 0.5, "pictures": 10} if calibrated else None,
            "evaluation": {"per_class": [{"name": name} for name in classes]},
        }
    )
    return folder


def dataset_of(classes: Sequence[str], rows: Sequence[PredictionRow], side: int = 8) -> Dataset:
    """Returns a dataset with the test images of `rows`; the color of each image encodes its index."""
    index = np.arange(len(rows))
    colors = np.stack([index % 16 * 16, index // 16 % 16 * 16, index // 256 * 16], 1).astype(np.uint8)
    images = np.broadcast_to(colors[:, None, None], (len(rows), side, side, 3)).copy()
    labels = np.array([list(classes).index(row.true) for row in rows], np.int64)
    test = Split(images, labels, tuple(row.path for row in rows))
    return Dataset("made", tuple(classes), test, test)
