"""A trained classifier that takes image files and returns class names."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from tenfold.core.errors import DataError
from tenfold.data.decode.preprocessing import Preprocessing, fit_image
from tenfold.data.types import Split
from tenfold.evaluate.metrics import Evaluation
from tenfold.runs.artifact import Classifier

ImageSource = str | Path | NDArray[np.uint8]
"""The path of an image file, or pixels, uint8 [H, W, 3]."""

_BATCH_SIZE = 256
"""Number of images that are decoded before they are predicted; bounds the memory."""

_THREADS_FROM = 8
"""Minimum number of images that are decoded in threads; fewer are decoded before the threads have started."""

_MAX_CHUNK, _MIN_CHUNKS = 16, 32
"""Images that a thread gets at once: at most 16, because handing over one small image takes as long as decoding it;
and so few that there are at least 32 chunks, because images may be large."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for an image.

    Args:
        path: of the image, or its position if it was an array.
        label: the most likely class, or None if the image could not be read.
        probability: of that class, in [0, 1]; calibrated where `calibrated` is true.
        probabilities: of every class, the most likely first.
        error: why the image could not be read.
        raw_probability: of `label` as the network gives it, without a temperature.
        calibrated: whether a temperature was fitted, so that of the images with a probability of 0.8, about 80 % are
            predicted correctly.
    """

    path: str
    label: str | None
    probability: float
    probabilities: dict[str, float]
    error: str | None = None
    raw_probability: float = 0.0
    calibrated: bool = False


class Predictor:
    """A trained classifier; see `tenfold.load`.

    Args:
        classifier: network, class names and preprocessing.

    Example:
        >>> predictor = tenfold.load("runs/cifar10-quick/last.safetensors")  # doctest: +SKIP
        >>> predictor.predict("cat.jpg").label  # doctest: +SKIP
        'cat'
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.classifier.classes

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities are calibrated: a run with validation images fits a temperature to them."""
        return self.classifier.temperature is not None

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode: normalized images, float [B, 3, H, W] → logits, float [B, C]."""
        return self.classifier.model

    def evaluate(self, split: Split) -> Evaluation:
        """Evaluates the classifier on `split`, whose labels must be indices of `classes`."""
        return self.classifier.evaluate(split)

    def predict(self, image: ImageSource) -> Prediction:
        """Predicts the class of one image.

        Args:
            image: a file, or pixels, uint8 [H, W, 3].

        Raises:
            DataError: when the image cannot be read.
        """
        (prediction,) = self._predict_batch([image], 0)
        if prediction.error is not None:
            raise DataError(prediction.error)
        return prediction

    def predict_all(self, images: Iterable[ImageSource]) -> Iterable[Prediction]:
        """Yields a prediction for each image, in order; the prediction of an unreadable one has an `error`.

        Args:
            images: files, or pixels, uint8 [H, W, 3].
        """
        rest, first = iter(images), 0
        while batch := list(islice(rest, _BATCH_SIZE)):
            yield from self._predict_batch(batch, first)
            first += len(batch)

    def _predict_batch(self, sources: Sequence[ImageSource], first: int) -> Iterable[Prediction]:
        """Yields the predictions of one batch; `first` is the position of its first image."""
        decoded = _decode_all(sources, first, self.classifier.preprocessing)
        images = [each.image for each in decoded if each.image is not None]
        rows = iter(self._probabilities(np.stack(images)) if images else ())
        for each in decoded:
            if each.image is None:
                yield Prediction(each.name, None, 0.0, {}, error=each.error)
                continue
            raw, shown = next(rows)
            order = sorted(range(len(raw)), key=lambda index: -raw[index])  # calibrated ones may be rounded to equal
            ranked = {self.classes[index]: shown[index] for index in order}
            label = self.classes[order[0]]
            yield Prediction(each.name, label, ranked[label], ranked, None, raw[order[0]], self.calibrated)

    def _probabilities(self, images: NDArray[np.uint8]) -> Iterator[tuple[list[float], list[float]]]:
        """Yields the raw probabilities of each image, and those to show."""
        logits = self.classifier.logits(images)
        return zip(logits.softmax(1).tolist(), self.classifier.probabilities(logits).tolist(), strict=True)


@dataclass(frozen=True)
class _Decoded:
    """A decoded image, uint8 [H, W, 3], or the reason why there is none."""

    name: str
    image: NDArray[np.uint8] | None
    error: str | None = None


def _decode_all(sources: Sequence[ImageSource], first: int, preprocessing: Preprocessing) -> list[_Decoded]:
    """Decodes images to the size of the network, in threads if that is faster."""

    def decode(chunk: Iterable[int]) -> list[_Decoded]:
        return [_decode(sources[index], first + index, preprocessing) for index in chunk]

    count, size = len(sources), preprocessing.image_size
    ready = all(isinstance(source, np.ndarray) and source.shape[:2] == size for source in sources)
    if ready or count < _THREADS_FROM:
        return decode(range(count))
    chunk_size = min(_MAX_CHUNK, -(-count // _MIN_CHUNKS))
    chunks = [range(start, min(start + chunk_size, count)) for start in range(0, count, chunk_size)]
    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # Pillow's decoders release the GIL
        return list(chain.from_iterable(pool.map(decode, chunks)))


def _decode(source: ImageSource, position: int, preprocessing: Preprocessing) -> _Decoded:
    name = str(position) if isinstance(source, np.ndarray) else str(source)
    try:
        if isinstance(source, np.ndarray):
            _check_array(source, name)
            image = fit_image(Image.fromarray(source), preprocessing.image_size, preprocessing.fit)
        else:
            image = preprocessing.load(Path(source), name)
    except DataError as error:
        return _Decoded(name, None, str(error))
    return _Decoded(name, image)


def _check_array(array: NDArray[np.uint8], name: str) -> None:
    """Raises DataError if an array is not an image."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(
            f"image {name} is an array of {array.dtype} {list(array.shape)}; expected uint8 [H, W, 3] in RGB order"
        )
