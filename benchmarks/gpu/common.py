"""What the parts of the GPU benchmark share: device, images, timing, and the output of results."""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tenfold
from tenfold.data.types import Dataset, Split

DRY_RUN = os.environ.get("TENFOLD_GPU_DRY_RUN") == "1"
DEVICE = torch.device("cpu" if DRY_RUN else "cuda")
WORK = Path(os.environ.get("WORK", "/tmp/tenfold-gpu"))
PREPARED = WORK / "prepared.json"

_TINY_NETWORK = {"tutorial": (), "resnet18": ("model.width=8", "train.batch_size=40")}
_TINY_SPEED_NETWORK = ("model.widths=[8,8,8]", "train.batch_size=40")
_TINY_SPLIT = 800


def emit(**line: Any) -> None:
    """Prints a result as one line of JSON."""
    print(json.dumps(line, default=str), flush=True)


def overrides(recipe: str, lines: list[str] | tuple[str, ...] = ()) -> list[str]:
    """Returns `lines` for the device, in a dry run with tiny sizes."""
    tiny = ("train.duration=3 steps", *_TINY_NETWORK.get(recipe, _TINY_SPEED_NETWORK)) if DRY_RUN else ()
    return [f"train.device={DEVICE.type}", *tiny, *lines]


def load_dataset() -> Dataset:
    """Returns the dataset that `prepare.py` has prepared, in a dry run a small part of it."""
    dataset = tenfold.dataset(json.loads(PREPARED.read_text())["source"])
    if DRY_RUN:
        dataset = replace(dataset, train=_first(dataset.train), test=_first(dataset.test))
    return dataset


def _first(split: Split) -> Split:
    return split.subset(np.linspace(0, len(split) - 1, _TINY_SPLIT).astype(np.int64))


def synchronize() -> None:
    """Waits until the device has done everything."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def time_calls(function: Callable[[], object], count: int, warm_up: int = 5) -> dict[str, float]:
    """Returns milliseconds per call by device events, by the host clock in a dry run: mean, median, lowest.

    Args:
        function: may return before the device has finished.
        count: number of timed calls, one after another without waiting.
        warm_up: calls before them.
    """
    count, warm_up = (2, 1) if DRY_RUN else (count, warm_up)
    for _ in range(warm_up):
        function()
    synchronize()
    marks, began = [_mark()], time.perf_counter()
    for _ in range(count):
        function()
        marks.append(_mark())
    host = (time.perf_counter() - began) / count  # until everything is queued
    synchronize()
    wall = (time.perf_counter() - began) / count
    each = [_milliseconds(*marks[i : i + 2]) for i in range(count)]
    times = {"mean_ms": wall * 1000, "median_ms": statistics.median(each), "lowest_ms": min(each)}
    return {name: round(value, 4) for name, value in {**times, "host_ms": host * 1000}.items()} | {"calls": count}


def _mark() -> Any:
    if DEVICE.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _milliseconds(start: Any, end: Any) -> float:
    return float(start.elapsed_time(end)) if DEVICE.type == "cuda" else (end - start) * 1000


def captured(function: Callable[[], object]) -> Callable[[], object]:
    """Returns a function that replays `function` as a CUDA graph: its time without that of launching kernels."""
    if DEVICE.type != "cuda":
        return function
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def attempt(name: str, measure: Callable[[], dict[str, Any]], **settings: Any) -> None:
    """Emits what `measure` returns, or its error: one failing measurement must not cost the others."""
    began = time.perf_counter()
    try:
        found = measure()
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {str(error)[:400]}"}
    emit(measured=name, **settings, **found, took_seconds=round(time.perf_counter() - began, 2))
