"""Benchmark of prediction: single images and many images, from memory and from files."""

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
from tenfold.core.text import size_text
from tenfold.data.decode.fit import fit_image
from tenfold.data.sources.shapes import build_shapes
from tenfold.engine.precision import Hardware
from tenfold.engine.step_timing import flops_per_image
from tenfold.evaluate.views import views_named
from tenfold.experiments.bench.roofline import Roofline, measure_with_roofline
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
from tenfold.runs.artifact import Classifier

_NUM_WARMUP_CALLS = 10
_JPEG_QUALITY = 90


class ImagePredictor(Protocol):
    """What is measured: predicts from arrays, uint8 [H, W, 3], and from files, as `Predictor` does."""

    classifier: Classifier

    def predict(self, image: Any, /) -> object:
        """Returns the prediction for one image."""

    def predict_all(self, images: Any, /) -> Iterable[object]:
        """Returns the predictions for several images."""


@dataclass(frozen=True)
class Latency:
    """Time to predict one image.

    Args:
        seconds: of each call, in the order of the calls.

    Example:
        >>> Latency(tuple(range(1, 101))).p95
        95
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the calls, in seconds."""
        return Samples(self.seconds).median

    @property
    def p95(self) -> float:
        """95th percentile of the calls, in seconds."""
        return sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {"median": self.median, "p95": self.p95, "each": list(self.seconds)}


@dataclass(frozen=True)
class PredictBench:
    """How fast a classifier predicts.

    Args:
        model: its path, or a description.
        hardware: description of the device and its settings.
        image_size: height and width, in pixels.
        num_images: number of images in the large batch.
        flops_per_image: floating-point operations of the network for one image; 0 if none are counted.
        latency: of a single image, for `memory` and `files`.
        seconds: of the large batch, for `memory` and `files`.
        roofline: convolutions, forward, measured in turns with the large batch.
    """

    model: str
    hardware: str
    image_size: tuple[int, int]
    num_images: int
    flops_per_image: float
    latency: dict[str, Latency]
    seconds: dict[str, Samples]
    roofline: Roofline

    def images_per_second(self, source: str) -> float:
        """Returns the throughput of `memory` or `files`."""
        return self.num_images / self.seconds[source].median

    def utilization(self, source: str) -> float | None:
        """Returns the network's operations per second relative to the fastest convolution."""
        if not self.flops_per_image:
            return None
        return self.images_per_second(source) * self.flops_per_image / self.roofline.flops_per_second

    def protocol(self) -> list[str]:
        """Returns sentences that say what was timed and what was not."""
        calls = len(self.latency["memory"].seconds)
        return [
            f"one image: {calls} calls of `predict` one after another, each timed by itself, after "
            f"{_NUM_WARMUP_CALLS} calls of warm-up; from the image to its label and all probabilities, preprocessing "
            "included",
            f"many images: {self.num_images:,} in one call of `predict_all`, {NUM_ROUNDS} rounds after a warm-up",
            f"images are drawn shapes of {size_text(self.image_size)}; files are JPEG (quality {_JPEG_QUALITY}), read "
            "and decoded each time",
            "utilization: the network's operations per second relative to the fastest 3×3 convolution, forward, in "
            "float32, the precision of predictions; both in this process, in turns",
            "not timed: import, loading the model",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single measurement included."""
        return {
            "benchmark": "predict",
            "model": self.model,
            "hardware": self.hardware,
            "protocol": self.protocol(),
            "image_size": list(self.image_size),
            "pictures": self.num_images,
            "picture_flops": self.flops_per_image,
            "sources": {
                source: {
                    "latency_seconds": self.latency[source].to_json(),
                    "pictures_per_second": self.images_per_second(source),
                    "seconds": self.seconds[source].to_json(),
                    "share_of_hardware": self.utilization(source),
                }
                for source in self.seconds
            },
            "best_convolution": self.roofline.to_json(),
        }


def measure_prediction(
    predictor: ImagePredictor, name: str, *, num_images: int, calls: int, seconds: float, progress: Progress
) -> PredictBench:
    """Measures how fast a classifier predicts.

    Args:
        predictor: see `ImagePredictor`.
        name: of the model.
        num_images: number of images in the large batch, at least 1.
        calls: number of calls with a single image, at least 1.
        seconds: measuring time for the large batch of each source and for each convolution, above 0.
        progress: shows what is measured.
    """
    classifier = predictor.classifier
    size, device = classifier.preprocessing.image_size, classifier.device
    images = _draw_images(num_images, size)
    with _saved_files(images) as paths:
        sources: dict[str, Sequence[Any]] = {"memory": images, "files": paths}
        progress.message(f"measuring single images on {device}")
        latency = {source: _measure_latency(predictor.predict, inputs, calls) for source, inputs in sources.items()}
        progress.message("measuring many images and the fastest convolution")
        functions = [_predict_all_function(predictor, inputs) for inputs in sources.values()]
        measured, roofline = measure_with_roofline(functions, device, torch.float32, seconds, backward=False)
    num_views = len(views_named(classifier.views))
    return PredictBench(
        model=name,
        hardware=str(Hardware(device, None, torch.get_num_threads())),
        image_size=size,
        num_images=num_images,
        flops_per_image=flops_per_image(classifier.model, size, backward=False) * num_views,
        latency=latency,
        seconds=dict(zip(sources, measured, strict=True)),
        roofline=roofline,
    )


def _predict_all_function(predictor: ImagePredictor, inputs: Sequence[Any]) -> Callable[[], object]:
    return lambda: list(predictor.predict_all(inputs))


def _measure_latency(predict: Callable[[Any], object], inputs: Sequence[Any], calls: int) -> Latency:
    """Times calls with one image each; no synchronization is needed, because `predict` returns CPU values."""

    def time_call(index: int) -> float:
        started = perf_counter()
        predict(inputs[index % len(inputs)])
        return perf_counter() - started

    for index in range(_NUM_WARMUP_CALLS):
        time_call(index)
    return Latency(tuple(time_call(index) for index in range(calls)))


def _draw_images(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Returns images of shapes, uint8 [H, W, 3] each."""
    images = build_shapes(train=1, test=count).test.images
    return [fit_image(Image.fromarray(image), size, "stretch") for image in images]


@contextmanager
def _saved_files(images: Sequence[NDArray[np.uint8]]) -> Iterator[list[Path]]:
    """Saves images as temporary JPEG files."""
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path, quality=_JPEG_QUALITY)
        yield paths
