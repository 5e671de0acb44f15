"""Very small runs, and digests to compare two of them."""

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
from tenfold.core.progress import SilentProgress
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


class DropoutNet(nn.Module):
    """A custom network whose dropout uses PyTorch's global generator at each step."""

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


def noise_dataset(train: int = 16, *, val: int = 6, side: int = 8, seed: int = 0) -> Dataset:
    """Returns a dataset of noise in three classes; without a validation split if `val` is 0."""
    generator = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        images = generator.integers(0, 200, (count, side, side, 3), dtype=np.uint8)
        images[..., 0] += (labels * 25).astype(np.uint8)[:, None, None]  # something to train on
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
    """Trains on one CPU thread, or resumes the run called `name`. Returns the run folder.

    Args:
        runs: parent of the run folders.
        name: run name.
        recipe: name of a shipped recipe.
        data: the dataset (default: noise).
        overrides: changes to the recipe; with `resume`, changes to the recipe of the run.
        resume: whether to resume an existing run.
        model: a custom network.
        progress: receives the progress.
    """
    dataset = data or noise_dataset()
    with without_plots():
        if resume:
            changes = () if overrides is TINY else overrides
            return tenfold.train(
                data=dataset, resume=runs / name, overrides=changes, model=model, progress=progress
            ).path
        settings = ["train.device=cpu", "train.threads=1", "train.precision=float32", *overrides]
        return tenfold.train(
            recipe, data=dataset, overrides=settings, name=name, runs=runs, model=model, progress=progress
        ).path


@contextmanager
def without_plots() -> Iterator[None]:
    """Skips the charts and the page of a run, which take longer than the rest of a tiny run."""
    with patch("tenfold.api.training_run.write_report", lambda folder, dataset, model: None):
        yield


class Notes(SilentProgress):
    """Records the messages of a run."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class StopAfter:
    """Stops a run with a signal after its k-th step."""

    def __init__(self, k: int) -> None:
        self.steps_left = k

    @contextmanager
    def installed(self, number: int) -> Iterator[None]:
        """Sends signal `number` to this process after the k-th step from now."""
        import os

        from tenfold.engine.running_metrics import RunningMetrics

        original = RunningMetrics.update

        def update_and_count(metrics: RunningMetrics, *step: Any) -> None:
            original(metrics, *step)
            self.steps_left -= 1
            if self.steps_left == 0:
                os.kill(os.getpid(), number)

        with patch.object(RunningMetrics, "update", update_and_count):
            yield


def digests(run: Path) -> dict[str, str]:
    """Returns digests of everything that two equal finished runs share, by name.

    That is: model files, the newest checkpoint (weights, optimizer state, random state), metrics and predictions, but
    no times.
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
    """Returns a digest of names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
