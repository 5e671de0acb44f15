"""Photos that look like the same shot at any crop, by the features of a pretrained network.

The search for near duplicates compares pixels at their positions, and so misses crops. Features hardly depend on
positions.

N photos, D features.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import plural
from tenfold.data.duplicates.dataset_images import DatasetImages, ImageRef
from tenfold.data.duplicates.search import DuplicatePair
from tenfold.data.types import Dataset, ProgressCallback
from tenfold.inspect.findings import Finding
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import features_of

MAX_PHOTOS = 2000
"""Number of photos up to which they are compared: two CPU cores compute the features of 60 in a second."""

MIN_COSINE = 0.85
"""Cosine of the features of a pair. Of 79,000 pairs of different photos the largest is 0.82; see docs/check.md."""

SIMILAR = "similar-photos"
"""Rule of the finding and of its pairs."""

_MAX_EXAMPLES = 5

Pair = frozenset[tuple[str, int]]
"""Split and index of two images."""


def are_too_many(dataset: Dataset) -> bool:
    """Returns whether a dataset has too many photos for a comparison, in all splits together."""
    return sum(map(len, dataset.splits().values())) > MAX_PHOTOS


def similar_photos(
    dataset: Dataset, classifier: Classifier, known: Collection[Pair], progress: ProgressCallback
) -> tuple[tuple[Finding, ...], tuple[DuplicatePair, ...]]:
    """Returns the finding on pairs of similar photos, if there is one, and the pairs, the most similar first.

    Args:
        dataset: photos, prepared for the network or of any other size.
        classifier: the pretrained network.
        known: pairs that were found as duplicates already.
        progress: called with the number of photos that are done.
    """
    images = DatasetImages(dataset)
    if are_too_many(dataset):
        sentence = f"crops of one another were not looked for: there are more than {MAX_PHOTOS:,} photos"
        return (Finding("note", SIMILAR, sentence, len(images)),), ()
    fitted = classifier.preprocessing.all_fitted
    parts = [features_of(classifier, fitted(array), progress=progress) for array in images.arrays()]
    pairs = _pairs(np.concatenate(parts))
    if len(pairs) > len(images):
        sentence = f"many photos look alike ({len(pairs):,} pairs), so crops of one another cannot be told from others"
        return (Finding("note", SIMILAR, sentence, len(pairs)),), ()
    refs = (DuplicatePair(SIMILAR, images.ref(one), images.ref(two), cosine, False) for one, two, cosine in pairs)
    found = tuple(pair for pair in refs if _key(pair.first, pair.second) not in known)
    if not found:
        return (), ()
    leaked = sum({pair.first.split, pair.second.split} == {"train", "test"} for pair in found)
    across = f", {leaked:,} of them between train and test" if leaked else ""
    sentence = f"{plural(len(found), 'pair')} of similar photos, perhaps crops of one another{across}: look at them"
    examples = tuple(f"{p.first.name} and {p.second.name} ({p.likeness:.2f})" for p in found[:_MAX_EXAMPLES])
    return (Finding("warning" if leaked else "note", SIMILAR, sentence, len(found), examples),), found


def _key(first: ImageRef, second: ImageRef) -> Pair:
    return frozenset(((first.split, first.index), (second.split, second.index)))


def _pairs(features: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """Returns first, second and cosine of similar photos, the most similar first; `features` is float32 [N, D]."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    cosines = np.triu(directions @ directions.T, 1)  # N N
    first, second = np.nonzero(cosines >= MIN_COSINE)
    values = cosines[first, second]
    order = np.argsort(-values, kind="stable")
    return list(zip(first[order].tolist(), second[order].tolist(), values[order].tolist(), strict=True))
