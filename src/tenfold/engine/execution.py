"""Builds the training step: eager or compiled, whichever is faster where the recipe leaves the choice."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
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
from tenfold.data.resizing import SizeSchedule, shrink
from tenfold.data.types import Batch
from tenfold.engine import graphs
from tenfold.engine.eager import EagerStep
from tenfold.engine.fused import LossAndLogits, fused_loss
from tenfold.engine.kernels import layers, programs, tutorial_step
from tenfold.engine.kernels.gpu_layers import GpuLayers
from tenfold.engine.precision import Hardware
from tenfold.models.tutorial import TutorialNet
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.folders import read_json_object

TrainStep = Callable[[Batch], tuple[Tensor, Tensor]]
"""Forward, loss, backward and update for one batch: returns the loss, float [], and the logits, float [B, C].

Nothing in it waits for a GPU."""

_ROUNDS, _STEPS = 5, 10
_LONG_STEP, _LONG_STEP_ROUNDS = 0.02, 2
"""Seconds above which a step has work for every thread: fewer threads are not measured, and fewer rounds suffice."""


@dataclass(frozen=True)
class StepContext:
    """What a training step is built from.

    Args:
        model: on its device, in training mode.
        optimizer: of the model's weights.
        preprocessing: its `normalize` makes the model's input.
        hardware: see `Hardware`; must be active while steps run.
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        class_weights: float32 [C] on the device; see `mean_loss`.
        progressive: sizes of the images, which a step on a GPU is compiled for beforehand; see `SizeSchedule`.
    """

    model: nn.Module
    optimizer: CombinedOptimizer
    preprocessing: Preprocessing
    hardware: Hardware
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    progressive: SizeSchedule = ()

    def build(self, batch: Batch) -> TrainStep:
        """Returns the step that `hardware` describes, for batches shaped like `batch`, which is not trained on.

        Raises:
            TrainingError: when the step cannot be compiled.
            StorageError: when the cache folder cannot be written.
        """
        hardware, smoothing, weights = self.hardware, self.label_smoothing, self.class_weights
        by_layers, examples = hardware.kernels == "layers", self._examples(batch)
        kernels: AbstractContextManager[object] | None = None
        fused: dict[torch.Size, LossAndLogits] = {}
        if by_layers:
            kernels = layers.CompiledLayers(self.model, hardware.threads)
        elif hardware.fused:
            kernels, loss = GpuLayers(self.model), fused_loss(self.model, self.preprocessing, smoothing, weights)
            fused = {example.images.shape: loss for example in examples}  # another shape would be compiled in a run
            for rule in self.optimizer.rules:
                rule.fuse()
        eager = EagerStep(self.model, self.optimizer, self.preprocessing, hardware, smoothing, kernels, fused, weights)
        if hardware.kernels == "CUDA graph":
            return graphs.GraphedStep(eager, self.model, self.optimizer, examples)
        if hardware.fused:
            graphs.warm_up(eager, self.model, self.optimizer, examples)
        if by_layers or not hardware.compiled:
            return eager
        assert isinstance(self.model, TutorialNet)
        return tutorial_step.CompiledTutorialStep(
            self.model, self.optimizer, self.preprocessing, smoothing, len(batch.images), weights
        )

    def _examples(self, batch: Batch) -> list[Batch]:
        """Returns a batch of each image size, which are needed on a GPU alone."""
        fractions = [1.0, *(fraction for _, fraction in self.progressive if self.hardware.device.type == "cuda")]
        return [batch._replace(images=shrink(batch.images, fraction)) for fraction in fractions]

    def check_compiled(self, batch_size: int, *, mixed: bool) -> None:
        """Raises RecipeError where the step cannot be compiled for such batches."""
        reason = self.uncompiled_reason(batch_size, mixed=mixed)
        if reason is not None:
            raise RecipeError(
                f"train.execution is 'compiled', but this training cannot be: {reason}; "
                "set train.execution=eager, or auto for a new run or sweep"
            )

    def uncompiled_reason(self, batch_size: int, *, mixed: bool) -> str | None:
        """Returns why the step cannot be compiled, or None where it can.

        Args:
            batch_size: number of images in a batch.
            mixed: whether batches are mixed (mixup, CutMix).
        """
        kernels = replace(self.hardware, compiled=True).kernels
        if kernels == "layers":
            return layers.unsupported_reason(self.model)
        if mixed:
            return "its images are mixed (mixup, cutmix)"
        if kernels == "CUDA graph":
            return graphs.unsupported_reason(self.optimizer, self.hardware)
        return tutorial_step.unsupported_reason(self.model, self.optimizer, self.hardware, batch_size)


class PreparedStep(NamedTuple):
    """A training step that is ready to run.

    Args:
        step: see `TrainStep`.
        hardware: as used: number of threads and execution.
        compile_seconds: spent on compiling and on measuring whether that pays; 0 where nothing is compiled.
    """

    step: TrainStep
    hardware: Hardware
    compile_seconds: float


def prepare_step(execution: str, context: StepContext, batch: Batch, *, choose_threads: bool = False) -> PreparedStep:
    """Returns the training step, ready to run; arguments and errors are those of `choose_execution`.

    Raises:
        StorageError: when the cache folder cannot be written.
    """
    started = perf_counter()
    chosen = replace(context, hardware=choose_execution(execution, context, batch, choose_threads=choose_threads))
    if chosen.hardware.device.type == "cpu":
        torch.set_num_threads(chosen.hardware.threads)
    step = chosen.build(batch)
    return PreparedStep(step, chosen.hardware, perf_counter() - started if chosen.hardware.compiled else 0.0)


def choose_execution(execution: str, context: StepContext, batch: Batch, *, choose_threads: bool = False) -> Hardware:
    """Returns the hardware of `context` with the execution asked for, and perhaps fewer threads.

    Where there is a choice, each option is measured once, on copies. The measurement is kept in the cache folder, so
    that the same recipe gives the same bits on the same machine, however busy it is.

    Args:
        execution: `auto`, `eager` or `compiled`.
        context: its hardware must be active.
        batch: of training images.
        choose_threads: whether fewer CPU threads may be used where that is faster: a step on a few small images is
            over before many threads have started.

    Raises:
        RecipeError: when `compiled` is asked for and not supported.
        TrainingError: when `compiled` is asked for and the compiler fails.
    """
    mixed, compiled = batch.mixture is not None, replace(context.hardware, compiled=True)
    if execution == "compiled":
        context.check_compiled(len(batch.images), mixed=mixed)
        return compiled
    if context.hardware.fused:  # each further option would have to be fused, which takes many seconds
        supported = execution == "auto" and context.uncompiled_reason(len(batch.images), mixed=mixed) is None
        return compiled if supported else context.hardware
    options = [context.hardware]
    if choose_threads and context.hardware.device.type == "cpu":
        options += [replace(context.hardware, threads=threads) for threads in _fewer(context.hardware.threads)]
    if execution == "auto" and context.uncompiled_reason(len(batch.images), mixed=mixed) is None:
        options.append(compiled)
    return options[0] if len(options) == 1 else _fastest(options, context, batch)


def _fewer(threads: int) -> list[int]:
    """Returns halves of a number of threads, down to 1."""
    return [threads >> power for power in range(1, threads.bit_length())]


def _fastest(options: Sequence[Hardware], context: StepContext, batch: Batch) -> Hardware:
    """Returns the option with the shortest step, by an earlier measurement on this machine or by a new one."""
    named = {str(option): option for option in options}
    path = programs.programs_folder() / f"{_measurement_key(options, context, batch)}.json"
    try:
        if path.is_file():
            seconds = read_json_object(path, "remove it")
        else:
            seconds = _measure(named, context, batch)
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_json(path, seconds)
    except (TenfoldError, OSError):  # a damaged or read-only cache must not stop the run
        return options[0]
    return min((option for name, option in named.items() if name in seconds), key=lambda option: seconds[str(option)])


def _measure(options: Mapping[str, Hardware], context: StepContext, batch: Batch) -> dict[str, float]:
    """Returns seconds per step of each option: the fastest of several alternating rounds, as other load only slows."""
    first, *others = options
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        steps = {first: _warmed_up_copy(context, options[first], batch)}
        fastest = {first: _seconds_per_step(steps[first], batch, options[first], count=1)}
        is_long = fastest[first] > _LONG_STEP
        if is_long:
            others = [name for name in others if options[name].compiled]
        for name in others:
            with suppress(TenfoldError):  # a failing compiler must not stop the run
                steps[name] = _warmed_up_copy(context, options[name], batch)
        rounds = _LONG_STEP_ROUNDS if is_long else _ROUNDS
        for _ in range(rounds if len(steps) > 1 else 0):
            for name, step in steps.items():
                seconds = _seconds_per_step(step, batch, options[name], count=1 if is_long else _STEPS)
                fastest[name] = min(seconds, fastest.get(name, seconds))
    torch.set_num_threads(threads)
    return fastest


def _warmed_up_copy(context: StepContext, hardware: Hardware, batch: Batch) -> TrainStep:
    """Returns the step of a copied model after one call, at a learning rate of 0 so that no loss diverges."""
    copied = copy.deepcopy(replace(context, hardware=hardware))
    step = copied.build(batch)
    copied.optimizer.scale_lr(0.0)
    step(batch)
    return step


def _seconds_per_step(step: TrainStep, batch: Batch, hardware: Hardware, count: int) -> float:
    if hardware.device.type == "cpu":
        torch.set_num_threads(hardware.threads)
    synchronize(hardware.device)
    started = perf_counter()
    for _ in range(count):
        step(batch)
    synchronize(hardware.device)
    return (perf_counter() - started) / count


def _measurement_key(options: Sequence[Hardware], context: StepContext, batch: Batch) -> str:
    """Returns a digest of everything that a measurement depends on."""
    shapes = [(name, tuple(weight.shape)) for name, weight in context.model.named_parameters()]
    rules = [type(rule).__name__ for rule in context.optimizer.rules]
    modes = Counter(module.training for module in context.model.modules())  # a frozen batch norm has no kernel
    parts = (*options, type(context.model), shapes, modes, rules, tuple(batch.images.shape), torch.__version__)
    return sha256(repr((*parts, programs.processor())).encode()).hexdigest()[:24]
