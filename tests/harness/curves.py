"""Loss curves of the shipped recipes over their first steps, on a small dataset of shapes."""

import csv
import tempfile
from functools import cache
from pathlib import Path

import torch

from harness.runs import tiny_run
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset

RECIPES = {
    "mlp": (),
    "tutorial": (),
    "wide": (),
    "deep3": (),
    "deep4": (),
    "quick": ("train.batch_size=16", "train.min_steps=1"),
}
STEPS = 12


@cache
def shapes() -> Dataset:
    """Returns a dataset of 64 training and 32 test images."""
    return build_shapes(train=64, test=32)


def curve(recipe: str) -> dict[str, list[float]]:
    """Returns learning rate and minimized loss of each of the first steps, in float32 on one CPU thread.

    Args:
        recipe: one of `RECIPES`.
    """
    settings = (f"train.duration={STEPS} steps", "train.log_every=1", *RECIPES[recipe])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = tiny_run(Path(folder), recipe=recipe, data=shapes(), overrides=settings)
        rows = list(csv.DictReader((run / "metrics.csv").read_text("utf-8").splitlines()))
    return {
        "lr": [float(row["lr"]) for row in rows],
        "train_loss": [float(row["train_objective"] or row["train_loss"]) for row in rows],
    }
