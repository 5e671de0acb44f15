"""Everything a run needs to resume from a checkpoint to the same bits."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.errors import RunError
from tenfold.data.sampling import Difficulty
from tenfold.engine.agreement import keep_equal
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.precision import Hardware
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.times import RunTimes
from tenfold.evaluate.metrics import Evaluation
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.checkpoint import Checkpoint, save_checkpoint

Row = dict[str, float | int | None]
"""One row of `metrics.csv`."""


@dataclass
class Best:
    """The best validation result so far.

    Args:
        accuracy: its accuracy.
        epoch: that reached it, from 1; 0 for the head that was fitted before the first step.
        step: that reached it, from 1; 0 likewise.
        score: see `monitored`. Absent in checkpoints of earlier versions, whose score was the accuracy.
    """

    accuracy: float
    epoch: int
    step: int
    score: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.score):
            self.score = self.accuracy


def monitored(monitor: str, evaluation: Evaluation) -> float:
    """Returns the figure that `train.monitor` names; higher is better, so of the loss the negative."""
    if monitor == "loss":
        return -evaluation.loss
    return evaluation.accuracy if monitor == "accuracy" else evaluation.estimates[monitor].value


@dataclass
class State:
    """The state of a run.

    Order and augmentation need none: they are functions of (seed, epoch), with pruning also of `difficulty`.

    Args:
        model: on its device.
        optimizer: of the model's weights.
        average: of the model's weights.
        times: see `RunTimes`.
        fingerprint: of the dataset.
        metrics: of the steps since the last row.
        difficulty: of the training images, where they are pruned.
        step: number of steps taken.
        rows: of `metrics.csv` so far.
        best: where a validation split exists.
        processes: that train the network; all of them hold the same state, except for their random generators.
    """

    model: nn.Module
    optimizer: CombinedOptimizer
    average: WeightEMA
    times: RunTimes
    fingerprint: str
    metrics: RunningMetrics
    difficulty: Difficulty | None = None
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best: Best | None = None
    processes: Processes = ALONE

    @property
    def is_best(self) -> bool:
        """Whether the current weights have the best validation result so far."""
        return self.best is not None and self.best.step == self.step

    def keep_equal(self) -> bool:
        """Gives all processes the state of rank 0 where it differs, and returns whether it did; see `keep_equal`."""
        average, optimizer = self.average.state_tensors(), self.optimizer.state_tensors()
        return keep_equal(self.processes, [*self.model.state_dict().values(), *optimizer.values(), *average.values()])

    def save(self, folder: Path, hardware: Hardware) -> Path | None:
        """Writes a checkpoint durably and returns its folder. Only rank 0 writes; the others contribute and get None.

        Args:
            folder: the run's `checkpoints`.
            hardware: as used: another thread count or execution may round differently, so a resumed run keeps both.

        Raises:
            LossNotFiniteError: when a loss since the last row or a weight is not finite; nothing is written.
            StorageError: when the disk refuses; previous checkpoints stay.
        """
        self.check_weights()
        tensors = {
            "pending": self.metrics.state_tensors(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_tensors(),
            "random": _random_states(self.model, self.processes),
        }
        if not self.processes.is_main:
            return None
        if average := self.average.state_tensors():
            tensors["average"] = average
        if self.difficulty is not None:
            tensors["difficulty"] = self.difficulty.state_tensors()
        state: dict[str, Any] = {
            "seconds": self.times.training_seconds(),
            "loading_seconds": self.times.loading_seconds,
            "rows": self.rows,
            "best": None if self.best is None else asdict(self.best),
            "fingerprint": self.fingerprint,
            "threads": hardware.threads,
            "compiled": hardware.compiled,
            "device": hardware.device.type,
            "processes": self.processes.world.size,
        }
        return save_checkpoint(folder, self.step, tensors, state)

    def check_weights(self) -> None:
        """Raises LossNotFiniteError when a weight is not finite: an update may overflow after a finite loss."""
        finite = [weight.isfinite().all() for weight in self.model.parameters()]
        if not torch.stack(finite).all():
            self.metrics.state_tensors()  # raises for the first loss that was not finite, if one was
            raise LossNotFiniteError(steps_ago=1)

    def load(self, checkpoint: Checkpoint) -> None:
        """Restores a checkpoint.

        Raises:
            RunError: when the checkpoint belongs to other data, another network or another optimizer.
        """
        saved, tensors = dict(checkpoint.state), checkpoint.tensors
        check_fingerprint(checkpoint, self.fingerprint)
        try:
            self.model.load_state_dict(tensors["model"])
        except RuntimeError as error:
            raise RunError(f"the checkpoint holds another network: {' '.join(str(error).split())}") from error
        self.optimizer.load_state_tensors(tensors["optimizer"])
        self.average.load_state_tensors(tensors.get("average", {}))
        if self.difficulty is not None:
            self.difficulty.load_state_tensors(tensors["difficulty"])
        self.metrics.load_state_tensors(tensors["pending"])
        _set_random_state(tensors["random"], self.model, self.processes.world.rank)
        self.times.resume(saved["seconds"], saved.get("loading_seconds", 0.0))  # absent in checkpoints of version 0.1
        self.step, self.rows = checkpoint.step, [_current_row(row, self.metrics) for row in saved["rows"]]
        self.best = None if saved["best"] is None else Best(**saved["best"])


def check_fingerprint(checkpoint: Checkpoint, fingerprint: str) -> None:
    """Raises RunError when a checkpoint belongs to other data than those with this fingerprint."""
    expected: str = checkpoint.state["fingerprint"]
    if expected not in ("", fingerprint):  # datasets made by hand had none once
        raise RunError(
            f"the data has changed since the checkpoint at step {checkpoint.step}: found fingerprint "
            f"{fingerprint[:12]}, expected {expected[:12]}; restore the previous data, or start a new run"
        )


def has_diverged(checkpoint: Checkpoint, diverged_at: int) -> bool:
    """Returns whether a checkpoint of a diverged run is of no use, also with a lower learning rate.

    Its weights have given the loss that is not finite, or its loss is twice that of the first steps.

    Args:
        checkpoint: of the run.
        diverged_at: step whose loss was not finite.
    """
    rows = [row.get("train_objective") or row["train_loss"] for row in checkpoint.state["rows"] if row["step"]]
    losses = [*filter(None, rows), *checkpoint.tensors["pending"]["losses"].tolist()]
    return checkpoint.step + 1 >= diverged_at or (bool(losses) and losses[-1] > 2 * losses[0])


def _current_row(row: Row, metrics: RunningMetrics) -> Row:
    """Returns a saved row; in those of version 0.1, the training loss is the minimized one."""
    if "train_objective" in row or not metrics.plain_loss:
        return row
    return {**row, "train_loss": None, "train_objective": row["train_loss"]}


def _random_states(model: nn.Module, processes: Processes) -> dict[str, Tensor]:
    """Returns the states of the generators that layers such as dropout draw from, those of all processes."""
    device = next(model.parameters()).device
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return {
        _of_rank(name, rank): state for name in own for rank, state in enumerate(processes.gather(own[name]).unbind())
    }


def _set_random_state(states: dict[str, Tensor], model: nn.Module, rank: int) -> None:
    """Restores the generators; a process that the run did not have before keeps its own."""
    device, (cpu, cuda) = next(model.parameters()).device, (_of_rank(name, rank) for name in ("cpu", "cuda"))
    if cpu in states:
        torch.set_rng_state(states[cpu])
    if device.type == "cuda" and cuda in states:
        torch.cuda.set_rng_state(states[cuda], device)


def _of_rank(name: str, rank: int) -> str:
    """Returns the name of a generator's state in a checkpoint."""
    return f"{name}.{rank}" if rank else name
