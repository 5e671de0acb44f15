"""Lists the kernels of ten training steps by their time on the device, eager and compiled.

python benchmarks/gpu/kernels.py [--recipe fast94] [--set KEY=VALUE]
"""

import argparse
from typing import Any

from common import DEVICE, DRY_RUN, attempt, load_dataset, overrides, synchronize
from torch.profiler import ProfilerActivity, profile

from tenfold.data.types import Dataset
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, timed_step
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import TrainSection

_STEPS = 2 if DRY_RUN else 10
_ROWS = 25
_NAME_LENGTH = 110


def profile_steps(recipe_name: str, lines: list[str], dataset: Dataset) -> dict[str, Any]:
    """Returns the kernels with most time, as [name, calls, microseconds per step], and the sum over all."""
    recipe = load_recipe(recipe_name, overrides(recipe_name, lines))
    hardware = choose_hardware(recipe.train)
    with hardware.active():
        classifier = make_classifier(recipe, dataset, None)
        loader = training_loader(recipe, dataset, hardware)
        prepared = timed_step(recipe, classifier.model, classifier.preprocessing, hardware, next(loader.epoch(0)))
        batches = endless(loader)
        for _ in range(_STEPS):
            prepared.step(next(batches))
        synchronize()
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (DEVICE.type == "cuda")
        with profile(activities=activities) as profiler:
            for _ in range(_STEPS):
                prepared.step(next(batches))
            synchronize()
    rows = [(event.key, event.count, _microseconds(event)) for event in profiler.key_averages()]
    rows = sorted((row for row in rows if row[2] > 0), key=lambda row: -row[2])
    return {
        "steps": _STEPS,
        "us_per_step": round(sum(row[2] for row in rows) / _STEPS, 1),
        "kernels": len(rows),
        "top": [[name[:_NAME_LENGTH], count, round(time / _STEPS, 1)] for name, count, time in rows[:_ROWS]],
    }


def _microseconds(event: Any) -> float:
    """Returns the time that a kernel, not the operator that launched it, spent on the device."""
    if DEVICE.type != "cuda":
        return float(event.self_cpu_time_total)
    return float(event.self_device_time_total) if event.device_type.name == "CUDA" else 0.0


def main() -> None:
    """Profiles the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="fast94")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    options = parser.parse_args()
    dataset = load_dataset()
    variants: dict[str, list[str]] = {"eager": ["train.execution=eager"]}
    if "fuse" in TrainSection.model_fields:
        variants["eager"].append("train.fuse=false")
        variants["fused"] = ["train.execution=compiled", "train.fuse=true"]
    for name, lines in variants.items():
        attempt(
            f"kernels, {name}",
            lambda lines=lines: profile_steps(options.recipe, [*options.set, *lines], dataset),
            recipe=options.recipe,
        )


if __name__ == "__main__":
    main()
