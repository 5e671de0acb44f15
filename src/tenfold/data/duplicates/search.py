"""Exact and near duplicates within and across splits, and the leak from train into test.

Pairs with similar signatures are found among all pairs by blocked matrix products; then their pixels are compared.

N images or signatures, M pairs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.duplicates.dataset_images import DatasetImages, ImageRef, Indices
from tenfold.data.duplicates.similarity import NUM_EVEN, Floats, ImageFeatures, image_features, likeness
from tenfold.data.types import Leak, ProgressCallback

MIN_AGREEMENT = 0.75
"""Pairs whose signatures agree less are not compared; docs/check.md says what this misses."""

MAX_PAIRS = 50_000
"""Maximum number of pairs to compare, or N if that is larger; the most similar come first."""

_ROWS, _COLUMNS = 512, 2048  # a block of products fits in a core's cache
_MAX_PARTNERS = 16
_MAX_RANGE = 8
"""Images whose channels vary by no more than this are a single color, with nothing to compare."""

_CHUNK_PIXELS = 4 << 20


class CandidatePairs(NamedTuple):
    """Pairs with similar signatures.

    Args:
        first: int64 [M], indices of signatures.
        second: int64 [M], each greater than its `first`.
        agreement: float32 [M], correlation in [-1, 1].
        mirrored: bool [M], whether one agrees with the other's mirror image.
        truncated: whether a tenth of the pairs or more was dropped because there were too many.
    """

    first: Indices
    second: Indices
    agreement: Floats
    mirrored: NDArray[np.bool_]
    truncated: bool


@dataclass(frozen=True)
class Duplicates:
    """Exact and near duplicates, as arrays of image indices.

    Args:
        owner: int64 [N], the first image with the same pixels; an image without an earlier copy is its own.
        first: int64 [M], near duplicates; each is the first image with its pixels.
        second: int64 [M], each greater than its `first`.
        likeness: float32 [M] in (0, 1], correlation of local contrast.
        mirrored: bool [M], whether one is the other's mirror image.
        flat: int64, indices of the images of a single color.
        truncated: whether some candidate pairs were not compared.
    """

    owner: Indices
    first: Indices
    second: Indices
    likeness: Floats
    mirrored: NDArray[np.bool_]
    flat: Indices
    truncated: bool


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that are the same or nearly the same.

    Args:
        rule: `exact`, `near`, or `similar-photos` by the features of a network.
        first: the earlier one, with train before val before test.
        second: the later one.
        likeness: 1 for exact duplicates, else the correlation of local contrast, or the cosine of features.
        mirrored: whether one is the other's mirror image.
    """

    rule: str
    first: ImageRef
    second: ImageRef
    likeness: float
    mirrored: bool

    @property
    def across(self) -> bool:
        """Whether they are in different splits."""
        return self.first.split != self.second.split

    @property
    def conflict(self) -> bool:
        """Whether their labels differ."""
        return self.first.label != self.second.label


def find_duplicates(images: DatasetImages, progress: ProgressCallback, *, only_of_train: bool = False) -> Duplicates:
    """Finds exact and near duplicates among all images, within and across splits.

    Args:
        images: the images of all splits.
        progress: called with what is being done.
        only_of_train: whether to leave out near duplicates but those between train and another split. `find_leak`
            needs no others, and comparing their pixels takes half of the time.
    """
    by_split = [image_features(array, progress) for array in images.arrays()]
    features = ImageFeatures(*(np.concatenate(parts) for parts in zip(*by_split, strict=True)))
    _, starts, groups = np.unique(features.digests, return_index=True, return_inverse=True)
    owner = starts[groups].astype(np.int64)
    # One image of each group of equal ones is compared with all others; a single color is never compared.
    compared = np.flatnonzero((owner == np.arange(len(images))) & (features.ranges > _MAX_RANGE))
    pairs = candidate_pairs(features.signatures[compared], progress)
    first, second, mirrored = compared[pairs.first], compared[pairs.second], pairs.mirrored
    if only_of_train:
        num_train = images.split_range("train").stop
        across = (first < num_train) & (second >= num_train)
        first, second, mirrored = first[across], second[across], mirrored[across]
    values = _likeness_of_pairs(images, first, second, mirrored, progress)
    near = values > 0
    flat = np.flatnonzero(features.ranges <= _MAX_RANGE)
    return Duplicates(owner, first[near], second[near], values[near], mirrored[near], flat, pairs.truncated)


def candidate_pairs(signatures: Floats, progress: ProgressCallback) -> CandidatePairs:
    """Returns the pairs of signatures that agree, directly or with one of them mirrored.

    An image with very many partners, such as a video frame, keeps the 16 best in each block of 2,048.

    Args:
        signatures: float32 [N, 64], see `image_features`.
        progress: called with the number of images done.
    """
    even, odd = np.ascontiguousarray(signatures[:, :NUM_EVEN]), np.ascontiguousarray(signatures[:, NUM_EVEN:])
    blocks: list[tuple[Indices, Indices, Floats, NDArray[np.bool_]]] = []
    num_dropped = 0
    for top in range(0, len(signatures), _ROWS):
        rows = slice(top, top + _ROWS)
        for left in range(0, top + _ROWS, _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, top + _ROWS))
            second, first, dropped = _block_pairs(even[rows], odd[rows], even[columns], odd[columns], top - left)
            num_dropped += dropped
            if len(first):
                first, second = first + left, second + top
                direct = np.einsum("mk,mk->m", odd[first], odd[second])
                agreement = np.einsum("mk,mk->m", even[first], even[second]) + np.abs(direct)
                blocks.append((first, second, agreement, direct < 0))
        progress("Comparing images", min(top + _ROWS, len(signatures)), len(signatures))
    return _best_pairs(blocks, num_dropped, max(MAX_PAIRS, len(signatures)))


