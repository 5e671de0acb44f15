"""Fits images to one size, and normalizes them for a model: the same way for training, evaluation and prediction.

`decode.py` turns a file into RGB. Shapes: B images, H×W pixels, 3 channels (red, green, blue).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, size_text
from tenfold.data.decode.decode import FORMAT_NAMES, Source, decode_sized
from tenfold.data.decode.fit import fit_image
from tenfold.data.decode.fit_rule import stored_size
from tenfold.data.decode.margin import Images, centered, sides

if TYPE_CHECKING:
    import torch


MIN_SIDE = 8
MAX_SIDE = 1024
"""Smallest and largest side in pixels that images may be fitted to."""

_MAX_INPUT_PIXELS = 1 << 24
"""Largest input of a network: arrays may be larger than `MAX_SIDE`, and a model file may ask for anything."""

_MAX_SCALE, _MAX_STRETCH = 10, 3
"""How much larger or smaller, and how much wider or narrower than the training images an image may be, as factors."""


def open_image(source: Source, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Returns an image as upright RGB, by the rule of `decode.py`.

    Args:
        source: a path, the bytes of a file, or an open file.
        name: what error messages call it.
        at_least: height and width that `fit_image` will be asked for. A JPEG at least four times as large is then
            decoded at a half, a quarter or an eighth of its size, but never below twice this size.

    Raises:
        DataError: when the file is no such image, is damaged, empty or too large; with name and reason.
    """
    return _open_sized(source, name, at_least)[1]


