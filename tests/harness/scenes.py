"""Synthetic images with as much structure as photos, made from a seed."""

import io

import numpy as np
from PIL import Image

from tenfold.data.types import Dataset, Split


def scene(seed: int, side: int = 32) -> np.ndarray:
    """Returns uint8 [side, side, 3]: colored blobs and bars over a gradient, different for each seed."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:side, 0:side] / side
    image = np.zeros((side, side, 3)) + random.uniform(60, 190, 3)
    image += (row[..., None] - 0.5) * random.uniform(-80, 80, 3)
    for _ in range(14):
        y, x, radius = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.05, 0.25)
        blob = (row - y) ** 2 + (column - x) ** 2 < radius**2
        bar = np.abs((row - y) * random.uniform(-1, 1) + (column - x)) < radius / 3
        image[blob if random.random() < 0.5 else bar] += random.uniform(-90, 90, 3)
    return image.clip(0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Returns the image after JPEG compression."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream).convert("RGB"))


def resized_and_back(image: np.ndarray, times: float = 2) -> np.ndarray:
    """Returns the image after upsampling and downsampling to its old size."""
    height, width = image.shape[:2]
    large = Image.fromarray(image).resize((round(width * times), round(height * times)), Image.Resampling.BICUBIC)
    return np.array(large.resize((width, height), Image.Resampling.BICUBIC))


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Returns the image shifted by at most 2 pixels, with its edges repeated."""
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    return padded[2 - down : 2 - down + height, 2 - right : 2 - right + width]


def brighter(image: np.ndarray, by: int) -> np.ndarray:
    """Returns the image with `by` added to each pixel."""
    return (image.astype(int) + by).clip(0, 255).astype(np.uint8)


def scenes(train: list[tuple[np.ndarray, int]], test: list[tuple[np.ndarray, int]], *, paths: bool = False) -> Dataset:
    """Returns a dataset of two classes from labeled images."""

    def split(name: str, pairs: list[tuple[np.ndarray, int]]) -> Split:
        images, labels = np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs], np.int64)
        return Split(images, labels, tuple(f"{name}/{i}.png" for i in range(len(pairs))) if paths else None)

    return Dataset("scenes", ("cat", "dog"), split("train", train), split("test", test), fingerprint="scenes")
