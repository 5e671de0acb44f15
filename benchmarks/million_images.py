"""A million images from the store: time to open, first batch, memory of a training run, and speed of the loader.

    python benchmarks/million_images.py FOLDER [--images 1000000] [--side 32] [--steps 300] [--keep]

FOLDER receives a store of made images (3 GB by default), which is deleted at the end unless --keep is given. Each
measurement is a process of its own, so that its peak of resident memory is its own. For the speed, the same images are
in memory in the same process, and both loaders take turns; the page cache is warm.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from tenfold.data.store.format import Index, write_index
from tenfold.data.store.shards import SHARD_BYTES
from tenfold.data.store.split_files import StoreFiles
from tenfold.data.store.store import open_if_valid, open_or_build, store_key
from tenfold.data.types import Dataset

_CLASSES = tuple("abcdefghij")
_BATCH_SIZE = 512
_ROUNDS = 3
_CHUNK = 4096


def make(name: str, key: str, num_images: int, side: int) -> None:
    """Writes a store of noise whose brightness tells the class, with a path for each image."""

    def fill(folder: Path) -> None:
        generator = np.random.default_rng(0)
        counts = {"train": num_images, "test": 10_000}
        with StoreFiles(folder, counts, (side, side), SHARD_BYTES) as files:
            for split, count in counts.items():
                labels = np.arange(count) % len(_CLASSES)
                np.save(folder / f"{split}-labels.npy", labels)
                for first in range(0, count, _CHUNK):
                    part = labels[first : first + _CHUNK]
                    noise = generator.integers(0, 100, (len(part), side, side, 3), np.uint8)
                    for row, image in enumerate(noise + (15 * part[:, None, None, None]).astype(np.uint8)):
                        files.write(split, first + row, image)
            shards = files.shards()
        index = Index(name, _CLASSES, "crop", "made", counts, shards=shards)
        write_index(
            folder, index, {split: [f"{split}/{row:07}.png" for row in range(n)] for split, n in counts.items()}
        )

    open_or_build(name, key, fill)


def opened(name: str, key: str) -> Dataset:
    dataset = open_if_valid(name, key)
    assert dataset is not None
    return dataset


def measure_opening(name: str, key: str) -> dict[str, Any]:
    import torch

    from tenfold.data.augment import Augmentation
    from tenfold.data.loader import Loader
    from tenfold.data.sampling import Order

    before = perf_counter()
    dataset = opened(name, key)
    after = perf_counter()
    order = Order(len(dataset.train), _BATCH_SIZE, seed=0)
    next(Loader(dataset.train, order, Augmentation("random", shift=2), torch.device("cpu")).epoch(0))
    return {"open_seconds": after - before, "first_batch_seconds": perf_counter() - after}


def measure_training(name: str, key: str, steps: int) -> dict[str, Any]:
    import tenfold

    dataset, runs = opened(name, key), Path(os.environ["TENFOLD_CACHE"]) / "runs"
    settings = [f"train.duration={steps} steps", f"train.batch_size={_BATCH_SIZE}", "data.normalize=half"]
    began = perf_counter()
    run = tenfold.train("blink", data=dataset, overrides=settings, runs=runs, report=False)
    return {"training_command_seconds": perf_counter() - began, "test_accuracy": run.accuracy}


def measure_speed(name: str, key: str) -> dict[str, Any]:
    import torch

    from tenfold.data.augment import Augmentation
    from tenfold.data.loader import Loader
    from tenfold.data.sampling import Order
    from tenfold.data.types import Split

    split = opened(name, key).train
    in_memory = Split(split.images[:], split.labels)
    order = Order(len(split), _BATCH_SIZE, seed=0)
    loaders = [Loader(each, order, Augmentation("random", shift=2), torch.device("cpu")) for each in (split, in_memory)]
    batches = min(order.num_batches, 100)
    rates: list[list[float]] = [[], []]
    for epoch in range(_ROUNDS + 1):
        for loader, found in zip(loaders, rates, strict=True):
            began = perf_counter()
            count = sum(len(batch.labels) for batch in islice(loader.epoch(epoch), batches))
            found.append(count / (perf_counter() - began))
    stored, memory = (median(found[1:]) for found in rates)
    return {"stored_images_per_second": stored, "memory_images_per_second": memory, "ratio": stored / memory}


def _measured_alone(arguments: argparse.Namespace, what: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", what]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--measure", choices=["opening", "training", "speed"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["TENFOLD_CACHE"] = str(arguments.folder / "cache")
    name, key = "made", store_key("made", arguments.images, arguments.side)
    if arguments.measure:
        found = {
            "opening": lambda: measure_opening(name, key),
            "training": lambda: measure_training(name, key, arguments.steps),
            "speed": lambda: measure_speed(name, key),
        }[arguments.measure]()
        print(json.dumps({**found, "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2}))
        return
    began = perf_counter()
    make(name, key, arguments.images, arguments.side)
    print(f"store written in {perf_counter() - began:.0f} s")
    for what in ("opening", "training", "speed"):
        values = _measured_alone(arguments, what)
        print(f"{what}: " + ", ".join(f"{key} {value:,.3f}" for key, value in values.items()), flush=True)
    if not arguments.keep:
        shutil.rmtree(arguments.folder / "cache")


if __name__ == "__main__":
    main()
