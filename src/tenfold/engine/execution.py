"""Whether a step is carried out operation by operation or as one compiled program, and which of the two is faster."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tenfold.core import durable
from tenfold.core.clock import synchronize
from tenfold.core.errors import RecipeError, TenfoldError
from tenfold.data.pictures import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine import graphs, native
from tenfold.engine.eager import Eager
from tenfold.engine.precision import Hardware
from tenfold.models.tutorial import TutorialNet
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.files import read_json_object

Learn = Callable[[Batch], tuple[Tensor, Tensor]]
"""Learns from a batch and returns the loss, float [], and the logits, float [B, C]; nothing in it waits for a GPU."""

_ROUNDS, _STEPS = 5, 10


@dataclass(frozen=True)
class Training:
    """What a step needs beside its batch.

    Args:
        model: on its device, in training mode.
        optimizer: of the model's weights.
        preprocessing: its `normalize` makes the model's input.
        hardware: see `Hardware`; must be active while steps are taken.
        label_smoothing: share of the target that is spread over all classes.
    """

    model: nn.Module
    optimizer: CombinedOptimizer
    preprocessing: Preprocessing
    hardware: Hardware
    label_smoothing: float = 0.0

    def learner(self, batch: Batch) -> Learn:
        """Returns what takes the steps, as the hardware says; for the shape of `batch`, from which nothing is learnt.

        Raises:
            TrainingError: when the step cannot be compiled.
            StorageError: when the cache folder cannot be written.
        """
        eager = Eager(self.model, self.optimizer, self.preprocessing, self.hardware, self.label_smoothing)
        if not self.hardware.compiled:
            return eager
        if self.hardware.device.type == "cuda":
            return graphs.GraphedStep(eager, self.model, self.optimizer, batch)
        assert isinstance(self.model, TutorialNet)
        return native.NativeStep(
            self.model, self.optimizer, self.preprocessing, self.label_smoothing, len(batch.images)
        )

    def why_not_compiled(self, batch: Batch) -> str | None:
        """Returns what keeps the step from being compiled, or None where nothing does."""
        if batch.mixture is not None:
            return "its pictures are mixed (mixup, cutmix)"
        if self.hardware.device.type == "cuda":
            return graphs.why_not(self.optimizer, self.hardware)
        return native.why_not(self.model, self.optimizer, self.hardware, len(batch.images))


class Prepared(NamedTuple):
    """What takes the steps.

    Args:
        learn: see `Learn`.
        hardware: as it is used.
        seconds: spent on compiling and on measuring whether that pays; 0 where there was nothing to compile.
    """

    learn: Learn
    hardware: Hardware
    seconds: float


def prepare(wanted: str, training: Training, batch: Batch) -> Prepared:
    """Returns what takes the steps, for the shape of `batch`; the arguments and errors are those of `choose_execution`.

    Raises:
        StorageError: when the cache folder cannot be written.
    """
    began = perf_counter()
    chosen = replace(training, hardware=choose_execution(wanted, training, batch))
    learn = chosen.learner(batch)
    return Prepared(learn, chosen.hardware, perf_counter() - began if chosen.hardware.compiled else 0.0)


def choose_execution(wanted: str, training: Training, batch: Batch) -> Hardware:
    """Returns the hardware of `training` with the execution that `wanted` names.

    `auto` measures both ways on copies, once; what it chose is kept in the cache folder, so that the same recipe gives
    the same bits on the same machine however busy that is.

    Args:
        wanted: `auto`, `eager` or `compiled`.
        training: its hardware must be active.
        batch: of the training pictures.

    Raises:
        RecipeError: when `compiled` is asked for and cannot be had.
        TrainingError: when `compiled` is asked for and the compiler fails.
    """
    reason = None if wanted == "eager" else training.why_not_compiled(batch)
    if wanted == "compiled" and reason is not None:
        raise RecipeError(
            f"train.execution is 'compiled', but this training cannot be: {reason}; use 'auto' or 'eager'"
        )
    compiled = wanted != "eager" and reason is None
    if compiled and wanted == "auto":
        compiled = _compiled_is_faster(training, batch)
    return replace(training.hardware, compiled=compiled)


def _compiled_is_faster(training: Training, batch: Batch) -> bool:
    """Measures, unless that was done before on this machine; a compiler that fails is no reason to stop."""
    kept = native.programs_folder() / f"{_identity(training, batch)}.json"
    try:
        if kept.is_file():
            known = read_json_object(kept, "remove it")
        else:
            known = _measured(training, batch)
            durable.write_json(kept, known)
    except TenfoldError:
        return False
    return bool(known["compiled"] < known["eager"])


def _measured(training: Training, batch: Batch) -> dict[str, float]:
    """Returns seconds a step, the fastest of several rounds in turns: what else the machine does only slows down."""
    ways = {
        name: copy.deepcopy(replace(training, hardware=replace(training.hardware, compiled=name == "compiled")))
        for name in ("eager", "compiled")
    }
    with torch.random.fork_rng():
        learners = {name: way.learner(batch) for name, way in ways.items()}
        for way in ways.values():
            way.optimizer.scale_lr(0.0)  # so that no loss grows out of bounds
        rounds = [{name: _seconds(learn, batch) for name, learn in learners.items()} for _ in range(_ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in ways}


def _seconds(learn: Learn, batch: Batch) -> float:
    synchronize(batch.images.device)
    began = perf_counter()
    for _ in range(_STEPS):
        learn(batch)
    synchronize(batch.images.device)
    return (perf_counter() - began) / _STEPS


def _identity(training: Training, batch: Batch) -> str:
    """Names everything that a measurement depends on."""
    shapes = [(name, tuple(weight.shape)) for name, weight in training.model.named_parameters()]
    parts = (training.hardware, type(training.model), shapes, tuple(batch.images.shape), torch.__version__)
    return sha256(repr((*parts, native.processor())).encode()).hexdigest()[:24]
