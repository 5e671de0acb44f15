"""Runs so small that hundreds of them fit into a test, and what must be equal about two of them."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

import tenfold
from tenfold.core import durable
from tenfold.data.types import Dataset
from tenfold.runs.checkpoint import load_checkpoint

CLASSES = ("circle", "ring", "square")
TINY = (
    "model.hidden=[4]",
    "train.batch_size=4",
    "train.duration=2 epochs",
    "train.checkpoint_every=2 steps",
    "train.log_every=3",
)


class Dropped(nn.Module):
    """A user's own network, whose dropout draws from PyTorch's generator at each step."""

    def __init__(self, pixels: int = 8 * 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(3 * pixels, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, len(CLASSES))
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


def noise_set(train: int = 16, *, val: int = 6, side: int = 8, seed: int = 0) -> Dataset:
    """Returns pictures of noise in three classes; no val split where `val` is 0."""
    generator = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        images = generator.integers(0, 200, (count, side, side, 3), dtype=np.uint8)
        images[..., 0] += (labels * 25).astype(np.uint8)[:, None, None]  # something to learn
        return images, labels

    return tenfold.dataset_from_arrays(draw(train), draw(6), CLASSES, val=draw(val) if val else None, name="noise")


def tiny_run(
    runs: Path,
    name: str = "run",
    recipe: str = "mlp",
    *,
    data: Dataset | None = None,
    overrides: Sequence[str] = TINY,
    resume: bool = False,
    model: nn.Module | None = None,
    progress: Any = None,
) -> Path:
    """Trains on one CPU thread, or goes on with the run called `name`; returns its folder.

    Args:
        runs: where run folders lie.
        name: of the run.
        recipe: of the run.
        data: noise by default.
        overrides: of the recipe; beside `resume` only what changes.
        resume: whether to go on with a run that exists.
        model: a network of one's own.
        progress: a watcher.
    """
    pictures = data or noise_set()
    with without_plots():
        if resume:
            changes = () if overrides is TINY else overrides
            return tenfold.train(
                data=pictures, resume=runs / name, overrides=changes, model=model, progress=progress
            ).path
        settings = ["train.device=cpu", "train.threads=1", "train.precision=float32", *overrides]
        return tenfold.train(
            recipe, data=pictures, overrides=settings, name=name, runs=runs, model=model, progress=progress
        ).path


@contextmanager
def without_plots() -> Iterator[None]:
    """Leaves out charts and page of a run, which take longer than all the rest of a tiny one."""
    with (
        patch("tenfold.api.training_run.write_report", lambda folder, pictures, model: None),
        patch("tenfold.api.training_run.write_report", lambda folder, pictures, model: None),
    ):
        yield


class StopAfter:
    """A data set's order cannot be stopped from outside; this stops a run at the k-th step, as a signal would."""

    def __init__(self, k: int) -> None:
        self.left = k

    @contextmanager
    def installed(self, number: int) -> Iterator[None]:
        """Sends signal `number` to this process once the k-th step from now is taken."""
        import os

        from tenfold.engine.step import Step

        plain = Step.__call__

        def counted(step: Step, batch: Any) -> None:
            plain(step, batch)
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), number)

        with patch.object(Step, "__call__", counted):
            yield


def digests(run: Path) -> dict[str, str]:
    """Returns a digest for everything of a finished run that two equal runs share, by name.

    That is: model files, weights, optimiser and random state of the newest checkpoint, the metrics and predictions;
    not what tells the time.
    """
    checkpoint = load_checkpoint(run / "checkpoints")
    found = {
        file: durable.digest(run / file)
        for file in ("last.safetensors", "best.safetensors", "predictions.csv")
        if (run / file).exists()
    }
    found["step"] = str(checkpoint.step)
    found["best"] = str(checkpoint.state["best"])
    for name, tensors in checkpoint.tensors.items():
        found[name] = digest_of(tensors)
    rows = csv.DictReader(io.StringIO((run / "metrics.csv").read_text("utf-8")))
    found["metrics"] = repr([{k: v for k, v in row.items() if k != "time_s"} for row in rows])
    return found


def digest_of(tensors: dict[str, torch.Tensor]) -> str:
    """Returns a digest of names, types, shapes and bits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
