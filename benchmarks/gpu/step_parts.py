"""The parts of a training step and of an evaluation, each as a function that can be timed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import DEVICE, DRY_RUN, captured, synchronize, time_calls
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.data.loader import Loader
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import memory_format
from tenfold.engine.step_timing import endless
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer
from tenfold.optim.update import UpdateRule
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier

PRECISIONS = ("as shipped", "float32", "tf32", "bfloat16")
"""Of an evaluation; `as shipped` is what `Classifier` does by itself."""

Measure = Callable[[], dict[str, Any]]


def part_functions(
    recipe: Recipe, classifier: Classifier, loader: Loader, hardware: Hardware, steps: int
) -> dict[str, Measure]:
    """Returns by name what measures a part of the step; the hardware must be active then."""
    model = classifier.model.to(DEVICE, memory_format=memory_format(recipe)).train()
    batch, batches = next(loader.epoch(0)), endless(loader)
    normalize = classifier.preprocessing.normalize

    def forward() -> Tensor:
        enabled = hardware.autocast is not None
        with torch.autocast(DEVICE.type, hardware.autocast, enabled=enabled, cache_enabled=False):
            return model(normalize(batch.images))

    def forward_and_backward() -> None:
        model.zero_grad(set_to_none=True)
        F.cross_entropy(forward().float(), batch.labels, label_smoothing=recipe.optim.label_smoothing).backward()

    optimizer = build_optimizer(model, OptimizerSettings.from_section(recipe.optim), hardware.autocast)
    parts: dict[str, Measure] = {
        "load a batch": lambda: {"launched": time_calls(lambda: next(batches), steps)},
        "normalize": lambda: _both(lambda: normalize(batch.images), steps),
        "forward": lambda: _both(forward, steps),
        "forward and backward": lambda: _both(forward_and_backward, steps),
        "update": lambda: _both(_update(optimizer), steps),
    }
    for rule in optimizer.rules:
        parts[f"update by {type(rule).__name__}, {len(rule.weights)} weights"] = lambda rule=rule: _both(
            _update(rule), steps
        )
    return parts


def _both(function: Callable[[], object], steps: int) -> dict[str, Any]:
    """Times a function launched from Python, and as a replayed CUDA graph."""
    launched = time_calls(function, steps)
    graph = time_calls(captured(function), steps)
    return {"ms": graph["median_ms"], "launched_ms": launched["median_ms"], "graph": graph, "launched": launched}


def _update(optimizer: CombinedOptimizer | UpdateRule) -> Callable[[], None]:
    """Returns a function that updates weights from random gradients."""
    rules = optimizer.rules if isinstance(optimizer, CombinedOptimizer) else (optimizer,)
    gradients = [(weight, torch.randn_like(weight)) for rule in rules for weight in rule.weights]
    for rule in rules:
        if not isinstance(rule.lr, Tensor):
            rule.set_lr(1e-6)
            rule.move_lr_to_device()

    def update() -> None:
        for weight, gradient in gradients:
            weight.grad = gradient
        optimizer.step()

    return update


class _InPrecision(nn.Module):
    """A network that sets the precision itself, inside of whatever its caller sets."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__()
        self.model = model
        self._precision = precision

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits of the network."""
        with _tf32(self._precision == "tf32"), self._autocast():
            return self.model(images)

    def _autocast(self) -> Any:
        wanted = self._precision == "bfloat16"
        return torch.autocast(DEVICE.type, torch.bfloat16) if wanted else nullcontext()


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    previous = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, value in zip(backends, previous, strict=True):
            backend.allow_tf32 = value


def time_evaluation(classifier: Classifier, images: NDArray[np.uint8], precision: str) -> dict[str, Any]:
    """Times an evaluation from images in memory to logits on the host, and how far the logits are from float32."""
    exact, _ = replace(classifier, model=_InPrecision(classifier.model, "float32")).tta_logits(images)
    if precision != "as shipped":
        classifier = replace(classifier, model=_InPrecision(classifier.model, precision))
    logits, _ = classifier.tta_logits(images)
    seconds = []
    for _ in range(1 if DRY_RUN else 5):
        synchronize()
        began = time.perf_counter()
        classifier.tta_logits(images)
        synchronize()
        seconds.append(time.perf_counter() - began)
    return {
        "images": len(images),
        "seconds": round(sorted(seconds)[len(seconds) // 2], 5),
        "each_seconds": [round(value, 5) for value in seconds],
        "largest_difference": float((logits - exact).abs().max()),
        "other_predictions": int((logits.argmax(1) != exact.argmax(1)).sum()),
    }
