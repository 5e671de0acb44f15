"""What class weights and balanced sampling do for 400 images of one class and 20 of another.

    python benchmarks/imbalance.py DATA --out results/NAME.json

DATA is what `--data` takes and must have both classes, for example the JPEG copy of CIFAR-10: of its training images
the first 400 cats and 20 dogs are trained on, of its test images the first 100 of both are evaluated. Each setting is
trained with the same seeds. `--rare ship` takes ships instead of dogs, which are easier to tell from cats.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tenfold
from tenfold.data.types import Dataset, Split
from tenfold.runs.environment import describe_environment

SETTINGS: dict[str, tuple[str, ...]] = {
    "none": (),
    "balanced": ("optim.class_weights=balanced",),
    "balance 1": ("data.balance=1",),
    "balanced, balance 0.5": ("optim.class_weights=balanced", "data.balance=0.5"),
    "balanced, mixup, CutMix": ("optim.class_weights=balanced", "data.augment.mixup=1", "data.augment.cutmix=1"),
}


def uneven(source: Dataset, classes: tuple[str, str], *train_counts: int) -> Dataset:
    """Returns the first images of two classes as a dataset of their own."""

    def first(split: Split, *counts: int) -> Split:
        found = [np.flatnonzero(split.labels == source.classes.index(name)) for name in classes]
        chosen = [indices[:count] for indices, count in zip(found, counts, strict=True)]
        labels = np.repeat(np.arange(2), [len(indices) for indices in chosen])
        return Split(split.images[np.concatenate(chosen)], labels)

    return Dataset("uneven", classes, first(source.train, *train_counts), first(source.test, 100, 100))


def train(dataset: Dataset, recipe: str, seed: int, settings: tuple[str, ...]) -> dict[str, Any]:
    """Trains once; returns what is compared."""
    with tempfile.TemporaryDirectory() as runs:
        run = tenfold.train(recipe, data=dataset, seed=seed, overrides=settings, runs=runs, report=False)
    found = run.evaluation
    return {
        "seed": seed,
        **{name: estimate.value for name, estimate in found.estimates.items()},
        "recalls": [result.recall for result in found.per_class],
        "steps": run.summary["steps"],
        "training_seconds": run.summary["training_seconds"],
    }


def summarized(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns mean and standard deviation over the seeds."""
    columns = {name: [row[name] for row in rows] for name in ("balanced_accuracy", "macro_f1", "roc_auc_ovr")}
    columns |= {f"recall_{name}": [row["recalls"][i] for row in rows] for i, name in enumerate(("cat", "rare"))}
    columns["training_seconds"] = [row["training_seconds"] for row in rows]
    return {
        name: {"mean": round(statistics.mean(values), 4), "std": round(statistics.stdev(values), 4)}
        for name, values in columns.items()
    }


def main() -> None:
    """Trains every setting with every seed, seed by seed, and writes one JSON file as it goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--rare", default="dog", help="Class with 20 images (default: dog).")
    parser.add_argument("--seeds", type=int, default=5, help="Number of seeds (default: 5).")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results.")
    parser.add_argument("--steps", type=int, help="Steps of each run (default: the recipe's).")
    options = parser.parse_args()
    length = [] if options.steps is None else ["train.min_steps=0", f"train.duration={options.steps} steps"]
    dataset = uneven(tenfold.dataset(options.data), ("cat", options.rare), 400, 20)
    results: dict[str, Any] = {
        "data": Path(options.data).name,
        "recipe": options.recipe,
        "rare": options.rare,
        "measured": time.strftime("%Y-%m-%d"),
        "environment": describe_environment(sys.argv),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for seed in range(options.seeds):
        for name, settings in SETTINGS.items():
            runs[name].append(train(dataset, options.recipe, seed, (*length, *settings)))
            print(name, runs[name][-1], flush=True)
        results["runs"] = runs
        if seed:
            results["settings"] = {name: summarized(rows) for name, rows in runs.items()}
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
