"""The progress interface: every long task reports to it, and the command line or a notebook shows it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a task. Every method may do nothing."""

    def message(self, text: str) -> None:
        """Receives a sentence for the user, such as the chosen device."""

    def warn(self, text: str) -> None:
        """Receives a warning that the user should not miss."""

    def prepare(self, description: str, done: int, total: int) -> None:
        """Receives the progress of data preparation: `done` of `total` images or bytes."""

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Training starts or resumes. `steps` is None for a run with a time limit."""

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """Receives a row of `metrics.csv`, plus `batch` (from 1, within the epoch) and `steps`."""

    def finish(self) -> None:
        """Training ended, with or without an error."""


class SilentProgress:
    """Shows nothing. Warnings are passed to Python's `warnings`."""

    def message(self, text: str) -> None:
        """Does nothing."""

    def warn(self, text: str) -> None:
        """Issues a Python warning, which a caller may filter."""
        warnings.warn(text, stacklevel=2)

    def prepare(self, description: str, done: int, total: int) -> None:
        """Does nothing."""

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Does nothing."""

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""
