"""How fast a trained classifier answers: one picture, many pictures, from memory and from files."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.progress import Progress
from tenfold.data.decode.preprocessing import fit_picture
from tenfold.data.sources.shapes import build_shapes
from tenfold.engine.precision import Hardware
from tenfold.engine.step_timing import flops_per_picture
from tenfold.evaluate.views import views_named
from tenfold.experiments.bench.roofline import Roof, measure_beside_roof
from tenfold.experiments.bench.timing import ROUNDS, Measured, Work
from tenfold.runs.artifact import Classifier

_FIRST_CALLS = 10
_QUALITY = 90  # of the JPEG files


class Answering(Protocol):
    """What is measured: a classifier that takes pixels, uint8 [H, W, 3], and files, as `Predictor` does."""

    classifier: Classifier

    def predict(self, picture: Any) -> object:
        """Says what one picture shows."""

    def predict_all(self, pictures: Any) -> Iterable[object]:
        """Says what each picture shows."""


@dataclass(frozen=True)
class Latency:
    """How long one picture takes.

    Args:
        seconds: of each call, in the order of the calls.

    Example:
        >>> Latency(tuple(range(1, 101))).p95
        95
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of half of the calls, at most."""
        return Measured(self.seconds).median

    @property
    def p95(self) -> float:
        """Seconds that 95 % of the calls do not exceed."""
        return sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {"median": self.median, "p95": self.p95, "each": list(self.seconds)}


@dataclass(frozen=True)
class PredictBench:
    """How fast a classifier answers.

    Args:
        model: what it is, in words.
        hardware: the device, in words.
        image_size: height and width, in pixels.
        pictures: judged at once where there are many.
        picture_flops: floating-point operations of the network for one picture; 0 where nothing is counted.
        latency: of a single picture, `memory` and `files`.
        seconds: of many pictures, `memory` and `files`.
        roof: the best convolution, forward, measured in turns with the many pictures.
    """

    model: str
    hardware: str
    image_size: tuple[int, int]
    pictures: int
    picture_flops: float
    latency: dict[str, Latency]
    seconds: dict[str, Measured]
    roof: Roof

    def pictures_per_second(self, source: str) -> float:
        """Returns how many pictures a second come out of `memory` or `files`."""
        return self.pictures / self.seconds[source].median

    def share(self, source: str) -> float | None:
        """Returns the network's operations a second over those of the best convolution."""
        if not self.picture_flops:
            return None
        return self.pictures_per_second(source) * self.picture_flops / self.roof.flops_per_second

    def protocol(self) -> list[str]:
        """Returns what was timed and what was not, one sentence each."""
        calls = len(self.latency["memory"].seconds)
        height, width = self.image_size
        return [
            f"one picture: {calls} calls of `predict` one after another, each timed by itself, after {_FIRST_CALLS} "
            "that are not; from the picture to its label and all probabilities, preprocessing included",
            f"many pictures: {self.pictures:,} at once through `predict_all`, {ROUNDS} rounds after a warm-up",
            f"pictures are drawn shapes of {height}×{width}; files are JPEG (quality {_QUALITY}), read and decoded "
            "each time",
            "share of the hardware: the network's operations a second over those of the best 3×3 convolution, forward, "
            "in float32, in which predictions are computed; both in this process, in turns",
            "not timed: importing, loading the model",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single measurement included."""
        return {
            "benchmark": "predict",
            "model": self.model,
            "hardware": self.hardware,
            "protocol": self.protocol(),
            "image_size": list(self.image_size),
            "pictures": self.pictures,
            "picture_flops": self.picture_flops,
            "sources": {
                source: {
                    "latency_seconds": self.latency[source].to_json(),
                    "pictures_per_second": self.pictures_per_second(source),
                    "seconds": self.seconds[source].to_json(),
                    "share_of_hardware": self.share(source),
                }
                for source in self.seconds
            },
            "best_convolution": self.roof.to_json(),
        }


def measure_prediction(
    predictor: Answering, name: str, *, pictures: int, calls: int, seconds: float, progress: Progress
) -> PredictBench:
    """Measures how fast a classifier answers.

    Args:
        predictor: see `Answering`.
        name: what it is, in words.
        pictures: judged at once where there are many, at least 1.
        calls: with a single picture, at least 1.
        seconds: of measuring many pictures, for each source and each convolution, above 0.
        progress: is told what is measured.
    """
    classifier = predictor.classifier
    size, device = classifier.preprocessing.image_size, classifier.device
    drawn = _drawn(pictures, size)
    with _saved(drawn) as files:
        sources: dict[str, Sequence[Any]] = {"memory": drawn, "files": files}
        progress.message(f"measuring single pictures on {device}")
        latency = {source: _latency(predictor.predict, some, calls) for source, some in sources.items()}
        progress.message("measuring many pictures and the best convolution")
        works = [_judging(predictor, some) for some in sources.values()]
        measured, roof = measure_beside_roof(works, device, torch.float32, seconds, backward=False)
    return PredictBench(
        model=name,
        hardware=str(Hardware(device, None, torch.get_num_threads())),
        image_size=size,
        pictures=pictures,
        picture_flops=flops_per_picture(classifier.model, size, backward=False) * len(views_named(classifier.views)),
        latency=latency,
        seconds=dict(zip(sources, measured, strict=True)),
        roof=roof,
    )


def _judging(predictor: Answering, pictures: Sequence[Any]) -> Work:
    return Work(lambda: list(predictor.predict_all(pictures)))


def _latency(predict: Callable[[Any], object], pictures: Sequence[Any], calls: int) -> Latency:
    """Times calls with one picture each; a prediction is on the CPU when the call returns."""

    def timed(place: int) -> float:
        began = perf_counter()
        predict(pictures[place % len(pictures)])
        return perf_counter() - began

    for place in range(_FIRST_CALLS):
        timed(place)
    return Latency(tuple(timed(place) for place in range(calls)))


def _drawn(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Returns pictures of shapes, uint8 [H, W, 3] each."""
    images = build_shapes(train=1, test=count).test.images
    return [fit_picture(Image.fromarray(image), size, "stretch") for image in images]


@contextmanager
def _saved(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[Path]]:
    """Saves pictures as JPEG files, which are gone in the end."""
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        files = [Path(folder) / f"{number}.jpg" for number in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(file, quality=_QUALITY)
        yield files
