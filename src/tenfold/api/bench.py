"""How fast this machine trains, loads and predicts: the figures that the project quotes are made here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch

from tenfold.api.data import request_of
from tenfold.api.evaluate import load
from tenfold.api.train import tell
from tenfold.core.devices import choose_device
from tenfold.core.errors import DeviceError, UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources.cifar import find_cifar, source_named
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.store.store import cache_folder
from tenfold.data.types import Dataset
from tenfold.deploy.predictor import Predictor
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.experiments.bench.classic import ClassicBench, race_classic
from tenfold.experiments.bench.loading import DataBench, measure_data
from tenfold.experiments.bench.prediction import PredictBench, measure_prediction
from tenfold.experiments.bench.training import TrainBench, measure_utilisation, time_runs
from tenfold.experiments.bench.whole_runs import ends_cleanly
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
    """Times whole commands of `tenfold train`, and what share of the device's speed the training reaches.

    Args:
        recipe: a shipped recipe or a TOML file.
        data: what `--data` takes; the recipe's own by default.
        runs: how many, one after another, with the seeds from 0 on.
        overrides: `"section.key=value"` each.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; the recipe's own by default.
        seconds: of measuring for the steps and for each convolution, above 0.
        progress: is told what happens.

    Raises:
        UsageError: when a number makes no sense.
        TrainingError: when a run fails; with its last line.
        TenfoldError: whatever the recipe or its data raise.
    """
    progress = progress or Silent()
    _check(seconds, runs=runs)
    flags = [*_data_flag(data), *_set_flags(overrides, device)]
    with ends_cleanly():
        chosen, pictures = _prepared(recipe, data, overrides, device, progress)
        found = time_runs(str(recipe), flags, runs, progress)
        progress.message("measuring the steps and the best convolution")
        used = measure_utilisation(chosen, pictures, seconds)
    settings = tuple(flags[place + 1] for place, word in enumerate(flags) if word == "--set")
    return TrainBench(Path(recipe).stem, pictures.name, settings, found, used)


def bench_classic(
    recipe: str | Path = "tutorial",
    *,
    data: str | None = None,
    pairs: int = 3,
    progress: Progress | None = None,
) -> ClassicBench:
    """Times the tutorial as people write it against a recipe, whole processes in turns.

    Args:
        recipe: a shipped recipe or a TOML file that does the same work.
        data: what `--data` takes, 32×32 pictures in ten classes; the recipe's own by default.
        pairs: how many runs of each.
        progress: is told what happens.

    Raises:
        UsageError: when a number makes no sense.
        DataError: when the classic script cannot learn such pictures.
        TrainingError: when a run fails; with its last line.
    """
    progress = progress or Silent()
    _check(1.0, pairs=pairs)
    with ends_cleanly():
        _, pictures = _prepared(recipe, data, (), None, progress)
        return race_classic(str(recipe), _data_flag(data), pictures, pairs, progress)


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
    """Times preparing pictures from scratch, the first batch from a warm store, and the loader.

    Args:
        recipe: whose batches and augmentation are loaded.
        data: what `--data` takes; the recipe's own by default.
        runs: of preparing and of first batches.
        overrides: `"section.key=value"` each.
        device: where the batches are needed; the recipe's own by default.
        seconds: of measuring for the loader and for the copy, above 0.
        progress: is told what happens.

    Raises:
        UsageError: when a number makes no sense.
        TenfoldError: whatever the recipe or its data raise.
    """
    progress = progress or Silent()
    _check(seconds, runs=runs)
    with ends_cleanly():
        chosen, pictures = _prepared(recipe, data, overrides, device, progress)
        request = request_of(chosen.data)
        return measure_data(
            chosen,
            Path(recipe).stem,
            lambda: build_dataset(request),
            _rebuilding(request, pictures),
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
    pictures: int = 1000,
    calls: int = 200,
    seconds: float = 3.0,
    progress: Progress | None = None,
) -> PredictBench:
    """Times predictions, one picture and many, from memory and from files.

    Args:
        source: a run folder or a model file; without one the network of `recipe` with fresh weights.
        recipe: of the network, where there is no `source`.
        data: what gives that network its classes and picture size.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        pictures: judged at once where there are many.
        calls: with a single picture.
        seconds: of measuring many pictures, for each source and each convolution, above 0.
        progress: is told what happens.

    Raises:
        UsageError: when a number makes no sense.
        TenfoldError: whatever the model, the recipe or its data raise.
    """
    progress = progress or Silent()
    _check(seconds, pictures=pictures, calls=calls)
    with ends_cleanly():
        if source is not None:
            predictor, name = load(source, device=device), str(source)
        else:
            predictor, name = _untrained(recipe, data, device, progress), f"{Path(recipe).stem}, fresh weights"
        return measure_prediction(predictor, name, pictures=pictures, calls=calls, seconds=seconds, progress=progress)


def _check(seconds: float, **counts: int) -> None:
    """Raises UsageError where there would be nothing to measure."""
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"{name} is {count}; expected 1 or more")
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds:g} seconds were asked for; expected a number above 0")


def _data_flag(data: str | None) -> list[str]:
    return [] if data is None else ["--data", data]


def _set_flags(overrides: Sequence[str], device: str | None) -> list[str]:
    lines = [*overrides, *([] if device is None else [f"train.device={device}"])]
    return [word for line in lines for word in ("--set", line)]


def _prepared(
    recipe: str | Path, data: str | None, overrides: Sequence[str], device: str | None, progress: Progress
) -> tuple[Recipe, Dataset]:
    """Returns the recipe that is meant and its pictures, whose store is there from now on."""
    chosen = load_recipe(recipe, overrides)
    if data is not None:
        chosen = resolve(chosen, {"data.source": data})
    if device is not None:
        chosen = resolve(chosen, {"train.device": device})
    choose_device(chosen.train.device)  # a missing one is found before any work is done
    pictures = build_dataset(request_of(chosen.data), progress.prepare)
    tell(pictures, progress)
    return chosen, pictures


def _rebuilding(request: DataRequest, pictures: Dataset) -> Callable[[], Dataset] | None:
    """Returns what prepares the pictures anew in an empty cache; None where that would be a download."""
    if request.source == "auto":
        request = replace(request, source=pictures.name)
    if request.source in SOURCES:
        folder = Path(request.data_dir).expanduser() if request.data_dir else None
        found = find_cifar(source_named(request.source), folder, cache_folder())
        if found is None:
            return None
        request = replace(request, data_dir=str(found.parent))
    return lambda: build_dataset(request)


def _untrained(recipe: str | Path, data: str, device: str, progress: Progress) -> Predictor:
    """Returns a classifier whose weights are those that training begins with."""
    chosen, pictures = _prepared(recipe, data, (), device, progress)
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        classifier = make_classifier(chosen, pictures, None)
    classifier.model.to(choose_device(device)).eval()
    return Predictor(classifier)


def bench_width(
    *,
    devices: Sequence[str] = ("cpu", "cuda"),
    widths: Sequence[int] = (6, 30, 90, 170),
    batch_size: int = 4,
    seconds: float = 2.0,
    precision: str = "auto",
    progress: Progress | None = None,
) -> WidthStudy:
    """Does the tutorials' width exercise: makes the first convolution wider and tells what a GPU gains.

    Args:
        devices: to compare, e.g. `cpu`, `cuda`, `cuda:1`, `mps`; those that are not there are left out, and
            `progress` is told so.
        widths: channels of the first convolution of the network `wide`, each at least 1.
        batch_size: pictures in a step, at least 1.
        seconds: of measuring for each width and device, above 0.
        precision: `auto`, `float32` or `bfloat16`.
        progress: is told what happens.

    Raises:
        UsageError: when no width or device is given, a name is no device's, or `seconds` is not above 0.
        DeviceError: when none of the devices is there.
        RecipeError: when a width, the batch size or the precision is refused.
        TrainingError: when memory runs out.
    """
    progress = progress or Silent()
    for noun, given in (("width", widths), ("device", devices)):
        if not given:
            raise UsageError(f"no {noun} was given; expected at least one")
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds:g} seconds were asked for; expected a number above 0")
    # operation by operation everywhere: the widths are compared with one another, and so are the devices
    fixed = {"train.batch_size": batch_size, "train.precision": precision, "train.execution": "eager"}
    recipe = load_recipe("wide", fixed)
    machines = {
        name: choose_hardware(recipe.train.model_copy(update={"device": name})) for name in _present(devices, progress)
    }
    return study_widths(recipe, list(dict.fromkeys(widths)), machines, seconds, progress)


def _present(devices: Sequence[str], progress: Progress) -> list[str]:
    """Returns the devices that this machine has, each once; says which are left out."""
    present: list[str] = []
    missing: list[str] = []
    for name in dict.fromkeys(devices):
        try:
            present.append(str(choose_device(name)))
        except DeviceError:
            missing.append(name)
    present = list(dict.fromkeys(present))
    if not present:
        raise DeviceError(
            f"no {' or '.join(missing)} device on this machine, and no other was asked for; use --device cpu"
        )
    if missing:
        progress.message(
            f"no {' or '.join(missing)} device on this machine: "
            f"the {' and '.join(present)} column{'s' * (len(present) > 1)} only"
        )
    return present
