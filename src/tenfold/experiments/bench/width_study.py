"""Benchmark of the tutorials' width exercise: training throughput by the width of the first convolution.

PyTorch's "Training a classifier" ends with the exercise to widen the first convolution and look at the speedup of a
GPU. Measured are the engine's training steps on images that are already on the device.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import nn

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.precision import Hardware
from tenfold.engine.setup import memory_format
from tenfold.engine.step_timing import timed_step
from tenfold.experiments.bench.timing import NUM_ROUNDS, measure_in_turns
from tenfold.models.build import build_model
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_NUM_CLASSES, _IMAGE_SIZE, _HALF = 10, (32, 32), (0.5, 0.5, 0.5)
_MIN_IMAGES = 512  # the network would memorize a handful within a second

Row = dict[str, float | int]


@dataclass(frozen=True)
class WidthStudy:
    """Training throughput of a network by the width of its first convolution.

    Args:
        widths: channels of the first convolution, each at least 1.
        parameters: number of parameters of the network at each width.
        throughput: device → images per second at each width.
        devices: device → description, e.g. `cpu, 2 threads, bfloat16`; the keys are those of `throughput`.
        batch_size: images per step.
    """

    widths: tuple[int, ...]
    parameters: tuple[int, ...]
    throughput: dict[str, tuple[float, ...]]
    devices: dict[str, str]
    batch_size: int

    @property
    def baseline(self) -> str:
        """The device to which the others are compared: the CPU if it was measured, else the first device."""
        return "cpu" if "cpu" in self.throughput else next(iter(self.throughput))

    def rows(self) -> list[Row]:
        """Returns a row for each width: `width`, `parameters`, `<device>_per_second` for each device, and a factor
        `<device>_speedup` for each device but the baseline.

        Example:
            >>> study = WidthStudy((6,), (62_006,), {"cpu": (4e3,), "cuda": (6e3,)}, {"cpu": "", "cuda": ""}, 4)
            >>> study.rows()[0]["cuda_speedup"]
            1.5
        """
        baseline = self.throughput[self.baseline]
        return [
            {"width": width, "parameters": self.parameters[index]}
            | {f"{device}_per_second": rates[index] for device, rates in self.throughput.items()}
            | {
                f"{device}_speedup": rates[index] / baseline[index]
                for device, rates in self.throughput.items()
                if device != self.baseline
            }
            for index, width in enumerate(self.widths)
        ]

    def to_json(self) -> dict[str, object]:
        """Returns everything as plain values."""
        return {
            "network": "wide",
            "batch_size": self.batch_size,
            "rounds": NUM_ROUNDS,
            "devices": self.devices,
            "baseline": self.baseline,
            "rows": self.rows(),
        }


def study_widths(
    recipe: Recipe, widths: Sequence[int], hardware: Mapping[str, Hardware], seconds: float, progress: Progress
) -> WidthStudy:
    """Measures how fast the network of `recipe` trains at each width, on one device after the other.

    Args:
        recipe: of a network with `model.width`; its batch size, optimizer and memory format are used.
        widths: channels of the first convolution, at least one.
        hardware: by the name of its device, at least one.
        seconds: measuring time for each width and device, without warm-up, above 0.
        progress: shows what is measured.

    Raises:
        RecipeError: when the network accepts no such width.
        TrainingError: when memory runs out.
    """
    recipes = [resolve(recipe, {"model.width": width}) for width in widths]
    with torch.device("meta"):
        parameters = [sum(weight.numel() for weight in _build_network(each).parameters()) for each in recipes]
    throughput: dict[str, tuple[float, ...]] = {}
    for device, settings in hardware.items():
        progress.message(f"device: {settings}")
        rates: list[float] = []
        for each in recipes:
            progress.prepare(f"measuring on {device}", len(rates), len(recipes))
            with settings.active(), _memory_errors(each, device):
                rates.append(_images_per_second(each, settings, seconds))
        progress.prepare(f"measuring on {device}", len(rates), len(recipes))
        throughput[device] = tuple(rates)
    devices = {device: str(settings) for device, settings in hardware.items()}
    return WidthStudy(tuple(widths), tuple(parameters), throughput, devices, recipe.train.batch_size)


def _build_network(recipe: Recipe) -> nn.Module:
    return build_model(recipe.model.name, recipe.model.arguments, num_classes=_NUM_CLASSES, image_size=_IMAGE_SIZE)


def _images_per_second(recipe: Recipe, hardware: Hardware, seconds: float) -> float:
    """Returns the median over several rounds that take `seconds` together; the hardware must be active."""
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        model = _build_network(recipe)
    preprocessing = Preprocessing(_IMAGE_SIZE, recipe.data.fit, _HALF, _HALF)
    batches = _random_batches(recipe, hardware.device)
    step = timed_step(recipe, model, preprocessing, hardware, batches[0]).step
    endless_batches = cycle(batches)
    (step_seconds,) = measure_in_turns([lambda: step(next(endless_batches))], hardware.device, seconds)
    return recipe.train.batch_size / step_seconds.median


def _random_batches(recipe: Recipe, device: torch.device) -> list[Batch]:
    """Returns batches of random images on the device."""
    size = recipe.train.batch_size
    count = max(_MIN_IMAGES // size, 4) * size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, *_IMAGE_SIZE), dtype=torch.uint8, generator=generator)
    images = images.to(device).contiguous(memory_format=memory_format(recipe))  # N 3 H W
    labels = torch.randint(_NUM_CLASSES, (count,), generator=generator).to(device)
    parts = (images.split(size), labels.split(size), torch.arange(count, device=device).split(size))
    return [Batch(*part) for part in zip(*parts, strict=True)]


@contextmanager
def _memory_errors(recipe: Recipe, device: str) -> Iterator[None]:
    """Turns PyTorch's out-of-memory errors into a TrainingError of one line."""
    try:
        yield
    except RuntimeError as error:
        if "alloc" not in str(error).lower():
            raise
        width, size = recipe.model.arguments["width"], recipe.train.batch_size
        raise TrainingError(
            f"out of memory on {device} at width {width} with batches of {size}; "
            f"try --batch-size {max(1, size // 2)}, or leave out the greatest --widths"
        ) from error
