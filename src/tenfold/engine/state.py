"""All that a run needs to go on from a checkpoint as though nothing had happened."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.errors import RunError
from tenfold.data.sampling import Difficulty
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.precision import Hardware
from tenfold.engine.step import Step
from tenfold.optim.averaging import WeightAverage
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.checkpoint import Checkpoint, save_checkpoint

Row = dict[str, float | int | None]
"""One row of `metrics.csv`."""


@dataclass
class Best:
    """The best validation accuracy so far, and the epoch and step (both from 1) that reached it."""

    accuracy: float
    epoch: int
    step: int


@dataclass
class State:
    """Where a run stands. Augmentation, and an order without pruning, need no state: they follow from (seed, epoch).

    Args:
        model: on its device.
        optimizer: of the model's weights.
        average: of the model's weights.
        step: steps taken in all.
        seconds: spent on training so far.
        loading_seconds: those of the host that went into gathering and augmenting pictures.
        rows: of `metrics.csv` so far.
        best: where a validation split exists.
        fingerprint: of the data.
        hardware: another number of threads, or another way to carry out a step, may round differently.
        compile_seconds: spent on compiling the step, and on measuring whether that pays.
        difficulty: of the training pictures, where they are pruned.
    """

    model: nn.Module
    optimizer: CombinedOptimizer
    average: WeightAverage
    fingerprint: str
    hardware: Hardware
    compile_seconds: float = 0.0
    step: int = 0
    seconds: float = 0.0
    loading_seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: Best | None = None
    difficulty: Difficulty | None = None

    def save(self, folder: Path, step: Step) -> Path:
        """Writes a checkpoint durably and returns its folder.

        Args:
            folder: the run's `checkpoints`.
            step: holds what has happened since the last row of the log.

        Raises:
            LossNotFiniteError: when the run must not be saved, because a loss since then or a weight is not finite.
            StorageError: when the disk refuses; the checkpoints before this one stay.
        """
        self.check_weights()
        tensors = {
            "pending": step.state_tensors(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_tensors(),
            "random": _random_state(self.model),
        }
        if average := self.average.state_tensors():
            tensors["average"] = average
        if self.difficulty is not None:
            tensors["difficulty"] = self.difficulty.state_tensors()
        state: dict[str, Any] = {
            "seconds": self.seconds,
            "loading_seconds": self.loading_seconds,
            "rows": self.rows,
            "best": None if self.best is None else asdict(self.best),
            "fingerprint": self.fingerprint,
            "threads": self.hardware.threads,
            "compiled": self.hardware.compiled,
        }
        return save_checkpoint(folder, self.step, tensors, state)

    def check_weights(self) -> None:
        """Raises LossNotFiniteError when the last update, whose loss was still a number, left a weight that is none."""
        finite = [weight.isfinite().all() for weight in self.model.parameters()]
        if not torch.stack(finite).all():
            raise LossNotFiniteError(steps_ago=1)

    def load(self, checkpoint: Checkpoint) -> None:
        """Takes over what a checkpoint holds.

        Raises:
            RunError: when the checkpoint belongs to other data, another network or another optimiser.
        """
        saved: dict[str, Any] = dict(checkpoint.state)
        if saved["fingerprint"] != self.fingerprint:
            raise RunError(
                f"the data has changed since the checkpoint at step {checkpoint.step} (fingerprint "
                f"{self.fingerprint[:12]}, expected {saved['fingerprint'][:12]}); "
                "bring the old data back, or start a new run"
            )
        try:
            self.model.load_state_dict(checkpoint.tensors["model"])
        except RuntimeError as error:
            raise RunError(f"the checkpoint holds another network: {' '.join(str(error).split())}") from error
        self.optimizer.load_state_tensors(checkpoint.tensors["optimizer"])
        self.average.load_state_tensors(checkpoint.tensors.get("average", {}))
        if self.difficulty is not None:
            self.difficulty.load_state_tensors(checkpoint.tensors["difficulty"])
        _set_random_state(checkpoint.tensors["random"], self.model)
        self.step, self.seconds, self.rows = checkpoint.step, saved["seconds"], saved["rows"]
        self.loading_seconds = saved.get("loading_seconds", 0.0)  # a former version did not count them
        self.best = None if saved["best"] is None else Best(**saved["best"])


def _random_state(model: nn.Module) -> dict[str, Tensor]:
    """The generators that layers such as dropout draw from."""
    device = next(model.parameters()).device
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_state(states: dict[str, Tensor], model: nn.Module) -> None:
    device = next(model.parameters()).device
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
