"""What duplicates mean: which test pictures were learnt from, which pictures carry two labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.inspection.duplicates import Twins
from tenfold.data.inspection.gallery import Gallery, Picture


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
