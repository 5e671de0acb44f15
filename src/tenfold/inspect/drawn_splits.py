"""Near duplicates between train and the splits that Tenfold drew from it.

A draw at random separates photos of one burst, frames of one video and slices of one patient. Accuracy on the drawn
half of such a pair measures memorization.
"""

from collections.abc import Iterator, Mapping, Sequence

from tenfold.core.text import plural, size_text
from tenfold.data.duplicates.dataset_images import DatasetImages
from tenfold.data.duplicates.search import find_duplicates, find_leak
from tenfold.data.store.leak_cache import read_leaks, write_leaks
from tenfold.data.types import Dataset, Leak, ProgressCallback

MAX_IMAGES = 20_000
MAX_PIXELS = 200_000_000
"""Largest dataset that is searched before training: both limits together take 5 seconds, see docs/check.md."""

_VERSION = 1
"""A changed search gets another number, so that remembered results of the previous one are not used."""


def drawn_leaks(dataset: Dataset, progress: ProgressCallback) -> dict[str, Leak]:
    """Returns the images of each drawn split that have a duplicate in train; {} where there was no search.

    The result is remembered in the cache folder.

    Args:
        dataset: searched if a split of it was drawn and it is not too large.
        progress: called with what is being done; not called for a remembered result.
    """
    if not dataset.drawn or is_too_large(dataset):
        return {}
    known = read_leaks(dataset, _VERSION)
    if known is not None and known.keys() == set(dataset.drawn):
        return known
    images = DatasetImages(dataset)
    duplicates = find_duplicates(images, progress, only_of_train=True)
    leaks = {split: find_leak(images, duplicates, split) for split in dataset.drawn}
    write_leaks(dataset, _VERSION, leaks)
    return leaks


def is_too_large(dataset: Dataset) -> bool:
    """Returns whether a search would take more than a few seconds."""
    height, width = dataset.train.images.shape[1:3]
    num_images = sum(map(len, dataset.splits().values()))
    return num_images > MAX_IMAGES or num_images * height * width > MAX_PIXELS


def leak_lines(dataset: Dataset, leaks: Mapping[str, Leak]) -> Iterator[str]:
    """Yields a sentence for each drawn split with duplicates in train, or that there was no search.

    Args:
        dataset: its name stands in the advice.
        leaks: see `drawn_leaks`.
    """
    if "test" in dataset.drawn and is_too_large(dataset):
        yield (
            f"near duplicates between train and the drawn test images were not looked for: "
            f"{plural(sum(map(len, dataset.splits().values())), 'image')} of "
            f"{size_text(dataset.train.images.shape[1:3])}, "
            f"at most {MAX_IMAGES:,} images and {MAX_PIXELS // 10**6:,} million pixels are compared; tenfold check "
            "compares all"
        )
    for split, leak in leaks.items():
        if leak.indices:
            yield _sentence(split, leak)


def fold_leak_lines(leaks: Sequence[Leak]) -> Iterator[str]:
    """Yields a sentence where images of a cross-validation have a duplicate in another fold.

    Args:
        leaks: of each fold, as its test split; none where there was no search.
    """
    found, exact = sum(len(leak.indices) for leak in leaks), sum(leak.exact for leak in leaks)
    if found:
        yield (
            f"{found:,} of {plural(sum(leak.total for leak in leaks), 'image')} have a near duplicate in another fold "
            f"({exact:,} exact): accuracy on them measures memorization; --group duplicates keeps such images in one "
            "fold"
        )


def _sentence(split: str, leak: Leak) -> str:
    """Returns what was found in one split, and what it means."""
    noun = "validation image" if split == "val" else f"{split} image"
    found = f"{len(leak.indices):,} of {plural(leak.total, noun)}"
    if split == "val":
        return f"{found} have a near duplicate in train ({leak.exact:,} exact)"
    return (
        f"{found} have a near duplicate in train ({leak.exact:,} exact): accuracy on them measures "
        "memorization; --group duplicates keeps such images in one split, and tenfold check lists them"
    )
