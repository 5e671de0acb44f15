"""Benchmark of training: time of whole commands, and how much of the device's speed the training steps reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, flops_per_image, timed_step
from tenfold.experiments.bench.roofline import Roofline, measure_with_roofline
from tenfold.experiments.bench.timed_runs import TimedRun, run_tenfold, summarize_runs
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
from tenfold.optim.averaging import WeightEMA
from tenfold.recipes.schema import Recipe


@dataclass(frozen=True)
class Utilization:
    """How much of a device's speed the training steps reach.

    Args:
        step_seconds: of one training step, loading included.
        step_flops: floating-point operations of its convolutions and linear layers, forward and backward.
        roofline: convolutions on the same device, measured in turns with the steps.
        hardware: description of the device and its settings.
    """

    step_seconds: Samples
    step_flops: float
    roofline: Roofline
    hardware: str

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations per second of training."""
        return self.step_flops / self.step_seconds.median

    @property
    def fraction(self) -> float:
        """Operations per second relative to the fastest convolution."""
        return self.flops_per_second / self.roofline.flops_per_second

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "share": self.fraction,
            "training_flops_per_second": self.flops_per_second,
            "step_flops": self.step_flops,
            "step_seconds": self.step_seconds.to_json(),
            "best_convolution": self.roofline.to_json(),
            "hardware": self.hardware,
        }


@dataclass(frozen=True)
class TrainBench:
    """How fast a recipe trains.

    Args:
        recipe: its name.
        data: name of the dataset.
        settings: changes of the recipe, `section.key=value` each.
        runs: whole commands, at least one.
        utilization: None if the network has no layer whose operations are counted.
    """

    recipe: str
    data: str
    settings: tuple[str, ...]
    runs: tuple[TimedRun, ...]
    utilization: Utilization | None

    def protocol(self) -> list[str]:
        """Returns sentences that say what was timed and what was not."""
        count = len(self.runs)
        sentences = [
            f"{count} whole command{'s' * (count > 1)} of `tenfold train`, one after another, one seed each: wall time "
            "from the start of the process to its end, with import, evaluation and saving, without charts",
            "not timed: preparing the images, which were in their store before",
            "training: the run's own clock, without compilation, which is listed separately, and without evaluation",
            "accuracy: on the test split, evaluated once per run; ± is the standard deviation over the seeds, the "
            "interval is the 95 % Wilson interval of the first run",
        ]
        if self.utilization is not None:
            sentences.append(
                "utilization: operations per second of training steps, loading included, relative to the fastest 3×3 "
                f"convolution, forward and backward, both in this process, in turns, {NUM_ROUNDS} rounds after a "
                "warm-up; operations are those of direct convolutions, of which compiled layers need only a part"
            )
        return sentences

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single run included."""
        return {
            "benchmark": "train",
            "recipe": self.recipe,
            "data": self.data,
            "settings": list(self.settings),
            "protocol": self.protocol(),
            **summarize_runs(self.runs),
            "utilisation": None if self.utilization is None else self.utilization.to_json(),
        }


def time_runs(recipe: str, flags: Sequence[str], num_runs: int, progress: Progress) -> tuple[TimedRun, ...]:
    """Runs `tenfold train` several times, with seeds 0, 1, …; nothing is left on disk.

    Args:
        recipe: name of a shipped recipe, or a TOML file.
        flags: further options, such as `--data`.
        num_runs: at least 1.
        progress: shows each run.

    Raises:
        TrainingError: when a run fails.
    """
    runs: list[TimedRun] = []
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        for seed in range(num_runs):
            runs.append(run_tenfold(recipe, flags, seed, Path(folder)))
            progress.message(f"run {seed + 1} of {num_runs}: {runs[-1]}")
    return tuple(runs)


def measure_utilization(recipe: Recipe, dataset: Dataset, seconds: float) -> Utilization | None:
    """Measures training steps on real batches in turns with convolutions; None if no operations are counted.

    Args:
        recipe: complete.
        dataset: its training split is used.
        seconds: measuring time for the steps and for each convolution, above 0.

    Raises:
        DeviceError: when the device does not exist.
        RecipeError: when the recipe does not fit the images.
    """
    hardware = choose_hardware(recipe.train)
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with hardware.active(), torch.random.fork_rng(devices=devices):
        classifier = make_classifier(recipe, dataset, None)
        flops = flops_per_image(classifier.model, dataset.image_size, backward=True)
        if not flops:
            return None
        loader = training_loader(recipe, dataset, hardware)
        first_batch = next(loader.epoch(0))
        prepared = timed_step(recipe, classifier.model, classifier.preprocessing, hardware, first_batch)
        batches, average = endless(loader), WeightEMA(classifier.model, recipe.optim.ema)

        def train_step() -> None:
            prepared.step(next(batches))
            average.update(1)

        precision = hardware.autocast or torch.float32
        (step_seconds,), roofline = measure_with_roofline(
            [train_step], hardware.device, precision, seconds, backward=True
        )
    order = loader.order
    images_per_step = min(order.count, order.num_batches * order.batch_size) / order.num_batches
    return Utilization(step_seconds, flops * images_per_step, roofline, str(prepared.hardware))
