"""What a center crop leaves out of images that are much wider or higher than what a network sees."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tenfold.core.text import percent
from tenfold.data.decode.fit_rule import parse_fit
from tenfold.inspect.findings import Finding

_NEAR_SQUARE, _LONG = 0.2, 0.3
"""Fractions of the median image that its proportions cost: below the first there is no finding, from the second on
another fit is proposed. A photo of 4:3 loses a quarter, one of 3:2 a third."""

_SOME_LONG = 0.4
"""The same for the tenth of the images that loses most: there is a finding, and another fit is proposed."""


def crop_findings(sizes: Counter[tuple[int, int]], image_size: tuple[int, int], fit: str) -> Iterator[Finding]:
    """Yields a finding where a center crop leaves out a large part of the images because of their proportions.

    Args:
        sizes: number of images of each height and width in their files.
        image_size: height and width of the network's input.
        fit: a value of `data.fit`.

    Example:
        >>> next(crop_findings(Counter({(300, 400): 8}), (64, 64), "crop")).sentence
        'the center crop leaves out 25 % of the area of the median image, 25 % of the most elongated one'
    """
    kind, fraction, _ = parse_fit(fit)
    if kind != "crop" or not sizes:
        return
    kept = _kept(sizes, image_size)
    median, some = 1 - np.median(kept), 1 - np.quantile(kept, 0.1)
    if median < _NEAR_SQUARE and some < _SOME_LONG:
        return
    lost = 1 - kept * fraction**2
    rule = "the center crop" if fraction == 1 else f"the center crop of data.fit = {fit}"
    remedy = "; where objects reach to the edges, --set data.fit=pad (or stretch) keeps all of it"
    yield Finding(
        "note",
        "center-crop",
        f"{rule} leaves out {percent(np.median(lost), 0)} of the area of the median image, {percent(lost.max(), 0)} of "
        f"the most elongated one{remedy if median >= _LONG or some >= _SOME_LONG else ''}",
        int((1 - kept >= _NEAR_SQUARE).sum()),
    )


def _kept(sizes: Counter[tuple[int, int]], image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Returns the fraction of each image's area that is in its largest center crop, float64 [N]."""
    heights, widths = np.array(list(sizes), np.float64).T
    scale = np.minimum(heights / image_size[0], widths / image_size[1])
    kept = scale**2 * image_size[0] * image_size[1] / (heights * widths)
    repeated: NDArray[np.float64] = np.repeat(kept, list(sizes.values()))
    return repeated
