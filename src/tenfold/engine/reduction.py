"""Chooses how the gradients of several processes are added up: in one message or in parts, whichever is faster."""

import copy
from dataclasses import replace
from time import perf_counter

import torch

from tenfold.core.clock import synchronize
from tenfold.data.types import Batch
from tenfold.engine.step_context import StepContext

_WAYS = ("flat", "ddp")
_LONG_STEP, _STEPS, _LONG_STEPS = 0.05, 10, 2
"""Seconds of a step above which few steps suffice, and numbers of steps."""


def choose_reduction(asked: str, context: StepContext, batch: Batch) -> str:
    """Returns `flat` or `ddp`, the same on all processes. With `auto` both are measured on copies of the network.

    Args:
        asked: `train.reduce`.
        context: of the step; its hardware must be active.
        batch: of training images.
    """
    if asked != "auto" or not context.processes.is_several:
        return "flat" if asked == "auto" else asked
    device = context.hardware.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seconds = {way: _seconds_per_step(replace(context, reduce=way), batch) for way in _WAYS}
    return min(_WAYS, key=lambda way: seconds[way])


def _seconds_per_step(context: StepContext, batch: Batch) -> float:
    """Returns the seconds of a step at a learning rate of 0, as rank 0 measures them; infinite where it fails."""
    context = copy.deepcopy(context)
    device, processes = context.hardware.device, context.processes
    step = context.build(batch)
    context.optimizer.scale_lr(0.0)
    fastest, left = float("inf"), 1
    try:
        step(batch)
        while left:
            synchronize(device)
            started = perf_counter()
            step(batch)
            synchronize(device)
            (seconds, *_), *_ = processes.exchange([perf_counter() - started])
            if fastest == float("inf"):
                left = _LONG_STEPS if seconds > _LONG_STEP else _STEPS
            fastest, left = min(fastest, seconds), left - 1
    except RuntimeError as error:
        if "reduction" not in str(error):  # a weight without a gradient, for which DistributedDataParallel would wait
            raise
        return float("inf")
    return fastest
