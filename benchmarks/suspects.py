"""How many of the labels that were flipped on purpose are found again.

    python benchmarks/suspects.py DATA --logits NAME.npz [--repeats 2] [--set KEY=VALUE]
    python benchmarks/suspects.py --logits NAME.npz

DATA is what `--data` takes, for example the JPEG copy of CIFAR-10. Of the training labels 3 % get another class at
random; then all pictures are judged as `tenfold suspects` does it, and ranked by every score. What is told is the share
of the flipped ones among as many of the most suspicious. Without DATA, the logits of an earlier run are ranked anew,
which takes a moment.
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
from tenfold.data.types import Dataset
from tenfold.inspect.label_quality import SCORES, estimate_wrong, rank
from tenfold.inspect.out_of_fold import lengthened, out_of_fold_logits
from tenfold.recipes.load import load_recipe


def flipped(labels: NDArray[np.int64], classes: int, share: float, seed: int) -> NDArray[np.int64]:
    """Returns labels of which `share` are another class, any of them as likely as any other."""
    generator = np.random.default_rng(seed)
    places = generator.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[places] = (labels[places] + generator.integers(1, classes, len(places))) % classes
    return noisy


def judge(options: argparse.Namespace) -> None:
    """Flips labels, trains the folds, and saves what they say and what is true."""
    dataset: Dataset = tenfold.dataset(options.data, progress=progress_for(sys.stderr))
    if options.pictures:
        some = np.random.default_rng(options.flip_seed).permutation(len(dataset.train))[: options.pictures]
        dataset = replace(dataset, train=dataset.train.subset(np.sort(some)))
    true = dataset.train.labels
    noisy = flipped(true, len(dataset.classes), options.flip, options.flip_seed)
    dataset = replace(dataset, train=replace(dataset.train, labels=noisy))
    recipe = lengthened(load_recipe(options.recipe, options.settings), options.longer)
    progress = progress_for(sys.stderr)
    logits: list[NDArray[np.float32]] = []
    began = time.perf_counter()
    for repeat in range(options.repeats):
        seed = derive_seed(options.seed, "repeat", repeat)
        logits.append(out_of_fold_logits(recipe, dataset, options.folds, seed, progress))
    progress.finish()
    seconds = time.perf_counter() - began
    print(f"{seconds:.0f} s for {options.repeats} × {options.folds} folds of {len(noisy):,} pictures")
    np.savez(options.logits, logits=np.stack(logits), true=true, noisy=noisy)  # [repeats, N, C], [N], [N]


def compare(path: Path) -> None:
    """Prints how many of the flipped labels each score finds among as many of the most suspicious."""
    saved = np.load(path)
    true, noisy = saved["true"], saved["noisy"]
    wrong = true != noisy
    count = int(wrong.sum())
    for used in range(1, len(saved["logits"]) + 1):
        each = torch.from_numpy(saved["logits"][:used]).double().softmax(2)
        probabilities = each.mean(0).numpy()
        right = float((probabilities.argmax(1) == true).mean())
        print(f"\n{used} repeat{'s' * (used > 1)}: {right:.1%} of the pictures judged rightly")
        print(f"flipped labels among the {count:,} most suspicious, {count / len(noisy):.1%} of all:")
        for score in SCORES:
            found = int(wrong[rank(probabilities, noisy, score).order[:count]].sum())
            print(f"  {score:28} {found:5,} of {count:,}  {found / count:.1%}")
        estimates = [estimate_wrong(probabilities, labels).total for labels in (noisy, true)]
        print("  wrong labels estimated: {:,}; where none is flipped: {:,}".format(*estimates))


def main(arguments: Sequence[str]) -> None:
    """Judges and compares, or compares alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--logits", type=Path, required=True, help="written where DATA is given, else read")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--longer", type=float, default=LONGER)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flip", type=float, default=0.03, help="share of the labels that is flipped")
    parser.add_argument("--flip-seed", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=0, help="only so many of the training pictures")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.data is not None:
        judge(options)
    compare(options.logits)


if __name__ == "__main__":
    main(sys.argv[1:])
