"""The built-in dataset: ten classes of shapes, drawn from a seed.

Shapes: B images in a chunk, S = 32 pixels per side; pixels are float32 until the end. As in `outlines.py`, only
operations are used whose rounding IEEE 754 defines.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.sources.outlines import OUTLINES, Array, Outline
from tenfold.data.types import Dataset, Split

SIZE = 32
_VERSION = 1
_CHUNK = 256  # images drawn at once: their arrays fit into the processor's cache
_NUM_KNOTS = 6  # knots of the cloud texture along each side


def build_shapes(train: int = 20_000, test: int = 4_000, seed: int = 0) -> Dataset:
    """Draws ten classes of shapes, 32×32 RGB, on textured backgrounds.

    Position, size, rotation, proportions, colors, contrast, background and pixel noise vary. Classes are balanced to
    within one image, their order is shuffled, and the test split has a random stream of its own.

    Args:
        train: number of training images, at least 1.
        test: number of test images, at least 1.
        seed: in [0, 2⁶³); a seed gives the same images on every machine.

    Returns:
        A dataset called `shapes` with splits `train` and `test`.

    Raises:
        DataError: when a count or the seed is out of range.

    Example:
        >>> build_shapes(train=20, test=10).classes[:3]
        ('arrow', 'bolt', 'circle')
    """
    if train < 1 or test < 1:
        raise DataError(f"shapes cannot draw {train} train and {test} test images; ask for 1 or more of each")
    if not 0 <= seed < 2**63:
        raise DataError(f"shapes cannot draw from seed {seed}; choose one from 0 to 2**63 - 1")
    return Dataset(
        name="shapes",
        classes=tuple(OUTLINES),
        train=_draw_split(train, np.random.Philox(key=[seed, 0])),
        test=_draw_split(test, np.random.Philox(key=[seed, 1])),
        fit="crop",
        fingerprint=hashlib.sha256(f"shapes {_VERSION} {train} {test} {seed}".encode()).hexdigest(),
    )


def _draw_split(count: int, stream: np.random.Philox) -> Split:
    """Draws `count` images and their labels; advances `stream`."""
    order = np.argsort(stream.random_raw(count), kind="stable")
    labels = (order % len(OUTLINES)).astype(np.int64)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        images[chunk] = _draw_chunk(labels[chunk], stream)
    return Split(images, labels)


def _draw_chunk(labels: NDArray[np.int64], stream: np.random.Philox) -> NDArray[np.uint8]:
    """Returns one image for each label, uint8 [B, S, S, 3]."""
    count = len(labels)
    texture = _textures(count, stream)[:, None]  # B 1 S S
    coverage = _shapes(labels, stream)[:, None]  # B 1 S S
    background, second_background, shape = _colors(count, stream)  # B 3 1 1 each
    images = background + texture * (second_background - background)  # B 3 S S
    images += coverage * (shape - images)
    images += _noise(count, stream)
    np.clip(images, 0, 255, out=images)
    return images.astype(np.uint8).transpose(0, 2, 3, 1)


def _uniform(stream: np.random.Philox, count: int, low: float, high: float) -> Array:
    """Returns float32 [B, 1, 1] in [low, high). It is made from raw bits, because NumPy's own method may change."""
    bits = (stream.random_raw(count) >> np.uint64(40)).astype(np.float32)
    return (bits * np.float32((high - low) / 2**24) + np.float32(low)).reshape(-1, 1, 1)


