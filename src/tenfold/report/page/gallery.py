"""Which pictures a page shows: the surest mistakes, the least sure answers, and some of every cell. N pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.report.page.confusion import Cell
from tenfold.report.page.facts import Judgement

SHOWN = 24
MOST_TILES = 1_152


def surest_mistakes(judgement: Judgement, most: int = SHOWN) -> NDArray[np.int64]:
    """Returns places of the pictures that were judged wrongly with the greatest probability, int64 [≤ most]."""
    wrong = np.flatnonzero(~judgement.right)
    return wrong[np.argsort(-judgement.probability[wrong], kind="stable")][:most]


def least_sure(judgement: Judgement, most: int = SHOWN) -> NDArray[np.int64]:
    """Returns places of the pictures whose answer had the smallest probability, int64 [≤ most]."""
    return np.argsort(judgement.probability, kind="stable")[:most]


def pictures_of_cells(
    judgement: Judgement, cells: Sequence[Cell], most: int = MOST_TILES, each: int = SHOWN
) -> Mapping[str, tuple[int, ...]]:
    """Returns places of pictures by the key of their cell, the surest first, dealt out in turns.

    Args:
        judgement: of the N pictures.
        cells: in the order in which they are served.
        most: pictures in all.
        each: pictures of one cell.
    """
    waiting = {cell.key: _surest_of(judgement, cell)[:each] for cell in cells}
    dealt: dict[str, list[int]] = {key: [] for key in waiting}
    for turn in range(each):
        for key, places in waiting.items():
            if most > 0 and turn < len(places):
                dealt[key].append(places[turn])
                most -= 1
    return {key: tuple(places) for key, places in dealt.items()}


def _surest_of(judgement: Judgement, cell: Cell) -> list[int]:
    places = np.flatnonzero((judgement.true == cell.true) & (judgement.predicted == cell.predicted))
    order: list[int] = places[np.argsort(-judgement.probability[places], kind="stable")].tolist()
    return order
