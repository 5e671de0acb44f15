"""Which pictures a page shows: the surest mistakes, the least sure answers, and some of every cell. N pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tenfold.core.text import printable
from tenfold.data.types import Dataset, Split
from tenfold.report.page.confusion import Cell
from tenfold.report.page.insight import Insight, lit, look
from tenfold.report.page.predictions import Judgement, why_not_these
from tenfold.report.page.sprites import Sheet, sheet_of, shrunk
from tenfold.runs.run_folder import RunFolder

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


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Args:
        tile: its number in the sheet.
        name: its path, or its place in the test split.
        true: name of its class.
        predicted: name of what it was taken for.
        probability: of that.
        likeliest: names and probabilities of the likeliest classes; empty where the network could not be asked.
    """

    tile: int
    name: str
    true: str
    predicted: str
    probability: float
    likeliest: tuple[tuple[str, float], ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it was recognised."""
        return self.true == self.predicted


@dataclass(frozen=True)
class Wall:
    """Pictures with a sheet of their own.

    Args:
        shown: the pictures in their order.
        sheet: their tiles.
        looked: tiles of where the network looked, in the same order; None where that is not known.
    """

    shown: tuple[Shown, ...]
    sheet: Sheet | None
    looked: Sheet | None = None


@dataclass(frozen=True)
class Pictures:
    """All pictures of a page.

    Args:
        mistakes: wrong with the greatest probability.
        unsure: of the smallest probability.
        cells: pictures by the key of their cell in the confusion matrix.
        sheet: tiles of `cells`.
        missing: why the network could not be asked again, or where it looked is not known; a sentence or None.
    """

    mistakes: Wall
    unsure: Wall
    cells: Mapping[str, tuple[Shown, ...]]
    sheet: Sheet | None
    missing: str | None


def pictures_of(
    folder: RunFolder, dataset: Dataset | None, judgement: Judgement, cells: Sequence[Cell], model: nn.Module | None
) -> Pictures | str:
    """Returns the pictures of a page, or why there are none.

    Args:
        folder: of the run.
        dataset: that it was trained with, where it is to be had.
        judgement: of the test pictures.
        cells: of the confusion matrix that a reader can ask for.
        model: the network, where it is a user's own.
    """
    if dataset is None:
        return "the pictures that the run was judged by were not found"
    if reason := why_not_these(dataset.test, dataset.classes, judgement):
        return reason
    mistakes, unsure = surest_mistakes(judgement), least_sure(judgement)
    both = np.concatenate([mistakes, unsure])
    split = dataset.test.subset(both)
    insight = look(folder, split, judgement, both, model)
    shown, looked = _described(judgement, both, insight), _lit(split, insight)
    half = len(mistakes)
    dealt = pictures_of_cells(judgement, cells)
    places = np.array([place for group in dealt.values() for place in group], np.int64)
    return Pictures(
        mistakes=_wall(shown[:half], split.images[:half], None if looked is None else looked[:half]),
        unsure=_wall(shown[half:], split.images[half:], None if looked is None else looked[half:]),
        cells=_grouped(dealt, _described(judgement, places)),
        sheet=sheet_of(dataset.test.images[places]),
        missing=_missing(insight),
    )


def _described(judgement: Judgement, places: NDArray[np.int64], insight: Insight | str = "") -> tuple[Shown, ...]:
    names = [printable(name) for name in judgement.classes]
    return tuple(
        Shown(
            tile=number,
            name=printable(judgement.pictures[place]),
            true=names[judgement.true[place]],
            predicted=names[judgement.predicted[place]],
            probability=float(judgement.probability[place]),
            likeliest=() if isinstance(insight, str) else insight.likeliest[number],
        )
        for number, place in enumerate(places.tolist())
    )


def _lit(split: Split, insight: Insight | str) -> NDArray[np.uint8] | None:
    """Returns the pictures with light where the network looked, as large as a page shows them."""
    if isinstance(insight, str) or insight.looked is None:
        return None
    return shrunk(lit(split.images, insight.looked))


def _wall(shown: Sequence[Shown], images: NDArray[np.uint8], looked: NDArray[np.uint8] | None) -> Wall:
    first = shown[0].tile if shown else 0
    own = tuple(Shown(**{**vars(picture), "tile": picture.tile - first}) for picture in shown)
    return Wall(own, sheet_of(images), None if looked is None else sheet_of(looked))


def _grouped(dealt: Mapping[str, Sequence[int]], shown: Sequence[Shown]) -> Mapping[str, tuple[Shown, ...]]:
    rest = iter(shown)
    return {key: tuple(next(rest) for _ in group) for key, group in dealt.items()}


def _missing(insight: Insight | str) -> str | None:
    if isinstance(insight, str):
        return f"What the network says beside its answer, and where it looked, is not shown: {printable(insight)}."
    if insight.looked is None:
        return "Where the network looked is not shown: it has no convolution to ask."
    return None
