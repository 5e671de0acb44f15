"""What a run tells whoever watches it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """A watcher of one run; every method may do nothing."""

    def message(self, text: str) -> None:
        """A sentence for the user: the device, a size that was chosen."""

    def warn(self, text: str) -> None:
        """A sentence that the user should not miss."""

    def prepare(self, description: str, done: int, total: int) -> None:
        """Preparation of the data, `done` of `total` pictures or bytes."""

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Training begins or goes on; `steps` is None when a clock decides."""

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """A row of `metrics.csv`, with `batch` (from 1, within its epoch) and `steps` beside its columns."""

    def finish(self) -> None:
        """Training is over, well or not."""


class Silent:
    """A watcher that keeps everything to itself, warnings excepted: those go through `warnings`."""

    def message(self, text: str) -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Raises a Python warning, which a caller may filter."""
        import warnings

        warnings.warn(text, stacklevel=2)

    def prepare(self, description: str, done: int, total: int) -> None:
        """Does nothing."""

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Does nothing."""

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""
