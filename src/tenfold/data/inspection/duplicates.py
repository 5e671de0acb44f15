"""Pictures that occur more than once: pixel for pixel, or changed by cropping, encoding, light or mirroring.

N pictures, M pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.download import Progress
from tenfold.data.inspection.gallery import Gallery, Places
from tenfold.data.inspection.likeness import likeness
from tenfold.data.inspection.search import candidates
from tenfold.data.inspection.signatures import Floats, Traits, traits

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
