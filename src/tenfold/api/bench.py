"""Benchmarks: how fast this machine trains, loads and predicts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch

from tenfold.api.data import request_of
from tenfold.api.evaluate import load
from tenfold.api.prepare import report_dataset
from tenfold.api.weights import with_weights
from tenfold.core.cache import cache_folder
from tenfold.core.devices import choose_device
from tenfold.core.errors import DeviceError, UsageError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources.cifar import find_cifar, source_named
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.experiments.bench.classic import ClassicBench, compare_with_classic
from tenfold.experiments.bench.loading import DataBench, measure_data
from tenfold.experiments.bench.prediction import PredictBench, measure_prediction
from tenfold.experiments.bench.timed_runs import sigterm_as_exception
from tenfold.experiments.bench.training import TrainBench, measure_utilization, time_runs
from tenfold.experiments.bench.width_study import WidthStudy, study_widths
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe


def bench_train(
    recipe: str | Path = "quick",
    *,
    data: str | None = None,
    runs: int = 3,
    overrides: Sequence[str] = (),
    device: str | None = None,
    seconds: float = 3.0,
    progress: Progress | None = None,
) -> TrainBench:
    """Times whole `tenfold train` commands, and measures the utilization of the device by training steps.

    Args:
        recipe: a shipped recipe or a TOML file.
        data: a dataset's name or path, as for `--data`; the recipe's by default.
        runs: number of runs, one after another, with seeds 0, 1, 2, ….
        overrides: `"section.key=value"` each.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; the recipe's by default.
        seconds: measuring time for the steps and for each convolution, above 0.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        TrainingError: when a run fails; with its last line.
        TenfoldError: every error of the recipe or its data.
    """
    progress = progress or SilentProgress()
    check_numbers(seconds, runs=runs)
    lines = [*overrides, *([] if device is None else [f"train.device={device}"])]
    flags = [*data_flag(data), *(word for line in lines for word in ("--set", line))]
    with sigterm_as_exception():
        chosen, dataset = prepared_for_bench(recipe, data, overrides, device, progress)
        found = time_runs(str(recipe), flags, runs, progress)
        progress.message("measuring the steps and the best convolution")
        used = measure_utilization(chosen, dataset, seconds)
    return TrainBench(Path(recipe).stem, dataset.name, tuple(lines), found, used)


def bench_classic(
    recipe: str | Path = "tutorial",
    *,
    data: str | None = None,
    pairs: int = 3,
    progress: Progress | None = None,
) -> ClassicBench:
    """Times PyTorch's tutorial script as people write it against a recipe, whole processes in turns.

    Args:
        recipe: a shipped recipe or a TOML file that does the same work.
        data: a dataset of 32×32 images in ten classes, as for `--data`; the recipe's by default.
        pairs: number of runs of each.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        DataError: when the script cannot train on such images.
        TrainingError: when a run fails; with its last line.
    """
    progress = progress or SilentProgress()
    check_numbers(1.0, pairs=pairs)
    with sigterm_as_exception():
        _, dataset = prepared_for_bench(recipe, data, (), None, progress)
        return compare_with_classic(str(recipe), data_flag(data), dataset, pairs, progress)


def bench_data(
    recipe: str | Path = "quick",
    *,
    data: str | None = None,
    runs: int = 3,
    overrides: Sequence[str] = (),
    device: str | None = None,
    seconds: float = 3.0,
    progress: Progress | None = None,
) -> DataBench:
    """Times preparing images from scratch, the first batch of prepared images, and the loader.

    Args:
        recipe: its batch size and augmentation are used.
        data: a dataset's name or path, as for `--data`; the recipe's by default.
        runs: number of preparations, and of first batches.
        overrides: `"section.key=value"` each.
        device: where the batches are needed; the recipe's by default.
        seconds: measuring time for the loader and for the copy, above 0.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        TenfoldError: every error of the recipe or its data.
    """
    progress = progress or SilentProgress()
    check_numbers(seconds, runs=runs)
    with sigterm_as_exception():
        chosen, dataset = prepared_for_bench(recipe, data, overrides, device, progress)
        request = request_of(chosen.data)
        return measure_data(
            chosen,
            Path(recipe).stem,
            lambda: build_dataset(request),
            _rebuild(request, dataset),
            rounds=runs,
            seconds=seconds,
            progress=progress,
        )


def bench_predict(
    source: str | Path | None = None,
    *,
    recipe: str | Path = "quick",
    data: str = "shapes",
    device: str = "auto",
    images: int = 1000,
    calls: int = 200,
    seconds: float = 3.0,
    progress: Progress | None = None,
) -> PredictBench:
    """Times predictions of one image and of many, from memory and from files.

    Args:
        source: a run folder or a model file; None takes the untrained network of `recipe`.
        recipe: of the network without `source`.
        data: dataset that gives this network its classes and image size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        images: number of images in the large batch.
        calls: number of calls with a single image.
        seconds: measuring time for each source of many images and for each convolution, above 0.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        TenfoldError: every error of the model, the recipe or its data.
    """
    progress = progress or SilentProgress()
    check_numbers(seconds, images=images, calls=calls)
    with sigterm_as_exception():
        if source is not None:
            predictor, name = load(source, device=device), str(source)
        else:
            predictor, name = _untrained(recipe, data, device, progress), f"{Path(recipe).stem}, untrained"
        return measure_prediction(predictor, name, num_images=images, calls=calls, seconds=seconds, progress=progress)


def bench_width(
    *,
    devices: Sequence[str] = ("cpu", "cuda"),
    widths: Sequence[int] = (6, 30, 90, 170),
    batch_size: int = 4,
    seconds: float = 2.0,
    precision: str = "auto",
    progress: Progress | None = None,
) -> WidthStudy:
    """Does the width exercise of PyTorch's tutorial: widens the first convolution and measures the GPU's speed-up.

    Args:
        devices: to compare, e.g. `cpu`, `cuda`, `cuda:1`, `mps`; missing ones are left out, which `progress` reports.
        widths: channels of the first convolution of the network `wide`, each at least 1.
        batch_size: images per step, at least 1.
        seconds: measuring time for each width and device, above 0.
        precision: `auto`, `float32` or `bfloat16`.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when no width or device is given, a device name is unknown, or `seconds` is not above 0.
        DeviceError: when this machine has none of the devices.
        RecipeError: when a width, the batch size or the precision is out of range.
        TrainingError: when memory runs out.
    """
    progress = progress or SilentProgress()
    for noun, given in (("width", widths), ("device", devices)):
        if not given:
            raise UsageError(f"no {noun} was given; expected at least one")
    check_numbers(seconds)
    # eager everywhere, so that widths and devices can be compared
    fixed = {"train.batch_size": batch_size, "train.precision": precision, "train.execution": "eager"}
    recipe = load_recipe("wide", fixed)
    hardware = {
        name: choose_hardware(recipe.train.model_copy(update={"device": name})) for name in _present(devices, progress)
    }
    return study_widths(recipe, list(dict.fromkeys(widths)), hardware, seconds, progress)


def check_numbers(seconds: float, **counts: int) -> None:
    """Raises UsageError if a number is out of range."""
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"{name} is {count}; expected 1 or more")
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"seconds is {seconds:g}; expected a number above 0")


def data_flag(data: str | None) -> list[str]:
    return [] if data is None else ["--data", data]


def prepared_for_bench(
    recipe: str | Path, data: str | None, overrides: Sequence[str], device: str | None, progress: Progress
) -> tuple[Recipe, Dataset]:
    """Returns the complete recipe and its dataset, which is prepared from now on."""
    chosen = with_weights(load_recipe(recipe, overrides), progress)
    if data is not None:
        chosen = resolve(chosen, {"data.source": data})
    if device is not None:
        chosen = resolve(chosen, {"train.device": device})
    choose_device(chosen.train.device)  # reports a missing device before any work is done
    dataset = build_dataset(request_of(chosen.data), progress.prepare)
    report_dataset(dataset, progress, chosen)
    return chosen, dataset


def _rebuild(request: DataRequest, dataset: Dataset) -> Callable[[], Dataset] | None:
    """Returns a function that prepares the dataset again in an empty cache; None if that would download it."""
    if request.source == "auto":
        request = replace(request, source=dataset.name)
    if request.source in SOURCES:
        folder = Path(request.data_dir).expanduser() if request.data_dir else None
        found = find_cifar(source_named(request.source), folder, cache_folder())
        if found is None:
            return None
        request = replace(request, data_dir=str(found.parent))
    return lambda: build_dataset(request)


def _untrained(recipe: str | Path, data: str, device: str, progress: Progress) -> Predictor:
    """Returns a classifier with the weights that training starts with."""
    chosen, dataset = prepared_for_bench(recipe, data, (), device, progress)
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        classifier = make_classifier(chosen, dataset, None)
    classifier.model.to(choose_device(device)).eval()
    return Predictor(classifier)


def _present(devices: Sequence[str], progress: Progress) -> list[str]:
    """Returns the devices that this machine has, each once, and reports the missing ones."""
    present: list[str] = []
    missing: list[str] = []
    for name in dict.fromkeys(devices):
        try:
            present.append(str(choose_device(name)))
        except DeviceError:
            missing.append(name)
    present = list(dict.fromkeys(present))
    if not present:
        raise DeviceError(f"no {' or '.join(missing)} device on this machine; add one that it has: --devices cpu")
    if missing:
        progress.message(
            f"no {' or '.join(missing)} device on this machine: "
            f"the {' and '.join(present)} column{'s' * (len(present) > 1)} only"
        )
    return present
