"""Images and labels in memory as Python users pass them: arrays, tensors, lists.

Only what has one meaning is accepted; everything else is an error in one line. N images, H×W pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.text import shortened

_IMAGES = "uint8 [N, H, W, 3] in RGB order, [N, 3, H, W] or gray [N, H, W]"
_IMAGE = "uint8 [H, W, 3] in RGB order, [3, H, W] or gray [H, W]"
_LABELS = "one class name or integer for each image"


def images_of(value: object, name: str) -> NDArray[np.uint8]:
    """Returns images as uint8 [N, H, W, 3].

    Args:
        value: an array, a torch tensor or a list of arrays, tensors or PIL images: uint8
            [N, H, W, 3], [N, 3, H, W], or gray [N, H, W].
        name: what an error message calls them, such as `train images`.

    Raises:
        DataError: when they are something else.

    Example:
        >>> images_of([np.zeros((8, 6), np.uint8)], "images").shape
        (1, 8, 6, 3)
    """
    array = as_array(value)
    images = None if array is None else _rgb(array)
    if images is None:
        raise DataError(f"{name} are {described(value)}; expected {_IMAGES}{_remedy(array)}")
    return images


def image_of(value: object, name: str) -> NDArray[np.uint8]:
    """Returns one image as uint8 [H, W, 3]; see `images_of`.

    Raises:
        DataError: when it is something else.
    """
    array = as_array(value)
    images = None if array is None else _rgb(array[None])
    if images is None:
        raise DataError(f"image {name} is {described(value)}; expected {_IMAGE}{_remedy(array)}")
    image: NDArray[np.uint8] = images[0]
    return image


def labels_of(value: object, name: str) -> list[str] | list[int]:
    """Returns labels as a list of class names or of integers.

    Args:
        value: an array, a torch tensor or a list of text or integers.
        name: what an error message calls them, such as `train labels`.

    Raises:
        DataError: when they are something else.

    Example:
        >>> labels_of(np.array(["cat", "dog"]), "labels")
        ['cat', 'dog']
    """
    array = as_array(value)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iuU" or _is_mixed(value):
        raise DataError(f"{name} are {described(value)}; expected {_LABELS}")
    found: list[str] | list[int] = array.tolist()
    return found


def as_array(value: object) -> NDArray[Any] | None:
    """Returns an array, a torch tensor or a list as an array; None for anything else."""
    if hasattr(value, "detach"):  # a tensor, without importing torch
        value = value.detach().cpu()
    if isinstance(value, str | bytes) or not (isinstance(value, Sequence) or hasattr(value, "__array__")):
        return None
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # of several shapes, or of things that are no numbers
        return None


def _rgb(images: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Returns images as uint8 [N, H, W, 3], or None if their meaning is not certain."""
    if images.dtype != np.uint8 or not images.size:
        return None
    if images.ndim == 3:
        return np.repeat(images[..., None], 3, axis=3)
    if images.ndim == 4 and images.shape[3] == 3:
        return images
    if images.ndim == 4 and images.shape[1] == 3:
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return None


def described(value: object) -> str:
    """Returns what a value is, for messages.

    Example:
        >>> described(np.zeros((2, 3), np.float32))
        'an array of float32 [2, 3]'
        >>> described([1, "a"]), described({})
        ('a list of int and str', 'a dict')
    """
    array = as_array(value)
    if array is not None and array.dtype != object and not _is_mixed(value):
        return f"an array of {array.dtype} {list(array.shape)}"
    if isinstance(value, list | tuple):
        kinds = dict.fromkeys(f"{type(each).__name__}{_shape(each)}" for each in value)
        return f"{_with_article(value)} of {shortened(' and '.join(kinds) or 'nothing', 80)}"
    return _with_article(value)


def _with_article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _is_mixed(value: object) -> bool:
    """Returns whether a list holds text beside other things, which NumPy would turn into text."""
    return isinstance(value, list | tuple) and len({isinstance(each, str) for each in value}) > 1


def _shape(value: object) -> str:
    shape = getattr(value, "shape", None)
    return "" if shape is None else f" {list(shape)}"


def _remedy(array: NDArray[Any] | None) -> str:
    """Returns what to do with images of real numbers, or of whole numbers such as nested lists hold."""
    if array is not None and array.dtype.kind == "i" and array.ndim > 1:
        return "; for values in 0–255: np.array(images, np.uint8)"
    if array is None or array.dtype.kind != "f":
        return ""
    return "; for values in [0, 1]: (images * 255).round(), converted to uint8"
