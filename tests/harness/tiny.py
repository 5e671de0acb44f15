"""A dataset, a recipe and a folder of photos so small that a whole run takes a second."""

from pathlib import Path

import numpy as np
from PIL import Image

from tenfold.data.types import Dataset, Split
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

CLASSES = ("dark", "light", "red")


def make_split(count: int, seed: int, size: tuple[int, int] = (16, 16)) -> Split:
    """Returns images of noise around one colour per class: easy to classify, no two alike."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    colours = np.array([[40, 40, 40], [210, 210, 210], [210, 40, 40]])[labels]
    noise = generator.integers(-40, 41, (count, *size, 3))
    return Split((colours[:, None, None, :] + noise).astype(np.uint8), labels.astype(np.int64))


def dataset(*, val: int = 0, train: int = 48, test: int = 24) -> Dataset:
    """Returns a dataset of three easy classes, 16×16 pixels."""
    splits = [make_split(count, seed) if count else None for seed, count in enumerate((train, test, val))]
    assert splits[0] is not None
    assert splits[1] is not None
    return Dataset("tiny", CLASSES, splits[0], splits[1], splits[2], fingerprint=f"tiny {train} {test} {val}")


def recipe(name: str = "mlp", *overrides: str) -> Recipe:
    """Returns a shipped recipe reduced to two short epochs on one CPU thread."""
    short = ["train.duration=2 epochs", "train.batch_size=8", "train.min_steps=0", "train.threads=1"]
    return load_recipe(name, [*short, "train.device=cpu", *overrides])


def photo_folder(root: Path, *, each: int = 20) -> Path:
    """Writes class folders `blue` and `green` of PNG files of different sizes; returns `root`."""
    generator = np.random.default_rng(5)
    for name, colour in {"blue": (30, 30, 200), "green": (30, 200, 30)}.items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            height, width = generator.integers(20, 40, 2)
            noise = generator.integers(-30, 31, (height, width, 3))
            Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(root / name / f"{number}.png")
    return root