def _bytes(stream: np.random.Philox, *shape: int) -> NDArray[np.uint8]:
    """Returns random bytes of that shape."""
    total = int(np.prod(shape))
    words: NDArray[np.uint64] = stream.random_raw((total + 7) // 8).astype("<u8", copy=False)
    return words.view(np.uint8)[:total].reshape(shape)


def _direction(stream: np.random.Philox, count: int) -> tuple[Array, Array]:
    """Returns cosine and sine, [B, 1, 1] each, of nearly uniform angles, by the rational circle formula."""
    half = _uniform(stream, count, 0, 0.41421356)  # tangent of half the angle, which is below 45°
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    octant = _bytes(stream, count, 1, 1)
    first, second = np.where(octant & 1, sine, cosine), np.where(octant & 1, cosine, sine)
    return np.where(octant & 2, first, -first), np.where(octant & 4, second, -second)


def _rotated(cosine: Array, sine: Array, left: Array, top: Array) -> tuple[Array, Array]:
    """Returns pixel coordinates x and y, [B, S, S], rotated about (left, top)."""
    pixel = np.arange(SIZE, dtype=np.float32)
    x = (pixel + np.float32(0.5)).reshape(1, 1, -1) - left
    y = (pixel + np.float32(0.5)).reshape(1, -1, 1) - top
    return x * cosine + y * sine, y * cosine - x * sine


def _colors(count: int, stream: np.random.Philox) -> tuple[Array, Array, Array]:
    """Returns two background colors and a shape color, [B, 3, 1, 1] each, that differ in lightness."""
    contrast = _uniform(stream, count, 45, 160)
    side = np.where(_uniform(stream, count, 0, 1) < 0.5, np.float32(-0.5), np.float32(0.5))
    middle = 127.5 + _uniform(stream, count, -1, 1) * (112 - contrast / 2)
    spread = _uniform(stream, count, -0.4, 0.4) * contrast  # of the texture: smaller than the step to the shape
    background, shape = middle - side * contrast, middle + side * contrast
    return (
        _tinted(background - spread / 2, stream),
        _tinted(background + spread / 2, stream),
        _tinted(shape, stream),
    )


def _tinted(lightness: Array, stream: np.random.Philox) -> Array:
    """Returns colors, [B, 3, 1, 1], whose channels have the mean `lightness`, [B, 1, 1]."""
    tint = _bytes(stream, len(lightness), 3, 1).astype(np.float32) * np.float32(0.5)
    mean = (tint[:, :1] + tint[:, 1:2] + tint[:, 2:]) / 3
    colors: Array = lightness + (tint - mean)
    return colors[..., None]


def _noise(count: int, stream: np.random.Philox) -> Array:
    """Returns zero-mean pixel noise, [B, 3, S, S], of a different amplitude for each image."""
    amplitude = _uniform(stream, count, 0.03, 0.4)[..., None]
    return (_bytes(stream, count, 3, SIZE, SIZE).astype(np.float32) - np.float32(127.5)) * amplitude


# Background textures: each takes the number of images and the stream, and returns [B, S, S] in [0, 1].


def _textures(count: int, stream: np.random.Philox) -> Array:
    """Returns one background texture per image, [B, S, S] in [0, 1], of a random kind."""
    kinds = _bytes(stream, count) % len(_TEXTURES)
    textures = np.empty((count, SIZE, SIZE), np.float32)
    for kind, texture in enumerate(_TEXTURES):
        chosen = kinds == kind
        textures[chosen] = texture(int(chosen.sum()), stream)
    return textures


def _unit(values: Array) -> Array:
    unit: Array = np.clip(values, 0, 1)
    return unit


def _gradient(count: int, stream: np.random.Philox) -> Array:
    middle = np.full((count, 1, 1), SIZE / 2, np.float32)
    x, _ = _rotated(*_direction(stream, count), middle, middle)
    return _unit(x / SIZE + 0.5)


def _stripes(count: int, stream: np.random.Philox) -> Array:
    x, _ = _rotated(*_direction(stream, count), *(_uniform(stream, count, 0, SIZE) for _ in "xy"))
    phase = x / _uniform(stream, count, 4, 14)
    wave = np.abs(phase - np.rint(phase))  # a triangle from 0 to ½
    return _unit((wave - 0.25) * _uniform(stream, count, 2, 8) + 0.5)


def _blobs(count: int, stream: np.random.Philox) -> Array:
    level = np.zeros((count, SIZE, SIZE), np.float32)
    one, zero = np.ones((count, 1, 1), np.float32), np.zeros((count, 1, 1), np.float32)
    for _ in range(5):
        x, y = _rotated(one, zero, _uniform(stream, count, 0, SIZE), _uniform(stream, count, 0, SIZE))
        radius = _uniform(stream, count, 2, 8)
        np.maximum(level, 2 - (x * x + y * y) / (radius * radius), out=level)
    return _unit(level)


def _clouds(count: int, stream: np.random.Philox) -> Array:
    knots = _bytes(stream, count, _NUM_KNOTS, _NUM_KNOTS).astype(np.float32) * np.float32(1 / 255)
    position = np.arange(SIZE, dtype=np.float32) * np.float32((_NUM_KNOTS - 1) / SIZE)  # in knots
    first = position.astype(np.int64)
    fraction = position - first.astype(np.float32)
    rows = knots[:, first] + fraction[None, :, None] * (knots[:, first + 1] - knots[:, first])
    clouds: Array = rows[:, :, first] + fraction * (rows[:, :, first + 1] - rows[:, :, first])
    return clouds


_TEXTURES = (_gradient, _stripes, _blobs, _clouds)


def _shapes(labels: NDArray[np.int64], stream: np.random.Philox) -> Array:
    """Returns the fraction of each pixel that the shape of each label covers, [B, S, S]."""
    coverage = np.empty((len(labels), SIZE, SIZE), np.float32)
    for label, outline in enumerate(OUTLINES.values()):
        chosen = labels == label
        coverage[chosen] = _coverage(outline, int(chosen.sum()), stream)
    return coverage


def _coverage(outline: Outline, count: int, stream: np.random.Philox) -> Array:
    """Returns the coverage of `count` shapes of one class, at random positions, angles and sizes, with soft edges."""
    radius = _uniform(stream, count, 7.5, 14)
    reach = SIZE / 2 - 0.95 * radius  # a shape may touch the border, but keeps every part that identifies it
    left, top = (SIZE / 2 + _uniform(stream, count, -1, 1) * reach for _ in "xy")
    x, y = _rotated(*_direction(stream, count), left, top)
    distance = outline(x / radius, y / radius, _uniform(stream, count, 0, 1)) * radius
    return _unit(0.5 - distance)
