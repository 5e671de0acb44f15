"""How fast pictures come: prepared from scratch, from a warm store, and batch by batch."""

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
from tenfold.experiments.bench.timing import ROUNDS, Measured, Work, measure_in_turns
from tenfold.recipes.schema import Recipe

_MOST_COPIED = 256 * 1024**2
"""Bytes copied at once at most: far more than any cache holds, and little enough for any memory."""

Prepare = Callable[[], Dataset]


@dataclass(frozen=True)
class DataBench:
    """How fast pictures come.

    Args:
        recipe: its name; its batches and augmentation count.
        dataset: the pictures.
        hardware: how the device was used, in words.
        batch_size: pictures in a batch.
        batches: in an epoch.
        build_seconds: of preparing from scratch; None where that would be a download.
        first_batch_seconds: until the first batch is there, from a warm store.
        epoch_seconds: of all batches of an epoch.
        epoch_bytes: of the pictures in an epoch, as the batches hold them.
        copy_seconds: of a plain copy of `copy_bytes` in memory.
        copy_bytes: copied at once.
    """

    recipe: str
    dataset: Dataset
    hardware: str
    batch_size: int
    batches: int
    build_seconds: Measured | None
    first_batch_seconds: Measured
    epoch_seconds: Measured
    epoch_bytes: int
    copy_seconds: Measured
    copy_bytes: int

    @property
    def batches_per_second(self) -> float:
        """Batches a second of the loader."""
        return self.batches / self.epoch_seconds.median

    @property
    def bytes_per_second(self) -> float:
        """Bytes of pictures a second of the loader."""
        return self.epoch_bytes / self.epoch_seconds.median

    @property
    def copy_bytes_per_second(self) -> float:
        """Bytes a second of a plain copy."""
        return self.copy_bytes / self.copy_seconds.median

    @property
    def share(self) -> float:
        """The loader's bytes a second over those of a plain copy."""
        return self.bytes_per_second / self.copy_bytes_per_second

    def protocol(self) -> list[str]:
        """Returns what was timed and what was not, one sentence each."""
        count = len(self.first_batch_seconds.each)
        building = (
            f"prepared from scratch: decoded into a new store in the system's temporary folder, {count} times"
            if self.build_seconds is not None
            else "prepared from scratch: not measured, the pictures would have to be downloaded"
        )
        return [
            building,
            f"first batch: the warm store opened, pictures and draws loaded, {count} times; importing is not timed",
            f"loader: whole epochs of augmented batches on the device, {ROUNDS} rounds after a warm-up, in turns with "
            f"a plain copy of {self.copy_bytes:,} bytes in the memory where the pictures lie",
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
            "share_of_copy": self.share,
            "epoch_seconds": self.epoch_seconds.to_json(),
            "epoch_bytes": self.epoch_bytes,
            "copy_seconds": self.copy_seconds.to_json(),
            "copy_bytes": self.copy_bytes,
        }


def measure_data(
    recipe: Recipe,
    name: str,
    prepare: Prepare,
    rebuild: Prepare | None,
    *,
    rounds: int,
    seconds: float,
    progress: Progress,
) -> DataBench:
    """Measures how fast pictures come; the user's cache holds afterwards what it held before.

    Args:
        recipe: complete.
        name: of the recipe.
        prepare: opens the pictures' store, which must be there.
        rebuild: makes a store from scratch in an empty cache; None where that would be a download.
        rounds: of preparing and of first batches, at least 1.
        seconds: of measuring for the loader and for the copy, above 0.
        progress: is told what is measured.

    Raises:
        RecipeError: when the augmentation does not fit the pictures.
    """
    hardware = choose_hardware(recipe.train)
    with hardware.active():
        built = None if rebuild is None else _repeated(rounds, lambda: _from_scratch(rebuild), "preparing", progress)
        first = _repeated(rounds, lambda: _first_batch(recipe, prepare, hardware), "first batch", progress)
        dataset = prepare()
        loader = training_loader(recipe, dataset, hardware)
        sizes = [batch.images.nbytes for batch in loader.epoch(0)]
        progress.message("measuring the loader and a plain copy")
        copied = min(sum(sizes), _MOST_COPIED)
        works = [Work(_epochs(loader.epoch)), _copying(copied, hardware.device)]
        epoch, copy = measure_in_turns(works, hardware.device, seconds)
    return DataBench(
        recipe=name,
        dataset=dataset,
        hardware=str(hardware),
        batch_size=loader.order.batch_size,
        batches=len(sizes),
        build_seconds=built,
        first_batch_seconds=first,
        epoch_seconds=epoch,
        epoch_bytes=sum(sizes),
        copy_seconds=copy,
        copy_bytes=copied,
    )


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Puts an empty folder in the place of the user's cache, and removes it in the end."""
    former = os.environ.get("TENFOLD_CACHE")
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        os.environ["TENFOLD_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("TENFOLD_CACHE")
            if former is not None:
                os.environ["TENFOLD_CACHE"] = former


def _repeated(rounds: int, once: Callable[[], float], what: str, progress: Progress) -> Measured:
    found: list[float] = []
    for number in range(rounds):
        found.append(once())
        progress.message(f"{what}, {number + 1} of {rounds}: {found[-1]:.3f} s")
    return Measured(tuple(found))


def _from_scratch(rebuild: Prepare) -> float:
    with empty_cache():
        began = perf_counter()
        rebuild()
        return perf_counter() - began


def _first_batch(recipe: Recipe, prepare: Prepare, hardware: Hardware) -> float:
    began = perf_counter()
    next(training_loader(recipe, prepare(), hardware).epoch(0))
    synchronize(hardware.device)
    return perf_counter() - began


def _epochs(epoch: Callable[[int], Iterator[object]]) -> Callable[[], None]:
    """Returns what goes through the next epoch each time it is called."""
    number = 0

    def once() -> None:
        nonlocal number
        number += 1
        for _ in epoch(number):
            pass

    return once


def _copying(count: int, device: torch.device) -> Work:
    source = torch.full((count,), 1, dtype=torch.uint8, device=device)  # written: untouched pages are all one page
    target = torch.zeros_like(source)
    return Work(lambda: target.copy_(source))