def _block_pairs(
    even: Floats, odd: Floats, other_even: Floats, other_odd: Floats, offset: int
) -> tuple[Indices, Indices, int]:
    """Returns row and column of each pair in one block, and the number of dropped pairs.

    Args:
        even: float32 [R, 32] of the rows.
        odd: float32 [R, 32] of the rows.
        other_even: float32 [C, 32] of the columns.
        other_odd: float32 [C, 32] of the columns.
        offset: index of the first row minus index of the first column.
    """
    agreement = even @ other_even.T  # [R, C]
    mirrored = odd @ other_odd.T
    agreement += np.abs(mirrored, out=mirrored)
    agree = agreement > MIN_AGREEMENT
    if offset < agree.shape[1]:
        rows, columns = agree.shape
        agree &= np.tri(rows, columns, offset - 1, dtype=np.bool_)  # each pair once, and no image with itself
    total = int(np.count_nonzero(agree))
    for row in np.flatnonzero(agree.sum(1) > _MAX_PARTNERS) if total > _MAX_PARTNERS else ():
        partners = np.flatnonzero(agree[row])
        weakest = np.argsort(-agreement[row, partners], kind="stable")[_MAX_PARTNERS:]
        agree[row, partners[weakest]] = False
    first, second = np.divmod(np.flatnonzero(agree), agree.shape[1])
    return first, second, total - len(first)


def _best_pairs(
    blocks: list[tuple[Indices, Indices, Floats, NDArray[np.bool_]]], num_dropped: int, max_pairs: int
) -> CandidatePairs:
    if not blocks:
        none = np.zeros(0, np.int64)
        return CandidatePairs(none, none, np.zeros(0, np.float32), np.zeros(0, np.bool_), False)
    first, second, agreement, mirrored = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    best = np.sort(np.argsort(-agreement, kind="stable")[:max_pairs])
    num_dropped += len(first) - len(best)
    truncated = 9 * num_dropped >= len(best)
    return CandidatePairs(first[best], second[best], agreement[best], mirrored[best], truncated)


def _likeness_of_pairs(
    images: DatasetImages, first: Indices, second: Indices, mirrored: NDArray[np.bool_], progress: ProgressCallback
) -> Floats:
    """Returns the likeness of each pair, float32 [M]."""
    height, width = images.arrays()[0].shape[1:3]
    step = max(1, min(512, _CHUNK_PIXELS // (height * width)))
    result = np.zeros(len(first), np.float32)
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        others = images.images(second[part])
        flip = mirrored[part]
        others[flip] = others[flip][:, :, ::-1]
        result[part] = likeness(images.images(first[part]), others)
        progress("Comparing similar images", min(start + step, len(first)), len(first))
    return result


def duplicate_pairs(images: DatasetImages, duplicates: Duplicates) -> tuple[DuplicatePair, ...]:
    """Returns all pairs: those across splits first, exact before near, most similar first."""
    copies = np.flatnonzero(duplicates.owner != np.arange(len(images)))
    exact = [
        DuplicatePair("exact", images.ref(int(duplicates.owner[index])), images.ref(int(index)), 1.0, False)
        for index in copies
    ]
    rows = zip(duplicates.first, duplicates.second, duplicates.likeness, duplicates.mirrored, strict=True)
    near = [
        DuplicatePair("near", images.ref(int(a)), images.ref(int(b)), round(float(value), 3), bool(mirrored))
        for a, b, value, mirrored in rows
    ]
    return tuple(sorted([*exact, *near], key=lambda pair: (not pair.across, pair.rule, -pair.likeness)))


def find_leak(images: DatasetImages, duplicates: Duplicates, split: str = "test") -> Leak:
    """Returns which images of a split have a duplicate in train.

    The owner of a group of equal images stands for them all.

    Args:
        images: the images of all splits.
        duplicates: see `find_duplicates`.
        split: `test` or `val`.
    """
    in_train = np.zeros(len(images), np.bool_)
    in_train[duplicates.owner[images.split_range("train")]] = True
    near_train = np.zeros(len(images), np.bool_)
    near_train[duplicates.second[in_train[duplicates.first]]] = True
    near_train[duplicates.first[in_train[duplicates.second]]] = True
    owners = duplicates.owner[images.split_range(split)]
    exact = in_train[owners]
    leaked: NDArray[np.bool_] = exact | near_train[owners]
    indices = tuple(np.flatnonzero(leaked).tolist())
    return Leak(len(owners), int(exact.sum()), int((leaked & ~exact).sum()), indices)
