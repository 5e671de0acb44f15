"""Trains a recipe with several seeds in one process and times each run as the speedruns of CIFAR-10 do.

    python benchmarks/gpu/speedrun.py fast94 --seeds 20 --set optim.lr=0.4
    python benchmarks/gpu/speedrun.py --settings settings.json --val --seeds 5

Counted are the whitening fit, all training steps with loading and augmentation, and the evaluation of the test images
with the recipe's views, from decoded images in memory. Not counted: compiling, building network and loader, saving.
The first run is a warm-up and is reported apart. With `--val`, 45,000 of 50,000 training images are trained on and the
others take the place of the test images, so that settings can be chosen without these.

A file of settings is a JSON list of `{"name": …, "recipe": …, "set": ["section.key=value", …]}`. All settings run with
the first seed, then with the second, …, so that a cut-off leaves something of each.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common import DRY_RUN, emit, load_dataset, overrides, synchronize

from tenfold.core import durable
from tenfold.core.progress import SilentProgress
from tenfold.data.build import with_validation
from tenfold.data.types import Dataset
from tenfold.engine import run as engine
from tenfold.models.speed import SpeedNet
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import RunFolder

_WARM_UP_SEED = 1_000_000
_HELD_OUT = 0.1
_MAX_FAILURES = 3


@dataclass(frozen=True)
class Setting:
    """A recipe with overrides, `section.key=value` each."""

    name: str
    recipe: str
    lines: tuple[str, ...]


class Clocks:
    """Adds up the seconds of the parts of a run that the engine does not time itself.

    Args:
        dataset: the evaluation of its test images counts.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._test = dataset.test.images
        self._wrap(engine, "_sample", lambda *_, **__: "whitening")
        self._wrap(SpeedNet, "fit_to", lambda *_, **__: "whitening")
        self._wrap(Classifier, "tta_logits", self._evaluated)

    def _evaluated(self, _: object, images: object, **__: object) -> str:
        return "evaluation" if images is self._test else "other_evaluation"

    def _wrap(self, owner: Any, name: str, part: Callable[..., str]) -> None:
        """Times every call of a function; the device is idle before and after it."""
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            synchronize()
            began = time.perf_counter()
            result = function(*args, **kwargs)
            synchronize()
            self.seconds[part(*args, **kwargs)] += time.perf_counter() - began
            return result

        setattr(owner, name, timed)


def held_out(dataset: Dataset) -> Dataset:
    """Returns the dataset with training images in place of the test images; these are not used at all."""
    drawn = with_validation(dataset, _HELD_OUT, seed=0)
    assert drawn.val is not None
    return replace(drawn, test=drawn.val, val=None)


def run_once(setting: Setting, dataset: Dataset, clocks: Clocks, seed: int) -> dict[str, Any]:
    """Trains and evaluates once; returns accuracies and seconds."""
    recipe = load_recipe(setting.recipe, [*overrides(setting.recipe, setting.lines), f"train.seed={seed}"])
    clocks.seconds.clear()
    graphs = _compiled_graphs()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="speedrun-") as root:
        folder = RunFolder.create(Path(root), dataset.name, setting.recipe, "run")
        durable.write_text(folder.recipe, to_toml(recipe))
        summary = engine.run(recipe, dataset, folder, SilentProgress())
    wall = time.perf_counter() - began
    parts = {"training": summary["training_seconds"], **clocks.seconds}
    counted = sum(parts.get(part, 0.0) for part in ("whitening", "training", "evaluation"))
    return {
        "seed": seed,
        "accuracy": summary["test_accuracy"],
        "plain_accuracy": summary["evaluation"].get("plain_accuracy"),
        "seconds": round(counted, 4),
        **{f"{part}_seconds": round(seconds, 4) for part, seconds in parts.items()},
        "loading_seconds": summary["loading_seconds"],
        "compile_seconds": summary["compile_seconds"],
        "wall_seconds": round(wall, 3),
        "steps": summary["steps"],
        "hardware": summary["hardware"],
        "compiled_graphs": _compiled_graphs() - graphs,
        "peak_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6) if torch.cuda.is_available() else None,
    }


def _compiled_graphs() -> int:
    """Returns how many graphs torch.compile has compiled in this process; recompiling costs each run seconds."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return 0 if dynamo is None else int(dynamo.counters["stats"]["unique_graphs"])


def run_all(settings: list[Setting], seeds: range, dataset: Dataset, protocol: str) -> bool:
    """Runs and reports every setting with every seed; returns whether no run failed."""
    clocks, found, failures = Clocks(dataset), defaultdict(list), 0
    warm = Setting("warm-up", settings[0].recipe, settings[0].lines)
    for setting, seed in [(warm, _WARM_UP_SEED), *((each, seed) for seed in seeds for each in settings)]:
        try:
            line = run_once(setting, dataset, clocks, seed)
        except Exception as error:
            failures += 1
            line = {"seed": seed, "error": f"{type(error).__name__}: {str(error)[:600]}"}
        else:
            found[setting.name].append(line)
        emit(run=setting.name, protocol=protocol, **line)
        if failures >= _MAX_FAILURES:
            break
    for setting in settings:
        emit(summary=setting.name, protocol=protocol, set=setting.lines, **summarize(found[setting.name]))
    return failures == 0


def summarize(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the number of runs, and mean and standard deviation of accuracy and seconds."""
    values: dict[str, Any] = {"n": len(lines)}
    for name in ("accuracy", "seconds", "training_seconds", "wall_seconds", "compile_seconds"):
        numbers = [line[name] for line in lines if line.get(name) is not None]
        if numbers:
            values[name] = round(statistics.mean(numbers), 5)
            values[f"{name}_sd"] = round(statistics.stdev(numbers), 5) if len(numbers) > 1 else None
    return values


def read_settings(path: str) -> list[Setting]:
    """Returns the settings of a JSON file."""
    entries = json.loads(Path(path).read_text(encoding="utf-8"))
    return [Setting(entry["name"], entry.get("recipe", "fast94"), tuple(entry.get("set", ()))) for entry in entries]


def main() -> None:
    """Runs what the command line asks for; exits with 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", default="fast94")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    parser.add_argument("--settings", help="JSON file of several settings")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--val", action="store_true", help="evaluate on held-out training images")
    options = parser.parse_args()
    given = [Setting(options.recipe, options.recipe, tuple(options.set))]
    settings = read_settings(options.settings) if options.settings else given
    seeds = range(options.first_seed, options.first_seed + (1 if DRY_RUN else options.seeds))
    dataset = held_out(load_dataset()) if options.val else load_dataset()
    sys.exit(0 if run_all(settings, seeds, dataset, "held-out" if options.val else "test") else 1)


if __name__ == "__main__":
    main()
