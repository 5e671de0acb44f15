"""Whether a step is carried out operation by operation or as one compiled program, and which of the two is faster."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tenfold.core import durable
from tenfold.core.clock import synchronize
from tenfold.core.errors import RecipeError, TenfoldError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine import graphs
from tenfold.engine.eager import Eager
from tenfold.engine.kernels import layers, programs
from tenfold.engine.kernels import tutorial_step as native
from tenfold.engine.precision import Hardware
from tenfold.models.tutorial import TutorialNet
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.folders import read_json_object

Learn = Callable[[Batch], tuple[Tensor, Tensor]]
"""Learns from a batch and returns the loss, float [], and the logits, float [B, C]; nothing in it waits for a GPU."""

_ROUNDS, _STEPS = 5, 10
_LONG, _LONG_ROUNDS = 0.02, 2
"""Seconds above which a step has work for every thread, and is not measured with fewer; nor as often."""


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
        by_layers = self.hardware.compiled and self._compiles_layers
        carrier = layers.CompiledLayers(self.hardware.threads) if by_layers else None
        eager = Eager(self.model, self.optimizer, self.preprocessing, self.hardware, self.label_smoothing, carrier)
        if by_layers or not self.hardware.compiled:
            return eager
        if self.hardware.device.type == "cuda":
            return graphs.GraphedStep(eager, self.model, self.optimizer, batch)
        assert isinstance(self.model, TutorialNet)
        return native.NativeStep(
            self.model, self.optimizer, self.preprocessing, self.label_smoothing, len(batch.images)
        )

    def why_not_compiled(self, batch: Batch) -> str | None:
        """Returns what keeps the step from being compiled, or None where nothing does."""
        if self._compiles_layers:
            return layers.why_not(self.model)
        if batch.mixture is not None:
            return "its pictures are mixed (mixup, cutmix)"
        if self.hardware.device.type == "cuda":
            return graphs.why_not(self.optimizer, self.hardware)
        return native.why_not(self.model, self.optimizer, self.hardware, len(batch.images))

    @property
    def _compiles_layers(self) -> bool:
        """Whether to compile is to have single layers carried out by a program, not the whole step."""
        return self.hardware.device.type == "cpu" and self.hardware.autocast is not None


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


def prepare(wanted: str, training: Training, batch: Batch, *, choose_threads: bool = False) -> Prepared:
    """Returns what takes the steps, for the shape of `batch`; arguments and errors are those of `choose_execution`.

    Raises:
        StorageError: when the cache folder cannot be written.
    """
    began = perf_counter()
    chosen = replace(training, hardware=choose_execution(wanted, training, batch, choose_threads=choose_threads))
    if chosen.hardware.device.type == "cpu":
        torch.set_num_threads(chosen.hardware.threads)
    learn = chosen.learner(batch)
    return Prepared(learn, chosen.hardware, perf_counter() - began if chosen.hardware.compiled else 0.0)


def choose_execution(wanted: str, training: Training, batch: Batch, *, choose_threads: bool = False) -> Hardware:
    """Returns the hardware of `training` with the execution that `wanted` names, and perhaps fewer threads.

    Where there is a choice, each way is measured on copies, once; what is found is kept in the cache folder, so that
    the same recipe gives the same bits on the same machine however busy that is.

    Args:
        wanted: `auto`, `eager` or `compiled`.
        training: its hardware must be active.
        batch: of the training pictures.
        choose_threads: whether fewer CPU threads than the hardware's may be used where that is faster: a handful of
            pictures is learnt from before many threads have woken up.

    Raises:
        RecipeError: when `compiled` is asked for and cannot be had.
        TrainingError: when `compiled` is asked for and the compiler fails.
    """
    reason = None if wanted == "eager" else training.why_not_compiled(batch)
    if wanted == "compiled" and reason is not None:
        raise RecipeError(
            f"train.execution is 'compiled', but this training cannot be: {reason}; use 'auto' or 'eager'"
        )
    compiled = replace(training.hardware, compiled=True)
    if wanted == "compiled":
        return compiled
    ways = [training.hardware]
    if choose_threads and training.hardware.device.type == "cpu":
        ways += [replace(training.hardware, threads=threads) for threads in _fewer(training.hardware.threads)]
    if wanted == "auto" and reason is None:
        ways.append(compiled)
    return ways[0] if len(ways) == 1 else _fastest(ways, training, batch)


def _fewer(threads: int) -> list[int]:
    """Returns halves of a number of threads, down to 1."""
    return [threads >> power for power in range(1, threads.bit_length())]


def _fastest(ways: Sequence[Hardware], training: Training, batch: Batch) -> Hardware:
    """Returns the way that takes the shortest steps: by what was measured before on this machine, or else is now."""
    named = {str(way): way for way in ways}
    kept = programs.programs_folder() / f"{_identity(ways, training, batch)}.json"
    try:
        if kept.is_file():
            seconds = read_json_object(kept, "remove it")
        else:
            seconds = _measured(named, training, batch)
            kept.parent.mkdir(parents=True, exist_ok=True)
            durable.write_json(kept, seconds)
    except (TenfoldError, OSError):  # a cache that cannot be written or is damaged is no reason to stop
        return ways[0]
    return min((way for name, way in named.items() if name in seconds), key=lambda way: seconds[str(way)])


def _measured(ways: Mapping[str, Hardware], training: Training, batch: Batch) -> dict[str, float]:
    """Returns seconds a step, the fastest of several rounds in turns: what else the machine does only slows down."""
    first, *others = ways
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        learners = {first: _copied(training, ways[first], batch)}
        found = {first: _seconds(learners[first], batch, ways[first], steps=1)}
        long = found[first] > _LONG
        if long:
            others = [name for name in others if ways[name].compiled]
        for name in others:
            with suppress(TenfoldError):  # a compiler that fails is no reason to stop
                learners[name] = _copied(training, ways[name], batch)
        rounds = _LONG_ROUNDS if long else _ROUNDS
        for _ in range(rounds if len(learners) > 1 else 0):
            for name, learn in learners.items():
                seconds = _seconds(learn, batch, ways[name], steps=1 if long else _STEPS)
                found[name] = min(seconds, found.get(name, seconds))
    torch.set_num_threads(threads)
    return found


def _copied(training: Training, hardware: Hardware, batch: Batch) -> Learn:
    """Returns what takes steps on a copy, at a learning rate of 0, so that no loss grows out of bounds; warmed up."""
    copied = copy.deepcopy(replace(training, hardware=hardware))
    learn = copied.learner(batch)
    copied.optimizer.scale_lr(0.0)
    learn(batch)
    return learn


def _seconds(learn: Learn, batch: Batch, hardware: Hardware, steps: int) -> float:
    """Returns seconds a step."""
    if hardware.device.type == "cpu":
        torch.set_num_threads(hardware.threads)
    synchronize(hardware.device)
    began = perf_counter()
    for _ in range(steps):
        learn(batch)
    synchronize(hardware.device)
    return (perf_counter() - began) / steps


def _identity(ways: Sequence[Hardware], training: Training, batch: Batch) -> str:
    """Names everything that a measurement depends on."""
    shapes = [(name, tuple(weight.shape)) for name, weight in training.model.named_parameters()]
    rules = [type(rule).__name__ for rule in training.optimizer.rules]
    parts = (*ways, type(training.model), shapes, rules, tuple(batch.images.shape), torch.__version__)
    return sha256(repr((*parts, programs.processor())).encode()).hexdigest()[:24]
