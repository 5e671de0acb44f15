"""Small image files and class folders for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    """Returns random pixels, uint8 [H, W, 3], different for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Returns the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(seed: int = 0, height: int = 8, width: int = 8) -> bytes:
    """Returns a PNG file of noise."""
    return encoded(Image.fromarray(noise(height, width, seed)))


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    """Writes files by name below `root`, and returns it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def class_tree(root: Path, counts: dict[str, int], **size: int) -> Path:
    """Writes a number of different images into each folder below `root`, and returns `root`."""
    names = [f"{folder}/{number}.png" for folder, count in counts.items() for number in range(count)]
    return write_tree(root, {name: png(seed, **size) for seed, name in enumerate(names)})
