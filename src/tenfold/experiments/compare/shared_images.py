"""Which test images two runs have in common. M shared images.

Names alone prove nothing: the images of two array datasets are all called `0`, `1` and so on.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.decode.decode import is_image_name
from tenfold.data.sources.cifar_files import SOURCES
from tenfold.data.store.cache_key import dataset_name
from tenfold.experiments.compare.finished_runs import ComparedRun

_CIFAR_TEST_IMAGES = 10_000
_MAX_PAIRS = 3  # that the note on overlapping splits names


class SharedImages(NamedTuple):
    """The test images that two runs have in common, in the order of the first.

    Args:
        first: int64 [M], their indices in the test split of the first run.
        second: int64 [M], their indices in the test split of the second run.
        relabeled: number of images that both have with different labels; they are left out.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    relabeled: int = 0


def same_test_split(a: ComparedRun, b: ComparedRun) -> bool:
    """Returns whether two runs were tested on the same images in the same order, with the same labels."""
    if a.true != b.true:
        return False
    if a.test_digest and b.test_digest and a.test_digest == b.test_digest:
        return True
    if a.fingerprint == b.fingerprint:
        return a.image_names == b.image_names
    return _is_whole_cifar(a, b)


def shared_images(a: ComparedRun, b: ComparedRun) -> SharedImages | None:
    """Returns the test images that two runs have in common, or None if there are none, or none that is sure.

    Images are the same if the whole splits are, or if they are the same file of one source with the same label.

    Args:
        a: the first run.
        b: the second run.
    """
    if same_test_split(a, b):
        everything = np.arange(len(a.true))
        return SharedImages(everything, everything)
    if not _same_files(a, b):
        return None
    index_in_b = {name: index for index, name in enumerate(b.image_names)}
    pairs = [(index, index_in_b[name]) for index, name in enumerate(a.image_names) if name in index_in_b]
    same = [(first, second) for first, second in pairs if a.true[first] == b.true[second]]
    if not same:
        return None
    first, second = np.array(same, np.int64).T
    return SharedImages(first, second, relabeled=len(pairs) - len(same))


def _same_files(a: ComparedRun, b: ComparedRun) -> bool:
    """Returns whether the image names of both runs are paths in one source whose files did not change in between."""
    source = _source_of(a)
    if source is None or source != _source_of(b):
        return False
    changed = _preparation(a) == _preparation(b) and a.image_names == b.image_names and a.test_digest != b.test_digest
    return not (changed and a.test_digest and b.test_digest)


def _source_of(run: ComparedRun) -> tuple[str, str] | None:
    """Returns the source of a run whose test images are files: its path, and the folder that the path is relative to.

    A dataset that was made in Python may have any name in the recipe, so the name of the dataset must fit the path.
    """
    path = Path(run.recipe.data.source)
    are_files = all("/" in name or is_image_name(name) for name in run.image_names)
    if not are_files or dataset_name(path.absolute()) != run.dataset:
        return None
    return str(path), "" if path.is_absolute() else str(run.path.absolute().parent)


def _is_whole_cifar(a: ComparedRun, b: ComparedRun) -> bool:
    """Returns whether both were tested on all test images of CIFAR, which are no files but have a fixed order."""
    if a.dataset not in SOURCES or len(a.true) != _CIFAR_TEST_IMAGES:
        return False
    if {b.dataset, a.recipe.data.source, b.recipe.data.source} != {a.dataset}:
        return False
    return not (a.test_digest and b.test_digest and _preparation(a) == _preparation(b))


def _preparation(run: ComparedRun) -> tuple[object, str]:
    return run.recipe.data.image_size, run.recipe.data.fit


class TestSplits:
    """The test splits of several runs, and which of them have images in common.

    Args:
        runs: with different names.
    """

    __test__ = False  # not a class of tests, whatever pytest makes of its name

    def __init__(self, runs: Sequence[ComparedRun]) -> None:
        self._splits: list[list[ComparedRun]] = []
        for run in runs:
            same = next((split for split in self._splits if same_test_split(split[0], run)), None)
            if same is None:
                self._splits.append([run])
            else:
                same.append(run)
        self._number = {run.name: number for number, split in enumerate(self._splits) for run in split}
        self._order = {run.name: position for position, run in enumerate(runs)}
        self._shared = cache(lambda i, j: shared_images(self._splits[i][0], self._splits[j][0]))

    def shared(self, a: ComparedRun, b: ComparedRun) -> SharedImages | None:
        """Returns the test images that two of the runs have in common; see `shared_images`."""
        return self._shared(self._number[a.name], self._number[b.name])

    def same(self, a: ComparedRun, b: ComparedRun) -> bool:
        """Returns whether two of the runs were tested on the same images; see `same_test_split`."""
        return self._number[a.name] == self._number[b.name]

    def groups(self) -> list[list[ComparedRun]]:
        """Returns the runs, grouped so that no run shares images with one of another group; in order."""
        joined: list[set[int]] = []
        for number in range(len(self._splits)):
            touching = [group for group in joined if any(self._shared(other, number) for other in group)]
            joined = [group for group in joined if group not in touching] + [{number}.union(*touching)]
        groups = [sorted(self._runs(group), key=lambda run: self._order[run.name]) for group in joined]
        return sorted(groups, key=lambda group: self._order[group[0].name])

    def _runs(self, numbers: Iterable[int]) -> list[ComparedRun]:
        return [run for number in numbers for run in self._splits[number]]

    def overlap_note(self) -> str | None:
        """Returns a sentence about pairs of runs that share only a part of their test images, or None."""
        pairs = [(i, j, self._shared(i, j)) for i, j in combinations(range(len(self._splits)), 2)]
        sizes = [len(split[0].true) for split in self._splits]
        partial = [(i, j, found) for i, j, found in pairs if found and len(found.first) < max(sizes[i], sizes[j])]
        if not partial:
            return None
        shared = [
            f"{_range_text([len(found.first)])} of {_range_text([sizes[i], sizes[j]])}{self._pair_text(i, j)}"
            for i, j, found in partial[:_MAX_PAIRS]
        ]
        more = f" and {len(partial) - _MAX_PAIRS} more" if len(partial) > _MAX_PAIRS else ""
        relabeled = max(found.relabeled for _, _, found in partial)
        labels = f"; up to {relabeled:,} that both have are left out because their labels differ" if relabeled else ""
        parts = f"{', '.join(shared)}{more}{labels}"
        return f"the test splits differ: a pair is compared on the images that both have, {parts}"

    def _pair_text(self, i: int, j: int) -> str:
        """Returns which runs have two of the splits; nothing where there are only two runs."""
        if len(self._number) == 2:
            return ""
        return f" ({' and '.join(self._split_text(number) for number in (i, j))})"

    def _split_text(self, number: int) -> str:
        names = [run.name for run in self._splits[number]]
        return names[0] if len(names) == 1 else f"{names[0]} with {len(names) - 1} more"


def _range_text(numbers: Iterable[int]) -> str:
    """Returns `12` or `12 to 40`."""
    ordered = sorted(numbers)
    return f"{ordered[0]:,}" if ordered[0] == ordered[-1] else f"{ordered[0]:,} to {ordered[-1]:,}"
