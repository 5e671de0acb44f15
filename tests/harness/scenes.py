"""Pictures with as much structure as photographs have, made from a seed."""

import io

import numpy as np
from PIL import Image

from tenfold.data.types import Dataset, Split


def scene(seed: int, side: int = 32) -> np.ndarray:
    """Returns uint8 [side, side, 3]: blobs and bars of many colours over a gradient, no two seeds alike."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:side, 0:side] / side
    picture = np.zeros((side, side, 3)) + random.uniform(60, 190, 3)
    picture += (row[..., None] - 0.5) * random.uniform(-80, 80, 3)
    for _ in range(14):
        y, x, across = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.05, 0.25)
        blob = (row - y) ** 2 + (column - x) ** 2 < across**2
        bar = np.abs((row - y) * random.uniform(-1, 1) + (column - x)) < across / 3
        picture[blob if random.random() < 0.5 else bar] += random.uniform(-90, 90, 3)
    return picture.clip(0, 255).astype(np.uint8)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Returns the picture after it was a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream).convert("RGB"))


def resized_and_back(picture: np.ndarray, times: float = 2) -> np.ndarray:
    """Returns the picture after it was enlarged and made smaller again."""
    height, width = picture.shape[:2]
    large = Image.fromarray(picture).resize((round(width * times), round(height * times)), Image.Resampling.BICUBIC)
    return np.array(large.resize((width, height), Image.Resampling.BICUBIC))


def shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Returns the picture moved by some pixels, its edges continued."""
    padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    return padded[2 - down : 2 - down + height, 2 - right : 2 - right + width]


def brighter(picture: np.ndarray, by: int) -> np.ndarray:
    """Returns the picture with so much added to each pixel."""
    return (picture.astype(int) + by).clip(0, 255).astype(np.uint8)


def scenes(train: list[tuple[np.ndarray, int]], test: list[tuple[np.ndarray, int]], *, paths: bool = False) -> Dataset:
    """Returns a dataset of two classes from pictures with labels."""

    def split(name: str, pairs: list[tuple[np.ndarray, int]]) -> Split:
        images, labels = np.stack([one for one, _ in pairs]), np.array([label for _, label in pairs], np.int64)
        return Split(images, labels, tuple(f"{name}/{i}.png" for i in range(len(pairs))) if paths else None)

    return Dataset("scenes", ("cat", "dog"), split("train", train), split("test", test), fingerprint="scenes")
