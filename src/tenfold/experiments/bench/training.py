"""How fast a recipe trains: whole commands from outside, and what share of the device's speed its steps reach."""

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
from tenfold.engine.step_timing import endless, flops_per_picture, training_step
from tenfold.experiments.bench.roofline import Roof, measure_beside_roof
from tenfold.experiments.bench.timing import ROUNDS, Measured, Work
from tenfold.experiments.bench.whole_runs import WholeRun, run_tenfold, summary_of
from tenfold.optim.averaging import WeightAverage
from tenfold.recipes.schema import Recipe


@dataclass(frozen=True)
class Utilisation:
    """How much of a device training uses.

    Args:
        step_seconds: of one step of training, loading included.
        step_flops: floating-point operations of its convolutions and linear layers, forward and backward.
        roof: the best convolution on the same device, measured in turns with the steps.
        hardware: how the device was used, in words.
    """

    step_seconds: Measured
    step_flops: float
    roof: Roof
    hardware: str

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations a second of training."""
        return self.step_flops / self.step_seconds.median

    @property
    def share(self) -> float:
        """Of the best convolution's operations a second."""
        return self.flops_per_second / self.roof.flops_per_second

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "share": self.share,
            "training_flops_per_second": self.flops_per_second,
            "step_flops": self.step_flops,
            "step_seconds": self.step_seconds.to_json(),
            "best_convolution": self.roof.to_json(),
            "hardware": self.hardware,
        }


@dataclass(frozen=True)
class TrainBench:
    """How fast a recipe trains.

    Args:
        recipe: its name.
        data: name of the pictures.
        settings: of the recipe that were changed, `section.key=value` each.
        runs: whole commands, at least one.
        utilisation: None where it could not be measured.
    """

    recipe: str
    data: str
    settings: tuple[str, ...]
    runs: tuple[WholeRun, ...]
    utilisation: Utilisation | None

    def protocol(self) -> list[str]:
        """Returns what was timed and what was not, one sentence each."""
        count = len(self.runs)
        said = [
            f"{count} whole command{'s' * (count > 1)} of `tenfold train`, one after another, one seed each: wall time "
            "from the start of the process to its end, importing, judging and saving included; no charts are drawn",
            "not timed: preparing the pictures, which lay in their store before",
            "training: the run's own clock, without compiling, which is told apart, and without judging",
            "accuracy: on the test pictures, judged once a run; ± is the standard deviation over the seeds, the "
            "interval the 95 % Wilson interval of the first run",
        ]
        if self.utilisation is not None:
            said.append(
                "utilisation: operations a second of training steps, loading included, over those of the best 3×3 "
                f"convolution, forward and backward, both in this process, in turns, {ROUNDS} rounds after a warm-up; "
                "operations are those of direct convolutions, of which compiled layers need a part only"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single run included."""
        return {
            "benchmark": "train",
            "recipe": self.recipe,
            "data": self.data,
            "settings": list(self.settings),
            "protocol": self.protocol(),
            **summary_of(self.runs),
            "utilisation": None if self.utilisation is None else self.utilisation.to_json(),
        }


def time_runs(recipe: str, flags: Sequence[str], count: int, progress: Progress) -> tuple[WholeRun, ...]:
    """Runs `tenfold train` as often as asked, with the seeds from 0 on; nothing is left on disk.

    Args:
        recipe: a shipped recipe or a TOML file.
        flags: further ones, such as `--data`.
        count: of runs, at least 1.
        progress: is told of each run.

    Raises:
        TrainingError: when one fails.
    """
    found: list[WholeRun] = []
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        for seed in range(count):
            found.append(run_tenfold(recipe, flags, seed, Path(folder)))
            progress.message(f"run {seed + 1} of {count}: {found[-1]}")
    return tuple(found)


def measure_utilisation(recipe: Recipe, dataset: Dataset, seconds: float) -> Utilisation | None:
    """Measures the engine's steps on real batches and the best convolution, in turns; None where nothing is counted.

    Args:
        recipe: complete.
        dataset: its training pictures are learnt from.
        seconds: of measuring for the steps and for each convolution, above 0.

    Raises:
        DeviceError: when the device is not there.
        RecipeError: when the recipe does not fit the pictures.
    """
    hardware = choose_hardware(recipe.train)
    devices = [hardware.device] if hardware.device.type == "cuda" else []
    with hardware.active(), torch.random.fork_rng(devices=devices):
        classifier = make_classifier(recipe, dataset, None)
        flops = flops_per_picture(classifier.model, dataset.image_size, backward=True)
        if not flops:
            return None
        loader = training_loader(recipe, dataset, hardware)
        first = next(loader.epoch(0))
        step, used = training_step(recipe, classifier.model, classifier.preprocessing, hardware, first)
        batches, average = endless(loader), WeightAverage(classifier.model, recipe.optim.ema)

        def once() -> None:
            step(next(batches))
            average.update(1)

        precision = hardware.autocast or torch.float32
        measured, roof = measure_beside_roof(
            [Work(once, step.tally)], hardware.device, precision, seconds, backward=True
        )
    order = loader.order
    pictures = min(order.count, order.batches * order.batch_size) / order.batches
    return Utilisation(measured[0], flops * pictures, roof, str(used))
