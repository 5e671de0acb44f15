"""A trained classifier that takes files and gives names."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from tenfold.core.errors import DataError
from tenfold.data.decode.preprocessing import fit_picture
from tenfold.data.types import Split
from tenfold.evaluate.metrics import Evaluation
from tenfold.runs.artifact import Classifier

_AT_ONCE = 256
"""Pictures decoded before they are judged; bounds the memory."""

_SHARED_FROM = 8
"""Pictures from which on threads share the decoding; a few are done before the threads have begun."""

_HANDED_OVER, _PARTS = 16, 32
"""Pictures that a thread gets at once, at most: handing over a single small one takes as long as decoding it; and parts
that a few pictures, which may be large, are at least cut into."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one picture.

    Args:
        path: of the picture, or its place in an array.
        label: the likeliest class, or None where the picture could not be read.
        probability: of that class, in [0, 1].
        probabilities: of every class, likeliest first.
        error: why the picture could not be read.
    """

    path: str
    label: str | None
    probability: float
    probabilities: dict[str, float]
    error: str | None = None


class Predictor:
    """A trained classifier; see `tenfold.load`.

    Args:
        classifier: network, class names, preprocessing.

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
    def model(self) -> nn.Module:
        """The network, in evaluation mode: normalised pictures, float [B, 3, H, W] → logits, float [B, C]."""
        return self.classifier.model

    def predict(self, picture: str | Path | NDArray[np.uint8]) -> Prediction:
        """Says what one picture shows.

        Args:
            picture: a file, or pixels as uint8 [H, W, 3].

        Raises:
            DataError: when the picture cannot be read.
        """
        prediction = next(iter(self.predict_all([picture])))
        if prediction.error is not None:
            raise DataError(prediction.error)
        return prediction

    def predict_all(self, pictures: Iterable[str | Path | NDArray[np.uint8]]) -> Iterable[Prediction]:
        """Yields a prediction for each picture, in order; one that cannot be read carries its `error`.

        Args:
            pictures: files, or pixels as uint8 [H, W, 3].
        """
        waiting: list[str | Path | NDArray[np.uint8]] = []
        first = 0
        for picture in pictures:
            waiting.append(picture)
            if len(waiting) == _AT_ONCE:
                yield from self._predict_batch(waiting, first)
                first, waiting = first + len(waiting), []
        yield from self._predict_batch(waiting, first)

    def evaluate(self, split: Split) -> Evaluation:
        """Returns how well `split` is classified; its labels must follow the order of `classes`."""
        return self.classifier.evaluate(split)

    def _predict_batch(self, pictures: Sequence[str | Path | NDArray[np.uint8]], first: int) -> Iterable[Prediction]:
        names = [str(first + i) if isinstance(p, np.ndarray) else str(p) for i, p in enumerate(pictures)]
        loaded = self._load_all(pictures, names)
        readable = [pixels for pixels in loaded if not isinstance(pixels, str)]
        rows = iter(self._probabilities(readable))
        for name, pixels in zip(names, loaded, strict=True):
            if isinstance(pixels, str):
                yield Prediction(name, None, 0.0, {}, error=pixels)
            else:
                yield self._prediction(name, next(rows))

    def _load_all(
        self, pictures: Sequence[str | Path | NDArray[np.uint8]], names: Sequence[str]
    ) -> list[NDArray[np.uint8] | str]:
        pairs = list(zip(pictures, names, strict=True))
        size = self.classifier.preprocessing.image_size
        ready = all(isinstance(picture, np.ndarray) and picture.shape[:2] == size for picture in pictures)
        if ready or len(pairs) < _SHARED_FROM:
            return [self._load(*pair) for pair in pairs]
        some = min(_HANDED_OVER, -(-len(pairs) // _PARTS))
        parts = [pairs[start : start + some] for start in range(0, len(pairs), some)]
        with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # decoders let go of the interpreter
            return list(chain.from_iterable(pool.map(lambda part: [self._load(*pair) for pair in part], parts)))

    def _load(self, picture: str | Path | NDArray[np.uint8], name: str) -> NDArray[np.uint8] | str:
        """Returns the pixels as the model needs them, or why there are none."""
        preprocessing = self.classifier.preprocessing
        try:
            if isinstance(picture, np.ndarray):
                _check(picture, name)
                return fit_picture(Image.fromarray(picture), preprocessing.image_size, preprocessing.fit)
            return preprocessing.load(Path(picture), name)
        except DataError as error:
            return str(error)

    def _probabilities(self, pixels: Sequence[NDArray[np.uint8]]) -> list[list[float]]:
        if not pixels:
            return []
        split = Split(np.stack(pixels), np.zeros(len(pixels), np.int64))
        probabilities: list[list[float]] = torch.softmax(self.classifier.logits(split), dim=1).tolist()
        return probabilities

    def _prediction(self, name: str, row: list[float]) -> Prediction:
        ranked = sorted(zip(self.classes, row, strict=True), key=lambda pair: -pair[1])
        label, probability = ranked[0]
        return Prediction(name, label, probability, dict(ranked))


def _check(pixels: NDArray[np.uint8], name: str) -> None:
    """Raises DataError when an array is no picture."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"picture {name} is an array of {pixels.dtype} {list(pixels.shape)}; expected uint8 [H, W, 3], red first"
        )
