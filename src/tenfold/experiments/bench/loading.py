"""Benchmark of loading: preparing images from scratch, the first batch from a prepared store, and whole epochs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from tenfold.core.clock import synchronize
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.engine.setup import training_loader
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples, measure_in_turns
from tenfold.recipes.schema import Recipe

_MAX_COPY_BYTES = 256 * 1024**2
"""Far more than any CPU cache holds, and little enough for any memory."""

OpenDataset = Callable[[], Dataset]


@dataclass(frozen=True)
class DataBench:
    """How fast images are loaded.

    Args:
        recipe: its name; its batch size and augmentation are used.
        dataset: the images.
        hardware: description of the device and its settings.
        batch_size: images per batch.
        num_batches: batches per epoch.
        build_seconds: time to prepare the images from scratch; None if that needs a download.
        first_batch_seconds: time until the first batch, from a prepared store.
        epoch_seconds: time of all batches of an epoch.
        epoch_bytes: size of all images of an epoch, as in the batches.
        copy_seconds: time of a plain memory copy of `copy_bytes`.
        copy_bytes: size of the copy.
    """

    recipe: str
    dataset: Dataset
    hardware: str
    batch_size: int
    num_batches: int
    build_seconds: Samples | None
    first_batch_seconds: Samples
    epoch_seconds: Samples
    epoch_bytes: int
    copy_seconds: Samples
    copy_bytes: int

    @property
    def batches_per_second(self) -> float:
        """Batches per second of the loader."""
        return self.num_batches / self.epoch_seconds.median

    @property
    def bytes_per_second(self) -> float:
        """Image bytes per second of the loader."""
        return self.epoch_bytes / self.epoch_seconds.median

    @property
    def copy_bytes_per_second(self) -> float:
        """Bytes per second of a plain copy."""
        return self.copy_bytes / self.copy_seconds.median

    @property
    def fraction_of_copy(self) -> float:
        """Speed of the loader relative to a plain copy."""
        return self.bytes_per_second / self.copy_bytes_per_second

    def protocol(self) -> list[str]:
        """Returns sentences that say what was timed and what was not."""
        count = len(self.first_batch_seconds.values)
        building = (
            f"prepared from scratch: decoded into a new store in the system's temporary folder, {count} times"
            if self.build_seconds is not None
            else "prepared from scratch: not measured, because the images would have to be downloaded"
        )
        return [
            building,
            f"first batch: the prepared store opened, images and augmentation loaded, {count} times; without import",
            f"loader: whole epochs of augmented batches on the device, {NUM_ROUNDS} rounds after a warm-up, in turns "
            f"with a plain copy of {self.copy_bytes:,} bytes in the memory that holds the images",
            "all in one process",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single measurement included."""
        return {
            "benchmark": "data",
            "recipe": self.recipe,
            "data": self.dataset.name,
            "hardware": self.hardware,
            "protocol": self.protocol(),
            "pictures": {name: len(split) for name, split in self.dataset.splits().items()},
            "image_size": list(self.dataset.image_size),
            "build_seconds": None if self.build_seconds is None else self.build_seconds.to_json(),
            "first_batch_seconds": self.first_batch_seconds.to_json(),
            "batch_size": self.batch_size,
            "batches_per_second": self.batches_per_second,
            "bytes_per_second": self.bytes_per_second,
            "copy_bytes_per_second": self.copy_bytes_per_second,
            "share_of_copy": self.fraction_of_copy,
            "epoch_seconds": self.epoch_seconds.to_json(),
            "epoch_bytes": self.epoch_bytes,
            "copy_seconds": self.copy_seconds.to_json(),
            "copy_bytes": self.copy_bytes,
        }


def measure_data(
    recipe: Recipe,
    name: str,
    open_dataset: OpenDataset,
    rebuild: OpenDataset | None,
    *,
    rounds: int,
    seconds: float,
    progress: Progress,
) -> DataBench:
    """Measures how fast images are loaded; the user's cache does not change.

    Args:
        recipe: complete.
        name: of the recipe.
        open_dataset: opens the store, which must exist.
        rebuild: makes a store from scratch in an empty cache; None if that needs a download.
        rounds: number of stores and of first batches, at least 1.
        seconds: measuring time for the loader and for the copy, above 0.
        progress: shows what is measured.

    Raises:
        RecipeError: when the augmentation does not fit the images.
    """
    hardware = choose_hardware(recipe.train)
    with hardware.active():
        build_seconds = None
        if rebuild is not None:
            build_seconds = _repeat(rounds, lambda: _time_build(rebuild), "preparing", progress)
        first_batch = _repeat(
            rounds, lambda: _time_first_batch(recipe, open_dataset, hardware), "first batch", progress
        )
        dataset = open_dataset()
        loader = training_loader(recipe, dataset, hardware)
        batch_bytes = [batch.images.nbytes for batch in loader.epoch(0)]
        progress.message("measuring the loader and a plain copy")
        copy_bytes = min(sum(batch_bytes), _MAX_COPY_BYTES)
        functions = [_epoch_function(loader.epoch), _copy_function(copy_bytes, hardware.device)]
        epoch_seconds, copy_seconds = measure_in_turns(functions, hardware.device, seconds)
    return DataBench(
        recipe=name,
        dataset=dataset,
        hardware=str(hardware),
        batch_size=loader.order.batch_size,
        num_batches=len(batch_bytes),
        build_seconds=build_seconds,
        first_batch_seconds=first_batch,
        epoch_seconds=epoch_seconds,
        epoch_bytes=sum(batch_bytes),
        copy_seconds=copy_seconds,
        copy_bytes=copy_bytes,
    )


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Replaces the user's cache folder by an empty temporary one."""
    previous = os.environ.get("TENFOLD_CACHE")
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        os.environ["TENFOLD_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("TENFOLD_CACHE")
            if previous is not None:
                os.environ["TENFOLD_CACHE"] = previous


def _repeat(rounds: int, measure: Callable[[], float], name: str, progress: Progress) -> Samples:
    values: list[float] = []
    for number in range(rounds):
        values.append(measure())
        progress.message(f"{name}, {number + 1} of {rounds}: {values[-1]:.3f} s")
    return Samples(tuple(values))


def _time_build(rebuild: OpenDataset) -> float:
    with empty_cache():
        started = perf_counter()
        rebuild()
        return perf_counter() - started


def _time_first_batch(recipe: Recipe, open_dataset: OpenDataset, hardware: Hardware) -> float:
    started = perf_counter()
    next(training_loader(recipe, open_dataset(), hardware).epoch(0))
    synchronize(hardware.device)
    return perf_counter() - started


def _epoch_function(epoch: Callable[[int], Iterator[object]]) -> Callable[[], None]:
    """Returns a function that iterates over the next epoch at each call."""
    number = 0

    def run_epoch() -> None:
        nonlocal number
        number += 1
        for _ in epoch(number):
            pass

    return run_epoch


def _copy_function(num_bytes: int, device: torch.device) -> Callable[[], object]:
    source = torch.full((num_bytes,), 1, dtype=torch.uint8, device=device)  # untouched pages would all be one page
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)
