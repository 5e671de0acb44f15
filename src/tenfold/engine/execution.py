"""Chooses the training step: eager or compiled, whichever is faster where the recipe leaves the choice."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from time import perf_counter
from typing import NamedTuple

import torch

from tenfold.core import durable
from tenfold.core.clock import synchronize
from tenfold.core.errors import TenfoldError
from tenfold.data.types import Batch
from tenfold.engine.distributed import ALONE
from tenfold.engine.kernels import programs
from tenfold.engine.precision import Hardware
from tenfold.engine.reduction import choose_reduction
from tenfold.engine.step_context import StepContext, TrainStep
from tenfold.runs.folders import read_json_object

_ROUNDS, _STEPS = 5, 10
_LONG_STEP, _LONG_STEP_ROUNDS = 0.02, 2
"""Seconds above which a step has work for every thread: fewer threads are not measured, and fewer rounds suffice."""


class PreparedStep(NamedTuple):
    """A training step that is ready to run.

    Args:
        step: see `TrainStep`.
        hardware: as used: number of threads and execution.
        compile_seconds: spent on compiling and on measuring whether that pays; 0 where nothing is compiled.
        reduce: how the gradients of several processes are added up, `flat` or `ddp`.
    """

    step: TrainStep
    hardware: Hardware
    compile_seconds: float
    reduce: str = "flat"


def prepare_step(execution: str, context: StepContext, batch: Batch, *, choose_threads: bool = False) -> PreparedStep:
    """Returns the training step, ready to run; arguments and errors are those of `choose_execution`.

    Raises:
        StorageError: when the cache folder cannot be written.
    """
    started = perf_counter()
    hardware = context.processes.from_main(
        lambda: choose_execution(execution, context, batch, choose_threads=choose_threads)
    )
    chosen = replace(context, hardware=replace(hardware, device=context.hardware.device))
    if chosen.hardware.device.type == "cpu":
        torch.set_num_threads(chosen.hardware.threads)
    chosen = replace(chosen, reduce=choose_reduction(context.reduce, chosen, batch))
    step = chosen.build(batch)
    seconds = perf_counter() - started if chosen.hardware.compiled else 0.0
    return PreparedStep(step, chosen.hardware, seconds, chosen.reduce)


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
    if len(options) == 1 or not len(batch.images):  # in a batch smaller than the number of processes
        return options[0]
    return _fastest(options, context, batch._replace(total=None))


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
    threads, device = torch.get_num_threads(), context.hardware.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
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
    copied = copy.deepcopy(replace(context, hardware=hardware, processes=ALONE, share=context.share.alone()))
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
    if not context.is_plain:
        parts += (context.share, context.clip_norm)
    return sha256(repr((*parts, programs.processor())).encode()).hexdigest()[:24]
