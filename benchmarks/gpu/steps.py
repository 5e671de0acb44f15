"""Times one training step in every execution, its parts, and evaluation; compares with the peak of the card.

python benchmarks/gpu/steps.py [--recipes fast94,fast96] [--variants main|all] [--steps 100] [--set KEY=VALUE]
"""

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import step_parts
import torch
from common import DEVICE, DRY_RUN, attempt, emit, load_dataset, overrides, synchronize, time_calls

from tenfold.data.types import Dataset
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, flops_per_image, timed_step
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import TrainSection


class Variant(NamedTuple):
    """How a step is executed, and PyTorch's choice of convolution kernels."""

    execution: str
    fuse: bool
    deterministic: bool
    benchmark: bool


MAIN = (
    Variant("compiled", True, True, False),
    Variant("compiled", False, True, False),
    Variant("compiled", True, False, True),
    Variant("compiled", False, False, True),
    Variant("eager", False, True, False),
    Variant("eager", False, False, True),
)
ALL = tuple(Variant(*values) for values in itertools.product(("compiled", "eager"), *[(True, False)] * 3))


def measure_peaks(steps: int) -> dict[str, float]:
    """Returns the rate of a large bfloat16 matrix product, and of a copy counting bytes read and written."""
    side, count = (256, 1 << 20) if DRY_RUN else (8192, 1 << 30)
    left, right = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    product = time_calls(lambda: left @ right, steps)["median_ms"]
    source = torch.randint(256, (count,), device=DEVICE, dtype=torch.uint8)
    target = torch.empty_like(source)
    copy = time_calls(lambda: target.copy_(source), steps)["median_ms"]
    return {"bf16_flops_per_second": 2000 * side**3 / product, "copy_bytes_per_second": 2000 * count / copy}


class Bench:
    """Measures the steps of one recipe.

    Args:
        name: of the recipe.
        lines: overrides.
        dataset: see `Dataset`.
        steps: number of timed steps.
        peak: operations per second of the card; None if unknown.
    """

    def __init__(self, name: str, lines: list[str], dataset: Dataset, steps: int, peak: float | None) -> None:
        self.name, self.dataset, self._lines, self._steps, self._peak = name, dataset, lines, steps, peak

    def recipe(self, *lines: str) -> Any:
        """Returns the recipe with overrides."""
        return load_recipe(self.name, [*overrides(self.name, self._lines), *lines])

    def active(self, deterministic: bool, benchmark: bool, measure: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        """Calls `measure(hardware)` with PyTorch's settings for convolutions."""
        hardware = choose_hardware(self.recipe().train)
        with hardware.active():
            torch.backends.cudnn.deterministic = deterministic
            torch.backends.cudnn.benchmark = benchmark
            return measure(hardware)

    def step(self, variant: Variant) -> None:
        """Measures the step alone and with loading, and the seconds until it is ready."""
        attempt(
            "step",
            lambda: self.active(variant.deterministic, variant.benchmark, lambda hardware: self._step(variant)),
            recipe=self.name,
            **variant._asdict(),
        )

    def _step(self, variant: Variant) -> dict[str, Any]:
        # an older recipe schema has no such key
        fuse = [f"train.fuse={str(variant.fuse).lower()}"] if "fuse" in TrainSection.model_fields else []
        recipe = self.recipe(f"train.execution={variant.execution}", *fuse)
        hardware = choose_hardware(recipe.train)
        classifier = make_classifier(recipe, self.dataset, None)
        loader = training_loader(recipe, self.dataset, hardware)
        batch, batches = next(loader.epoch(0)), endless(loader)
        flops = flops_per_image(classifier.model, self.dataset.image_size, backward=True) * len(batch.labels)
        began = time.perf_counter()
        prepared = timed_step(recipe, classifier.model, classifier.preprocessing, hardware, batch)
        synchronize()
        ready = time.perf_counter()
        loss, _ = prepared.step(batch)
        first_loss = loss.item()
        first = time.perf_counter()
        alone = time_calls(lambda: prepared.step(batch), self._steps)
        loaded = time_calls(lambda: prepared.step(next(batches)), self._steps)
        rate = flops / (alone["median_ms"] / 1000)
        return {
            "ms": alone["median_ms"],
            "ms_with_loading": loaded["mean_ms"],
            "share_of_bf16_peak": None if self._peak is None else round(rate / self._peak, 4),
            "flops": flops,
            "alone": alone,
            "loaded": loaded,
            "ready_seconds": round(ready - began, 2),
            "first_step_seconds": round(first - ready, 2),
            "first_loss": first_loss,
            "hardware": str(prepared.hardware),
        }

    def parts(self, deterministic: bool, benchmark: bool) -> None:
        """Measures loading, forward, backward and update one by one, launched and as a replayed graph."""
        settings = {"recipe": self.name, "deterministic": deterministic, "benchmark": benchmark}
        functions: dict[str, Callable[[], dict[str, Any]]] = {}
        attempt(
            "setup of parts",
            lambda: self.active(deterministic, benchmark, lambda hardware: self._part_functions(hardware, functions)),
            **settings,
        )
        for name, measure in functions.items():

            def measured(_: object, measure: Callable[[], dict[str, Any]] = measure) -> dict[str, Any]:
                return measure()

            attempt(name, lambda measured=measured: self.active(deterministic, benchmark, measured), **settings)

    def _part_functions(self, hardware: Any, functions: dict[str, Callable[[], dict[str, Any]]]) -> dict[str, Any]:
        recipe = self.recipe()
        classifier = make_classifier(recipe, self.dataset, None)
        loader = training_loader(recipe, self.dataset, hardware)
        functions.update(step_parts.part_functions(recipe, classifier, loader, hardware, self._steps))
        return {"parts": list(functions)}

    def evaluation(self) -> None:
        """Measures the evaluation of the test images: views and precisions."""
        recipe = self.recipe()
        with choose_hardware(recipe.train).active():
            classifier = make_classifier(recipe, self.dataset, None)
            classifier = replace(classifier, model=classifier.model.to(DEVICE).eval())
            images = self.dataset.test.images[: 40 if DRY_RUN else 10_000]
            for views, precision in itertools.product(
                dict.fromkeys(["plain", classifier.views]), step_parts.PRECISIONS
            ):
                attempt(
                    "evaluation",
                    lambda views=views, precision=precision: step_parts.time_evaluation(
                        classifier.with_views(views), images, precision
                    ),
                    recipe=self.name,
                    views=views,
                    precision=precision,
                )


def main() -> None:
    """Measures what the command line asks for, the most valuable first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", default="fast94,fast96,quick,tutorial,resnet18")
    parser.add_argument("--variants", choices=("main", "all"), default="main")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    options = parser.parse_args()
    dataset, peaks = load_dataset(), {}
    attempt("peaks", lambda: peaks.update(measure_peaks(20)) or peaks)
    peak = peaks.get("bf16_flops_per_second")
    first, *others = (Bench(name, options.set, dataset, options.steps, peak) for name in options.recipes.split(","))
    for variant in MAIN:
        first.step(variant)
    first.parts(True, False)
    first.evaluation()
    first.parts(False, True)
    for bench in others:
        for variant in (MAIN[0], MAIN[1], MAIN[4]):
            bench.step(variant)
    if options.variants == "all":
        for variant in (variant for variant in ALL if variant not in MAIN):
            first.step(variant)
    emit(done="step")


if __name__ == "__main__":
    main()
