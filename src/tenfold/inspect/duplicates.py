"""Pairs of pictures whose signatures agree, among all pairs there are: a product of matrices, piece by piece.

N signatures, M pairs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.data.sources.download import Progress
from tenfold.inspect.gallery import Gallery, Picture, Places
from tenfold.inspect.similarity import EVEN, Floats, Traits, likeness, traits

ALIKE = 0.75
"""Signatures that agree less belong to different pictures; see docs/check.md for what is missed."""
MOST_PAIRS = 50_000
"""So many pairs are looked at more closely, or as many as there are pictures; the most similar first."""

_ROWS, _COLUMNS = 512, 2048  # their products fit into the cache of a core
_MOST_PARTNERS = 16


class Candidates(NamedTuple):
    """Pairs that may show the same thing.

    Args:
        first: int64 [M], places of signatures.
        second: int64 [M], each greater than its `first`.
        agreement: float32 [M], in [-1, 1].
        mirrored: bool [M], whether one agrees with the other's mirror image.
        more: whether a tenth of the pairs or more was left out, for there were too many.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    agreement: Floats
    mirrored: NDArray[np.bool_]
    more: bool


def candidates(signatures: Floats, progress: Progress) -> Candidates:
    """Returns the pairs that agree, as they are or one of them mirrored.

    Where a picture has very many partners (a film's frames), only its 16 best among each 2,048 are taken.

    Args:
        signatures: float32 [N, 64], see `traits`.
        progress: told how many pictures are done.
    """
    even, odd = np.ascontiguousarray(signatures[:, :EVEN]), np.ascontiguousarray(signatures[:, EVEN:])
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.bool_]]] = []
    left_out = 0
    for top in range(0, len(signatures), _ROWS):
        rows = slice(top, top + _ROWS)
        for left in range(0, top + _ROWS, _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, top + _ROWS))
            second, first, dropped = _block(even[rows], odd[rows], even[columns], odd[columns], top - left)
            left_out += dropped
            if len(first):
                first, second = first + left, second + top
                straight = np.einsum("mk,mk->m", odd[first], odd[second])
                agreement = np.einsum("mk,mk->m", even[first], even[second]) + np.abs(straight)
                found.append((first, second, agreement, straight < 0))
        progress("Comparing pictures", min(top + _ROWS, len(signatures)), len(signatures))
    return _best(found, left_out, max(MOST_PAIRS, len(signatures)))


