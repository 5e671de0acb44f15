"""A trained classifier that takes image files and returns class names."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from torch import Tensor, nn

from tenfold.core.errors import DataError
from tenfold.core.text import percent, size_text
from tenfold.data.arrays import as_array, described, image_of
from tenfold.data.decode.decode import upright_rgb
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Split
from tenfold.evaluate.metrics import Evaluation
from tenfold.runs.artifact import Classifier

ImageSource = str | Path | Image.Image | NDArray[np.uint8] | Tensor
"""The path of an image file, a PIL image, or pixels: uint8 [H, W, 3], [3, H, W] or gray [H, W]."""

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
        path: of the image, or its position if it was not a file.
        label: the most likely class, or None if the image could not be read.
        probability: of that class, in [0, 1]; calibrated where `calibrated` is true.
        probabilities: of every class, the most likely first.
        error: why the image could not be read.
        raw_probability: of `label` as the network gives it, without a temperature.
        calibrated: whether a temperature was fitted, so that of the images with a probability of 0.8, about 80 % are
            predicted correctly.
        warning: how the image is very unlike the training images in size or shape; None if it is not, or unknown.
    """

    path: str
    label: str | None
    probability: float
    probabilities: dict[str, float]
    error: str | None = None
    raw_probability: float = 0.0
    calibrated: bool = False
    warning: str | None = None

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Prediction({self.path!r}, error={self.error!r})"
        kind = "calibrated" if self.calibrated else "not calibrated"
        return f"Prediction({self.path!r}, {self.label!r} {percent(self.probability)}, {kind})"


@dataclass(frozen=True)
class ReadImage:
    """An image that was read, or the reason why it could not be.

    Args:
        name: path, or position.
        image: uint8 [H, W, 3], or None.
        error: why there is none.
        warning: see `Prediction`.
    """

    name: str
    image: NDArray[np.uint8] | None
    error: str | None = None
    warning: str | None = None


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

    def __repr__(self) -> str:
        size = size_text(self.classifier.preprocessing.image_size)
        kind = "calibrated" if self.calibrated else "not calibrated"
        return f"Predictor({type(self.model).__name__}, {len(self.classes):,} classes, {size}, {kind})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.classifier.classes

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities are calibrated: the run fitted a temperature, as all with validation images do."""
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
            image: a file, a PIL image of any mode, or pixels: uint8 [H, W, 3], [3, H, W] or gray [H, W].

        Raises:
            DataError: when the image cannot be read, or is none of these.
        """
        (prediction,) = self._predict_all([image])
        if prediction.error is not None:
            raise DataError(prediction.error)
        return prediction

    def predict_all(self, images: Iterable[ImageSource]) -> Iterable[Prediction]:
        """Yields a prediction for each image, in order; the prediction of an unreadable one has an `error`.

        Args:
            images: files, PIL images and pixels, as for `predict`, also mixed; an array of paths; or pixels, uint8
                [N, H, W, 3], [N, 3, H, W] or gray [N, H, W].

        Raises:
            DataError: when `images` is a single image, or no collection.
        """
        if not _is_collection(images):
            raise DataError(
                f"found {described(images)}; expected several images, such as [image] or uint8 [N, H, W, 3]"
            )
        return self._predict_all(images)

    def _predict_all(self, images: Iterable[ImageSource]) -> Iterator[Prediction]:
        for decoded in read_images(images, self.classifier.preprocessing):
            yield from self._predict_batch(decoded)

    def _predict_batch(self, decoded: Sequence[ReadImage]) -> Iterable[Prediction]:
        """Yields the predictions of one batch."""
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
            yield Prediction(
                each.name, label, ranked[label], ranked, None, raw[order[0]], self.calibrated, each.warning
            )

    def _probabilities(self, images: NDArray[np.uint8]) -> Iterator[tuple[list[float], list[float]]]:
        """Yields the raw probabilities of each image, and those to show."""
        logits = self.classifier.logits(images)
        return zip(logits.softmax(1).tolist(), self.classifier.probabilities(logits).tolist(), strict=True)


def _is_collection(images: object) -> bool:
    """Returns whether these are several images, and not one."""
    if isinstance(images, str | Path | Image.Image) or not isinstance(images, Iterable):
        return False
    dimensions = getattr(images, "ndim", None)
    if dimensions == 1:
        array = as_array(images)
        return array is not None and array.dtype.kind in "OUT"  # of paths, also as a column of a table
    shape: Sequence[int] = getattr(images, "shape", ())
    return dimensions in (None, 4) or (dimensions == 3 and shape[2] != 3)  # gray images, and not one in RGB


def read_images(images: Iterable[ImageSource], preprocessing: Preprocessing) -> Iterator[list[ReadImage]]:
    """Yields images in batches, brought to the size of a network; the pixels of one that cannot be read are None.

    Args:
        images: see `Predictor.predict_all`.
        preprocessing: of the network.
    """
    rest, first = iter(images), 0
    while batch := list(islice(rest, _BATCH_SIZE)):
        yield _decode_all(batch, first, preprocessing)
        first += len(batch)


def _decode_all(sources: Sequence[ImageSource], first: int, preprocessing: Preprocessing) -> list[ReadImage]:
    """Decodes images to the size of the network, in threads if that is faster."""

    def decode(chunk: Iterable[int]) -> list[ReadImage]:
        return [_decode(sources[index], first + index, preprocessing) for index in chunk]

    count, size = len(sources), preprocessing.stored_size
    ready = all(getattr(source, "shape", ())[:2] == size for source in sources)
    if ready or count < _THREADS_FROM:
        return decode(range(count))
    chunk_size = min(_MAX_CHUNK, -(-count // _MIN_CHUNKS))
    chunks = [range(start, min(start + chunk_size, count)) for start in range(0, count, chunk_size)]
    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # Pillow's decoders release the GIL
        return list(chain.from_iterable(pool.map(decode, chunks)))


def _decode(source: ImageSource, position: int, preprocessing: Preprocessing) -> ReadImage:
    name = str(source) if isinstance(source, str | Path) else str(position)
    try:
        if isinstance(source, str | Path):
            return _of_file(Path(source), name, preprocessing)
        if isinstance(source, Image.Image) and _is_unread_jpeg(source):
            return _of_file(Path(os.fsdecode(source.filename)), name, preprocessing)
        image = _upright(source, name) if isinstance(source, Image.Image) else Image.fromarray(image_of(source, name))
        warning = preprocessing.warning_about((image.height, image.width))
        return ReadImage(name, preprocessing.fitted(image), None, warning)
    except DataError as error:
        return ReadImage(name, None, str(error))


def _of_file(path: Path, name: str, preprocessing: Preprocessing) -> ReadImage:
    size, image = preprocessing.load_sized(path, name)
    return ReadImage(name, image, None, preprocessing.warning_about(size))


def _is_unread_jpeg(image: Image.Image) -> TypeGuard[ImageFile.ImageFile]:
    """Returns whether only the header of a JPEG file was read. Its file is then decoded as if it had been named.

    A large JPEG is decoded at a fraction of its size, which gives slightly other pixels than resizing it does.
    """
    is_file = isinstance(image, ImageFile.ImageFile) and bool(image.filename)
    return is_file and image.format == "JPEG" and getattr(image, "fp", None) is not None


def _upright(image: Image.Image, name: str) -> Image.Image:
    try:
        return upright_rgb(image)
    except DataError as error:
        raise DataError(f"image {name}: {error}") from None
