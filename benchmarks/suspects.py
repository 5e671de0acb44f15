"""How many of the labels that were changed on purpose `tenfold suspects` finds again.

    python benchmarks/suspects.py DATA --logits NAME.npz [--repeats 2] [--set KEY=VALUE]
    python benchmarks/suspects.py --logits NAME.npz

DATA is what `--data` takes, for example the JPEG copy of CIFAR-10. 3 % of the training labels are changed at random.
Then all images are predicted as in `tenfold suspects` and ranked by every score. With n changed labels, the recall
among the n most suspicious labels is printed. Without DATA, the logits of an earlier run are ranked again, which takes
a moment.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import tenfold
from tenfold.api.suspects import LONGER
from tenfold.cli.terminal import progress_for
from tenfold.core.randomness import derive_seed
from tenfold.inspect.label_quality import SCORES, estimate_label_errors, rank
from tenfold.inspect.out_of_fold import out_of_fold_logits, scale_duration
from tenfold.recipes.load import load_recipe


def flip_labels(labels: NDArray[np.int64], num_classes: int, fraction: float, seed: int) -> NDArray[np.int64]:
    """Returns labels of which `fraction` are replaced by another class, each with the same probability."""
    generator = np.random.default_rng(seed)
    indices = generator.permutation(len(labels))[: round(fraction * len(labels))]
    noisy = labels.copy()
    noisy[indices] = (labels[indices] + generator.integers(1, num_classes, len(indices))) % num_classes
    return noisy


def predict(options: argparse.Namespace) -> None:
    """Changes labels, trains the folds, and saves their logits with the true labels."""
    dataset = tenfold.dataset(options.data, progress=progress_for(sys.stderr))
    if options.images:
        indices = np.random.default_rng(options.flip_seed).permutation(len(dataset.train))[: options.images]
        dataset = replace(dataset, train=dataset.train.subset(np.sort(indices)))
    true = dataset.train.labels
    noisy = flip_labels(true, len(dataset.classes), options.flip, options.flip_seed)
    dataset = replace(dataset, train=replace(dataset.train, labels=noisy))
    recipe = scale_duration(load_recipe(options.recipe, options.settings), options.longer)
    progress = progress_for(sys.stderr)
    logits: list[NDArray[np.float32]] = []
    started = time.perf_counter()
    for repeat in range(options.repeats):
        seed = derive_seed(options.seed, "repeat", repeat)
        logits.append(out_of_fold_logits(recipe, dataset, options.folds, seed, progress))
    progress.finish()
    seconds = time.perf_counter() - started
    print(f"{seconds:.0f} s for {options.repeats} × {options.folds} folds of {len(noisy):,} images")
    np.savez(options.logits, logits=np.stack(logits), true=true, noisy=noisy)  # [repeats, N, C], [N], [N]


def compare_scores(path: Path) -> None:
    """Prints how many of the n changed labels are among the n most suspicious ones of each score."""
    saved = np.load(path)
    true, noisy = saved["true"], saved["noisy"]
    changed = true != noisy
    count = int(changed.sum())
    for repeats in range(1, len(saved["logits"]) + 1):
        probabilities = torch.from_numpy(saved["logits"][:repeats]).double().softmax(2).mean(0).numpy()
        accuracy = float((probabilities.argmax(1) == true).mean())
        print(f"\n{repeats} repeat{'s' * (repeats > 1)}: accuracy {accuracy:.1%}")
        print(f"changed labels among the {count:,} most suspicious, {count / len(noisy):.1%} of all:")
        for score in SCORES:
            found = int(changed[rank(probabilities, noisy, score).order[:count]].sum())
            print(f"  {score:28} {found:5,} of {count:,}  {found / count:.1%}")
        estimates = [estimate_label_errors(probabilities, labels).total for labels in (noisy, true)]
        print("  estimated label errors: {:,}; with the true labels: {:,}".format(*estimates))


def main(arguments: Sequence[str]) -> None:
    """Predicts and compares, or only compares."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--logits", type=Path, required=True, help="File that is written with DATA, else read.")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--longer", type=float, default=LONGER)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flip", type=float, default=0.03, help="Fraction of changed labels (default: 0.03).")
    parser.add_argument("--flip-seed", type=int, default=7)
    parser.add_argument("--images", type=int, default=0, help="Number of training images to use (default: all).")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.data is not None:
        predict(options)
    compare_scores(options.logits)


if __name__ == "__main__":
    main(sys.argv[1:])
