"""Short runs for the tests that need a CUDA GPU, and comparisons of two of them.

TENFOLD_GPU_DRY_RUN=1 tries these tests on the CPU, to find mistakes in the tests themselves.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import tenfold
from harness import tiny
from harness.skip_rule import NO_GPU
from tenfold.data.types import Dataset
from tenfold.engine.run import make_classifier
from tenfold.recipes.load import load_recipe
from tenfold.runs.tables import read_metrics

DRY_RUN = os.environ.get("TENFOLD_GPU_DRY_RUN") == "1"
DEVICE = torch.device("cpu" if DRY_RUN else "cuda")
GRAPH = "eager" if DRY_RUN else "compiled"
"""The `train.execution` of a step that is captured as a CUDA graph."""

# PyTorch's compiler and libraries warn about much that is harmless, and differently in each version.
_HARMLESS = (
    *("UserWarning", "DeprecationWarning", "FutureWarning", "ResourceWarning", "RuntimeWarning:torch"),
    "pytest.PytestUnraisableExceptionWarning",
)
_AVAILABLE = torch.cuda.is_available()
gpu_tests = [
    pytest.mark.gpu,
    pytest.mark.skipif(not _AVAILABLE and not DRY_RUN, reason=NO_GPU),
    pytest.mark.timeout(120),
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in _HARMLESS),
]
"""The `pytestmark` of every file of tests/gpu."""
cuda_only = pytest.mark.skipif(DRY_RUN or not _AVAILABLE, reason=NO_GPU)

STEPS = 20
NETWORKS: dict[str, tuple[str, ...]] = {
    "quick": ("model.widths=[16, 32]", "train.batch_size=16", "train.drop_last=false", "optim.lr=0.1"),
    "tutorial": ("train.batch_size=4", "optim.lr=0.01"),
    "resnet18": ("model.width=8", "model.blocks=[1, 1]", "train.batch_size=16", "optim.lr=0.02"),
}
"""Recipes whose runs take 20 steps, some of them on a smaller last batch."""


def easy_images(train: int = 70, test: int = 32, side: int = 32) -> Dataset:
    """Returns noise around one color for each of three classes."""
    splits = [tiny.make_split(count, seed, (side, side)) for seed, count in enumerate((train, test))]
    return Dataset("easy", tiny.CLASSES, *splits, fingerprint=f"easy {train} {test} {side}")


def settings(name: str, *more: str) -> list[str]:
    """Returns the overrides of a short run on the device under test; those of `more` win."""
    return [
        f"train.device={DEVICE}",
        "train.threads=1",
        "train.min_steps=0",
        f"train.duration={STEPS} steps",
        "train.log_every=1",
        "train.precision=float32",
        "train.execution=eager",
        *NETWORKS.get(name, ()),
        *more,
    ]


def trained(folder: Path, name: str, *more: str, data: Dataset | None = None, progress: Any = None) -> tenfold.Run:
    """Trains the recipe called `name` without a report, in a new folder below `folder`."""
    data = easy_images() if data is None else data
    number = len(list(folder.iterdir()))
    return tenfold.train(
        name,
        data=data,
        overrides=settings(name, *more),
        name=f"run{number}",
        runs=folder,
        report=False,
        progress=progress,
    )


def losses(run: tenfold.Run) -> Tensor:
    """Returns the minimized loss of each row of the log, float64 [rows]."""
    rows = read_metrics(run.path / "metrics.csv")
    found = [row["train_loss"] if row["train_objective"] is None else row["train_objective"] for row in rows]
    return torch.tensor(found, dtype=torch.float64)


def weights(run: tenfold.Run) -> dict[str, Tensor]:
    """Returns the last weights and buffers of a run, on the CPU."""
    return load_file(run.path / "last.safetensors")


def first_weights(name: str, *more: str, data: Dataset | None = None) -> dict[str, Tensor]:
    """Returns the weights and buffers with which a run of these settings starts, on the CPU."""
    data = easy_images() if data is None else data
    model = make_classifier(load_recipe(name, settings(name, *more)), data, None, DEVICE).model
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> float:
    """Returns how far two ends of a training are apart, as a fraction of the way from their common start.

    Rounding gives a small fraction. Another batch, rate or rule gives a tenth or more.
    """
    first, second, origin = (_flat(tensors, start) for tensors in (one, other, start))
    return float((first - second).norm() / (first - origin).norm())


def _flat(tensors: Mapping[str, Tensor], names: Mapping[str, Tensor]) -> Tensor:
    parts = [tensors[name].double().cpu().flatten() for name in names if "running" not in name and "num_" not in name]
    return torch.cat(parts)
