"""Run folders and data for pages: any classes, any answers, written as training writes them, but in no time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tenfold.core import durable
from tenfold.data.types import Dataset, Split
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Prediction


def answers(
    classes: Sequence[str], count: int, seed: int = 0, *, right: float = 0.6, calibrated: bool = False
) -> list[Prediction]:
    """Returns what a network may say of `count` pictures, of which it recognises a share `right`."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, len(classes), count)
    other = (true + generator.integers(1, max(2, len(classes)), count)) % len(classes)
    predicted = np.where(generator.random(count) < right, true, other)
    probability = generator.beta(5, 2, count)
    return [
        Prediction(f"test/{i}.png", classes[t], classes[p], q, q**0.5 if calibrated else None)
        for i, (t, p, q) in enumerate(zip(true.tolist(), predicted.tolist(), probability.tolist(), strict=True))
    ]


def judged_run(root: Path, name: str, classes: Sequence[str], rows: Sequence[Prediction]) -> RunFolder:
    """Writes a finished run whose test pictures were judged as `rows` say; it has no model."""
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


def dataset_for(classes: Sequence[str], rows: Sequence[Prediction], side: int = 8) -> Dataset:
    """Returns a dataset whose test pictures are those of `rows`, each of one colour that tells its place."""
    places = np.arange(len(rows))
    colours = np.stack([places % 16 * 16, places // 16 % 16 * 16, places // 256 * 16], 1).astype(np.uint8)
    images = np.broadcast_to(colours[:, None, None], (len(rows), side, side, 3)).copy()
    labels = np.array([list(classes).index(row.true) for row in rows], np.int64)
    test = Split(images, labels, tuple(row.picture for row in rows))
    return Dataset("made", tuple(classes), test, test)