def _open_sized(source: Source, name: str, at_least: tuple[int, int] | None) -> tuple[tuple[int, int], Image.Image]:
    try:
        return decode_sized(source, at_least)
    except DataError as error:
        raise DataError(f"{escaped(name)}: {error}; expected a whole {FORMAT_NAMES} file") from None


Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a model's input; it is stored with the model.

    Args:
        image_size: height and width of the network's input, in pixels.
        fit: a value of `data.fit`, see `parse_fit` in `fit_rule.py`.
        mean: mean of each channel, for pixels in [0, 1].
        std: standard deviation of each channel, for pixels in [0, 1], above 0.
        typical_size: median height and width of the training images before they were brought to size; None if unknown.

    Raises:
        DataError: when a value is invalid.

    Example:
        >>> half = Preprocessing((32, 32), "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> Preprocessing.from_json(half.to_json()) == half
        True
    """

    image_size: tuple[int, int]
    fit: str
    mean: Channels
    std: Channels
    typical_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise DataError(f"image size is {self.image_size}; expected height and width, each at least 1")
        if math.prod(self.stored_size) > _MAX_INPUT_PIXELS:
            raise DataError(f"image size is {self.stored_size}; expected at most {_MAX_INPUT_PIXELS:,} pixels")
        if len(self.mean) != 3 or len(self.std) != 3 or not np.isfinite([*self.mean, *self.std]).all():
            raise DataError(f"mean is {self.mean}, std {self.std}; expected three finite numbers each")
        if self.typical_size is not None and not (len(self.typical_size) == 2 and min(self.typical_size) >= 1):
            raise DataError(f"typical size is {self.typical_size}; expected height and width, each at least 1")
        if min(self.std) <= 0:
            raise DataError(f"std is {self.std}; expected three numbers above 0")

    def load(self, source: Source, name: str = "") -> NDArray[np.uint8]:
        """Returns an image file as uint8 [H, W, 3].

        Args:
            source: see `open_image`.
            name: what an error message calls it; the path by default.

        Raises:
            DataError: when the file cannot be read.
        """
        return self.load_sized(source, name)[1]

    def load_sized(self, source: Source, name: str = "") -> tuple[tuple[int, int], NDArray[np.uint8]]:
        """Returns height and width of the image in its file, and what `load` returns."""
        name = name or (str(source) if isinstance(source, Path) else "image")
        size, image = _open_sized(source, name, self.stored_size)
        return size, self.fitted(image)

    def fitted(self, image: Image.Image) -> NDArray[np.uint8]:
        """Returns an upright RGB image as the network sees it, uint8 [H, W, 3]: that of a store, without its margin."""
        return centered(fit_image(image, self.stored_size, self.fit), self.image_size)

    def all_fitted(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns images, uint8 [N, H, W, 3], as the network sees them; those of a store or of its size unchanged."""
        if not len(images) or sides(images) in (self.stored_size, self.image_size):
            return images
        return np.stack([self.fitted(Image.fromarray(image)) for image in images])

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the images in a store, in pixels: with a margin where `fit` has a fraction."""
        return stored_size(self.image_size, self.fit)

    def center(self, images: Images) -> Images:
        """Returns images without the margin of stored ones; images of another size than those are left as they are.

        Args:
            images: an array [..., H, W, 3] or a tensor [..., 3, H, W].

        Example:
            >>> half = Preprocessing((224, 224), "crop:0.875", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
            >>> half.center(np.zeros((1, 256, 256, 3), np.uint8)).shape
            (1, 224, 224, 3)
        """
        return centered(images, self.image_size) if sides(images) == self.stored_size else images

    def warning_about(self, size: tuple[int, int]) -> str | None:
        """Returns how an image of this height and width is very unlike the training images, or None if it is not.

        Very unlike is one that is more than ten times as large or as small along its sides, or more than three times as
        wide or as narrow for its height.

        Example:
            >>> half = Preprocessing((32, 32), "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), typical_size=(32, 32))
            >>> half.warning_about((3000, 4000))
            '4000×3000, trained on images of about 32×32'
        """
        if self.typical_size is None:
            return None
        (height, width), (typical_height, typical_width) = size, self.typical_size
        scale = math.sqrt(height * width / (typical_height * typical_width))
        stretch = width / height / (typical_width / typical_height)
        if max(scale, 1 / scale) <= _MAX_SCALE and max(stretch, 1 / stretch) <= _MAX_STRETCH:
            return None
        return f"{size_text(size)}, trained on images of about {size_text(self.typical_size)}"

    def normalize(self, images: "torch.Tensor") -> "torch.Tensor":
        """Returns (images / 255 − mean) / std, of stored images only the center that the network sees.

        Args:
            images: uint8 or float [B, 3, H, W] in [0, 255], on any device, in any memory format; see `center`.

        Returns:
            float32 [B, 3, H, W] on the same device, in the same memory format.
        """
        import torch

        pixels = self.center(images).to(torch.float32, copy=True)  # a copy, so that the rest can be done in place
        return pixels.div_(255).sub_(_per_channel(self.mean, images.device)).div_(_per_channel(self.std, images.device))

    def to_json(self) -> dict[str, object]:
        """Returns plain values from which `from_json` makes an equal object, exact to the last bit."""
        return {
            "image_size": list(self.image_size),
            "fit": self.fit,
            "mean": list(self.mean),
            "std": list(self.std),
            **({} if self.typical_size is None else {"typical_size": list(self.typical_size)}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "Preprocessing":
        """Returns the object that `to_json` described.

        Raises:
            DataError: when a key is missing or a value is invalid.
        """
        try:
            height, width = _numbers(value["image_size"])
            red, green, blue = _numbers(value["mean"])
            mean = red, green, blue
            red, green, blue = _numbers(value["std"])
            typical = tuple(int(side) for side in _numbers(value.get("typical_size", ())))
            fit, std = str(value["fit"]), (red, green, blue)
            return cls((int(height), int(width)), fit, mean, std, cast("tuple[int, int]", typical) if typical else None)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"preprocessing is not readable ({escaped(str(error))}); expected image_size, fit, mean, std"
            ) from None


def _numbers(value: object) -> list[float]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{value!r} is no list of numbers")
    return [float(number) for number in value]


@cache
def _per_channel(values: Channels, device: "torch.device") -> "torch.Tensor | float":
    """Returns one number where all channels agree, else float32 [3, 1, 1], copied to the device once per process."""
    import torch

    if len(set(values)) == 1:
        return values[0]
    with torch.inference_mode(False):  # the cached tensor must serve training too
        return torch.tensor(values, device=device).view(3, 1, 1)


_CHUNK = 256
"""Number of images that are summed at once: float32 adds up so many squares of a byte without rounding."""


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Channels, Channels]:
    """Returns the exact mean and standard deviation of each channel, for pixels in [0, 1].

    Two sets of "CIFAR-10 standard deviations" are in use; one of them averages the standard deviations of the images.
    This is the standard deviation of all pixels.

    Args:
        images: uint8 [N, H, W, 3], N at least 1; may be memory-mapped.

    Returns:
        Mean and std. A constant channel has std 1/255, so that dividing by it is harmless.

    Example:
        >>> channel_statistics(np.full((1, 8, 8, 3), 255, np.uint8))[0]
        (1.0, 1.0, 1.0)
    """
    height, width = images.shape[1:3]
    total, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, height * width * 3).astype(np.float32)
        total += _channel_sums(pixels)
        squares += _channel_sums(np.square(pixels, out=pixels))
    count = len(images) * height * width
    mean = total / count / 255
    variance = squares / count / 255**2 - mean**2
    std = np.maximum(np.sqrt(np.maximum(variance, 0)), 1 / 255)
    return _channels(mean), _channels(std)


def _channel_sums(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the exact sum of each channel; `pixels` is float32 [at most 256, H·W·3]."""
    sums: NDArray[np.float64] = pixels.sum(0).reshape(-1, 3).sum(0, dtype=np.float64)
    return sums


def _channels(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
