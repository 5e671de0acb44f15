"""Measured accuracies of the networks that a budget may choose, by number of epochs."""

import tomllib
from bisect import bisect
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from math import log2
from pathlib import Path
from typing import Any

IMAGES_PER_EPOCH = 50_000
"""Images per epoch in the table."""

_TABLE = Path(__file__).parent / "budget.toml"
_DEFAULT_SLOPE = 0.05
"""Gain in accuracy per doubling of the epochs, for a network with a single measurement."""

_MAX_DOUBLINGS = 2.0
"""Doublings beyond the longest measurement that still raise the expected accuracy."""


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Args:
        widths: channels of each group.
        batch_size: images per step.
        lr: learning rate of SGD.
        muon_lr: learning rate of Muon.
        epochs: of `IMAGES_PER_EPOCH` images, above 0.
        accuracy: on the test split, in [0, 1].
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
        rows: its measurements in order of epochs, at least one.
    """

    rows: tuple[Measurement, ...]

    @property
    def name(self) -> str:
        """Its widths as text, e.g. `32, 64, 128`."""
        return ", ".join(map(str, self.rows[0].widths))

    def accuracy(self, epochs: float) -> float:
        """Returns the expected accuracy after `epochs` epochs, in [0, 1]: linear in the logarithm of the epochs.

        Outside the measurements it is cautious: below, it falls at twice the slope of the table's lower end; above, it
        rises at half the slope of the upper end, and not at all beyond four times the longest measurement.

        Example:
            >>> row = Measurement((8,), 250, 0.5, 0.16, epochs=1, accuracy=0.7)
            >>> network = Network((row, Measurement((8,), 250, 0.5, 0.16, epochs=4, accuracy=0.8)))
            >>> [round(network.accuracy(epochs), 4) for epochs in (0.5, 1, 2, 4, 8, 99)]
            [0.6, 0.7, 0.75, 0.8, 0.825, 0.85]
        """
        points = [(log2(row.epochs), row.accuracy) for row in self.rows]
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)] or [_DEFAULT_SLOPE]
        x = log2(epochs)
        (first, lowest), (last, highest) = points[0], points[-1]
        if x < first:
            expected = lowest - 2 * max(slopes[0], _DEFAULT_SLOPE) * (first - x)
        elif x >= last:
            expected = highest + max(slopes[-1], 0) / 2 * min(x - last, _MAX_DOUBLINGS)
        else:
            index = bisect([point[0] for point in points], x) - 1
            expected = points[index][1] + slopes[index] * (x - points[index][0])
        return min(1.0, max(0.0, expected))

    def settings(self, epochs: float) -> dict[str, object]:
        """Returns the recipe keys of this network, with the learning rates measured closest to `epochs`."""
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
    return networks_of(tomllib.loads(_TABLE.read_text(encoding="utf-8")))


def networks_of(table: dict[str, Any]) -> tuple[Network, ...]:
    """Returns the networks of a table; rows with the same widths and batch size are one network.

    Args:
        table: `row` is a list of tables with the fields of `Measurement`.
    """
    rows = [Measurement(**{**row, "widths": tuple(row["widths"])}) for row in table["row"]]

    def network_key(row: Measurement) -> tuple[tuple[int, ...], int]:
        return row.widths, row.batch_size

    rows.sort(key=lambda row: (network_key(row), row.epochs))
    return tuple(Network(tuple(group)) for _, group in groupby(rows, key=network_key))