def _block(
    even: Floats, odd: Floats, other_even: Floats, other_odd: Floats, ahead: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Returns row and column of the pairs in one block, and how many were left out.

    Args:
        even: float32 [R, 32] of the rows.
        odd: float32 [R, 32] of the rows.
        other_even: float32 [C, 32] of the columns.
        other_odd: float32 [C, 32] of the columns.
        ahead: by how much the first row's place exceeds that of the first column.
    """
    agreement = even @ other_even.T  # [R, C]
    mirrored = odd @ other_odd.T
    agreement += np.abs(mirrored, out=mirrored)
    alike = agreement > ALIKE
    if ahead < len(alike[0]):
        alike &= np.tri(
            alike.shape[0], alike.shape[1], ahead - 1, dtype=np.bool_
        )  # each pair once, and none with itself
    total = int(np.count_nonzero(alike))
    for row in np.flatnonzero(alike.sum(1) > _MOST_PARTNERS) if total > _MOST_PARTNERS else ():
        partners = np.flatnonzero(alike[row])
        weakest = np.argsort(-agreement[row, partners], kind="stable")[_MOST_PARTNERS:]
        alike[row, partners[weakest]] = False
    rows, columns = np.divmod(np.flatnonzero(alike), alike.shape[1])
    return rows, columns, total - len(rows)


def _best(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.bool_]]], left_out: int, most: int
) -> Candidates:
    if not found:
        none = np.zeros(0, np.int64)
        return Candidates(none, none, np.zeros(0, np.float32), np.zeros(0, np.bool_), False)
    first, second, agreement, mirrored = (np.concatenate(parts) for parts in zip(*found, strict=True))
    chosen = np.sort(np.argsort(-agreement, kind="stable")[:most])
    left_out += len(first) - len(chosen)
    more = 9 * left_out >= len(chosen)
    return Candidates(first[chosen], second[chosen], agreement[chosen], mirrored[chosen], more)


ONE_COLOUR = 8
"""Pictures whose channels vary by so little hold one colour, and nothing that could be compared."""
_CHUNK_PIXELS = 4 << 20


@dataclass(frozen=True)
class Twins:
    """Pairs of pictures that are the same or nearly so.

    Args:
        owner: int64 [N], the first picture with the same pixels; a picture without an earlier twin is its own.
        first: int64 [M], places; each the first with its pixels.
        second: int64 [M], places, greater than their `first`; near duplicates of it.
        likeness: float32 [M] in (0, 1], the correlation of local contrast.
        mirrored: bool [M], whether one is the other's mirror image.
        flat: int64 places of the pictures of one colour.
        more: whether the pictures are so alike that pairs were left unchecked.
    """

    owner: Places
    first: Places
    second: Places
    likeness: Floats
    mirrored: NDArray[np.bool_]
    flat: Places
    more: bool


def find_twins(gallery: Gallery, progress: Progress) -> Twins:
    """Finds exact and near duplicates among all pictures, within and across splits.

    Args:
        gallery: the pictures.
        progress: told what is done.
    """
    looks = [traits(images, progress) for images in gallery.parts()]
    digests, signatures, ranges = (np.concatenate(parts) for parts in zip(*looks, strict=True))
    found = Traits(digests, signatures, ranges)
    _, starts, groups = np.unique(found.digests, return_index=True, return_inverse=True)
    owner = starts[groups].astype(np.int64)
    # Of equal pictures one is compared with all others; where there is nothing to see, nothing is compared.
    compared = np.flatnonzero((owner == np.arange(len(gallery))) & (found.ranges > ONE_COLOUR))
    pairs = candidates(found.signatures[compared], progress)
    first, second = compared[pairs.first], compared[pairs.second]
    alike = _looked_at(gallery, first, second, pairs.mirrored, progress)
    same = alike > 0
    flat = np.flatnonzero(found.ranges <= ONE_COLOUR)
    return Twins(owner, first[same], second[same], alike[same], pairs.mirrored[same], flat, pairs.more)


def _looked_at(
    gallery: Gallery, first: Places, second: Places, mirrored: NDArray[np.bool_], progress: Progress
) -> Floats:
    """Returns the likeness [M] of each pair."""
    height, width = gallery.parts()[0].shape[1:3]
    step = max(1, min(512, _CHUNK_PIXELS // (height * width)))
    result = np.zeros(len(first), np.float32)
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        there = gallery.images(second[part])
        turned = mirrored[part]
        there[turned] = there[turned][:, :, ::-1]
        result[part] = likeness(gallery.images(first[part]), there)
        progress("Looking at similar pictures", min(start + step, len(first)), len(first))
    return result


@dataclass(frozen=True)
class Pair:
    """Two pictures that are the same or nearly so.

    Args:
        rule: `exact` or `near`.
        first: the one that stands earlier, train before val before test.
        second: the other.
        likeness: 1 for exact ones, else the correlation of local contrast.
        mirrored: whether one is the other's mirror image.
    """

    rule: str
    first: Picture
    second: Picture
    likeness: float
    mirrored: bool

    @property
    def across(self) -> bool:
        """Whether they lie in different splits."""
        return self.first.split != self.second.split

    @property
    def conflict(self) -> bool:
        """Whether they carry different labels."""
        return self.first.label != self.second.label


@dataclass(frozen=True)
class Leak:
    """Test pictures that were learnt from.

    Args:
        total: test pictures.
        exact: those that are in train pixel for pixel.
        near: those of which only a near duplicate is in train.
        places: places in the test split of both kinds, ascending.
    """

    total: int
    exact: int
    near: int
    places: tuple[int, ...]


def pairs_of(gallery: Gallery, twins: Twins) -> tuple[Pair, ...]:
    """Returns all pairs: those across splits first, most similar first."""
    copies = np.flatnonzero(twins.owner != np.arange(len(gallery)))
    exact = [
        Pair("exact", gallery.picture(int(twins.owner[place])), gallery.picture(int(place)), 1.0, False)
        for place in copies
    ]
    near = [
        Pair("near", gallery.picture(int(one)), gallery.picture(int(other)), round(float(alike), 3), bool(turned))
        for one, other, alike, turned in zip(twins.first, twins.second, twins.likeness, twins.mirrored, strict=True)
    ]
    return tuple(sorted([*exact, *near], key=lambda pair: (not pair.across, pair.rule, -pair.likeness)))


def leak_of(gallery: Gallery, twins: Twins) -> Leak:
    """Returns which test pictures have a twin in train; one of a group of equal pictures speaks for all of them."""
    learnt = np.zeros(len(gallery), np.bool_)
    learnt[twins.owner[gallery.within("train")]] = True
    near = np.zeros(len(gallery), np.bool_)
    near[twins.second[learnt[twins.first]]] = True
    near[twins.first[learnt[twins.second]]] = True
    owners = twins.owner[gallery.within("test")]
    exactly = learnt[owners]
    leaked: NDArray[np.bool_] = exactly | near[owners]
    places = tuple(np.flatnonzero(leaked).tolist())
    return Leak(len(owners), int(exactly.sum()), int((leaked & ~exactly).sum()), places)
