"""How accurate the networks that a budget may choose from became after so many epochs: a table of measurements."""

import tomllib
from bisect import bisect
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from math import log2
from pathlib import Path
from typing import Any

EPOCH = 50_000
"""Pictures in an epoch of the table."""

_TABLE = Path(__file__).parent / "budget.toml"
_GAIN = 0.05
"""What doubling the epochs gains where one duration only was measured."""

_DOUBLINGS = 2.0
"""So often are the longest epochs of the table taken to be worth doubling."""


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Args:
        widths: channels of each group.
        batch_size: pictures in a step.
        lr: learning rate of SGD.
        muon_lr: learning rate of Muon.
        epochs: of `EPOCH` pictures, above 0.
        accuracy: on test pictures, in [0, 1].
    """

    widths: tuple[int, ...]
    batch_size: int
    lr: float
    muon_lr: float
    epochs: float
    accuracy: float


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Args:
        rows: its measurements by rising epochs, at least one.
    """

    rows: tuple[Measurement, ...]

    @property
    def name(self) -> str:
        """Its widths, for people: `32, 64, 128`."""
        return ", ".join(map(str, self.rows[0].widths))

    def accuracy(self, epochs: float) -> float:
        """Returns the accuracy to expect after `epochs` epochs, in [0, 1]: in a straight line over their logarithm.

        Outside of what was measured it is cautious: below, it falls twice as fast as at the table's lower end; above,
        it rises half as fast as at its upper end, and not at all beyond four times the longest epochs.

        Example:
            >>> row = Measurement((8,), 250, 0.5, 0.16, epochs=1, accuracy=0.7)
            >>> network = Network((row, Measurement((8,), 250, 0.5, 0.16, epochs=4, accuracy=0.8)))
            >>> [round(network.accuracy(epochs), 4) for epochs in (0.5, 1, 2, 4, 8, 99)]
            [0.6, 0.7, 0.75, 0.8, 0.825, 0.85]
        """
        points = [(log2(row.epochs), row.accuracy) for row in self.rows]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)] or [_GAIN]
        at = log2(epochs)
        (first, lowest), (last, highest) = points[0], points[-1]
        if at < first:
            expected = lowest - 2 * max(slopes[0], _GAIN) * (first - at)
        elif at >= last:
            expected = highest + max(slopes[-1], 0) / 2 * min(at - last, _DOUBLINGS)
        else:
            place = bisect([point[0] for point in points], at) - 1
            expected = points[place][1] + slopes[place] * (at - points[place][0])
        return min(1.0, max(0.0, expected))

    def settings(self, epochs: float) -> dict[str, object]:
        """Returns the keys of a recipe that make this network, with the learning rates measured nearest to `epochs`."""
        row = min(self.rows, key=lambda row: abs(log2(row.epochs / epochs)))
        return {
            "model.widths": list(row.widths),
            "train.batch_size": row.batch_size,
            "optim.lr": row.lr,
            "optim.muon_lr": row.muon_lr,
        }


@cache
def measured_networks() -> tuple[Network, ...]:
    """Returns the networks of the shipped table."""
    return networks_in(tomllib.loads(_TABLE.read_text(encoding="utf-8")))


def networks_in(table: dict[str, Any]) -> tuple[Network, ...]:
    """Returns the networks of a table: rows of the same widths and batch size belong together.

    Args:
        table: `row` is a list of tables with the fields of `Measurement`.
    """
    rows = [Measurement(**{**row, "widths": tuple(row["widths"])}) for row in table["row"]]

    def network(row: Measurement) -> tuple[tuple[int, ...], int]:
        return row.widths, row.batch_size

    rows.sort(key=lambda row: (network(row), row.epochs))
    return tuple(Network(tuple(group)) for _, group in groupby(rows, key=network))
