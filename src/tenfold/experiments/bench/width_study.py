"""How fast networks train: the tutorials' width exercise.

"Make the first convolution wider, and see what speed-up you get" from a GPU: so ends PyTorch's "Training a
classifier". What is measured are the engine's own steps, on pictures that lie on the device already.
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
from tenfold.engine.step_timing import training_step
from tenfold.experiments.bench.timing import ROUNDS, Work, measure_in_turns
from tenfold.models.build import build_model
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

_CLASSES, _IMAGE_SIZE, _HALF = 10, (32, 32), (0.5, 0.5, 0.5)
_PICTURES = 512  # so many at least: a handful would be learnt by heart within a second

Row = dict[str, float | int]


@dataclass(frozen=True)
class WidthStudy:
    """How many pictures a second a network learns from, by the width of its first convolution.

    Args:
        widths: channels of the first convolution, each at least 1.
        parameters: of the network at each width.
        throughput: device → pictures a second at each width.
        devices: device → how it was used, e.g. `cpu, 2 threads, bfloat16`; the names are those of `throughput`.
        batch_size: pictures in a step.
    """

    widths: tuple[int, ...]
    parameters: tuple[int, ...]
    throughput: dict[str, tuple[float, ...]]
    devices: dict[str, str]
    batch_size: int

    @property
    def baseline(self) -> str:
        """The device that the others are compared with: the CPU, or else the first."""
        return "cpu" if "cpu" in self.throughput else next(iter(self.throughput))

    def rows(self) -> list[Row]:
        """Returns a row for each width: `width`, `parameters`, for each device `<device>_per_second`, and for each
        other than the baseline `<device>_speedup`, a factor.

        Example:
            >>> study = WidthStudy((6,), (62_006,), {"cpu": (4e3,), "cuda": (6e3,)}, {"cpu": "", "cuda": ""}, 4)
            >>> study.rows()[0]["cuda_speedup"]
            1.5
        """
        base = self.throughput[self.baseline]
        return [
            {"width": width, "parameters": self.parameters[place]}
            | {f"{device}_per_second": rates[place] for device, rates in self.throughput.items()}
            | {
                f"{device}_speedup": rates[place] / base[place]
                for device, rates in self.throughput.items()
                if device != self.baseline
            }
            for place, width in enumerate(self.widths)
        ]

    def to_json(self) -> dict[str, object]:
        """Returns everything as plain values."""
        return {
            "network": "wide",
            "batch_size": self.batch_size,
            "rounds": ROUNDS,
            "devices": self.devices,
            "baseline": self.baseline,
            "rows": self.rows(),
        }


def study_widths(
    recipe: Recipe, widths: Sequence[int], machines: Mapping[str, Hardware], seconds: float, progress: Progress
) -> WidthStudy:
    """Measures how fast the network of `recipe` trains at each width, on one device after the other.

    Args:
        recipe: of a network with `model.width`; its batch size, optimiser and memory format count.
        widths: channels of the first convolution, at least one.
        machines: hardware by the name of its device, at least one.
        seconds: of measuring for each width and device, warm-up excluded, above 0.
        progress: is told how far the measuring is.

    Raises:
        RecipeError: when the network takes no such width.
        TrainingError: when memory runs out.
    """
    recipes = [resolve(recipe, {"model.width": width}) for width in widths]
    with torch.device("meta"):
        parameters = [sum(weight.numel() for weight in _network(each).parameters()) for each in recipes]
    throughput: dict[str, tuple[float, ...]] = {}
    for device, hardware in machines.items():
        progress.message(f"device: {hardware}")
        rates: list[float] = []
        for each in recipes:
            progress.prepare(f"measuring on {device}", len(rates), len(recipes))
            with hardware.active(), _memory_explained(each, device):
                rates.append(_pictures_per_second(each, hardware, seconds))
        progress.prepare(f"measuring on {device}", len(rates), len(recipes))
        throughput[device] = tuple(rates)
    devices = {device: str(hardware) for device, hardware in machines.items()}
    return WidthStudy(tuple(widths), tuple(parameters), throughput, devices, recipe.train.batch_size)


def _network(recipe: Recipe) -> nn.Module:
    return build_model(recipe.model.name, recipe.model.arguments, classes=_CLASSES, image_size=_IMAGE_SIZE)


def _pictures_per_second(recipe: Recipe, hardware: Hardware, seconds: float) -> float:
    """Returns the median over several rounds that take `seconds` together; the hardware must be active."""
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        model = _network(recipe)
    preprocessing = Preprocessing(_IMAGE_SIZE, recipe.data.fit, _HALF, _HALF)
    batches = _batches(recipe, hardware.device)
    step, _ = training_step(recipe, model, preprocessing, hardware, batches[0])
    turning = cycle(batches)
    work = Work(lambda: step(next(turning)), step.tally)  # or the losses of all rounds would pile up
    (measured,) = measure_in_turns([work], hardware.device, seconds)
    return recipe.train.batch_size / measured.median


def _batches(recipe: Recipe, device: torch.device) -> list[Batch]:
    """Returns batches of random pictures that lie on the device."""
    size = recipe.train.batch_size
    count = max(_PICTURES // size, 4) * size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, *_IMAGE_SIZE), dtype=torch.uint8, generator=generator)
    images = images.to(device).contiguous(memory_format=memory_format(recipe))  # N 3 H W
    labels = torch.randint(_CLASSES, (count,), generator=generator).to(device)
    parts = (images.split(size), labels.split(size), torch.arange(count, device=device).split(size))
    return [Batch(*part) for part in zip(*parts, strict=True)]


@contextmanager
def _memory_explained(recipe: Recipe, device: str) -> Iterator[None]:
    """Turns what PyTorch says when memory runs out into one line."""
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
