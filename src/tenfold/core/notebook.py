"""Progress in notebooks: the default of Python's functions inside an IPython kernel.

The bar is HTML in one output area that is replaced, which every notebook can show; no widgets are needed.
"""

import html
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tenfold.core.log_text import LogRow, epoch_text, metric_texts, speed_text
from tenfold.core.progress import Progress, SilentProgress

_SECONDS_BETWEEN_FRAMES = 0.25
"""A notebook gets each frame as a message, and the training needs the processor."""


def default_progress() -> Progress:
    """Returns a bar inside a notebook, and silence elsewhere."""
    return NotebookProgress() if in_notebook() else SilentProgress()


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar with a text beside it, in an output area of its own."""

    def __init__(self) -> None:
        self._area: Any = None
        self._drawn_at = 0.0

    def draw(self, text: str, fraction: float | None, *, always: bool = True) -> None:
        """Draws the bar anew.

        Args:
            text: beside the bar.
            fraction: that is done, in [0, 1]; None where it is not known.
            always: whether to draw although the last frame is young.
        """
        now = time.monotonic()
        if not always and self._area is not None and now - self._drawn_at < _SECONDS_BETWEEN_FRAMES:
            return
        self._drawn_at = now
        value = "" if fraction is None else f' value="{min(fraction, 1.0):.4f}"'
        ipython: Any = import_module("IPython.display")
        frame = ipython.HTML(f"<progress{value} max=1></progress> <code>{html.escape(text)}</code>")
        if self._area is None:
            self._area = ipython.display(frame, display_id=True)
        else:
            self._area.update(frame)


class NotebookProgress(SilentProgress):
    """Messages as lines; a bar for preparations without a message in between, and one for the training."""

    def __init__(self) -> None:
        self._preparing, self._training = NotebookBar(), NotebookBar()
        self._description = ""
        self._steps: int | None = None
        self._steps_per_epoch = 1
        self._row: LogRow | None = None

    def message(self, text: str) -> None:
        """Prints a line."""
        print(text)
        self._preparing = NotebookBar()

    def prepare(self, description: str, done: int, total: int) -> None:
        """Draws the progress of a preparation."""
        always = description != self._description or bool(total and done >= total)
        self._description = description
        self._preparing.draw(description, done / total if total else None, always=always)

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Prints the run folder, and opens the bar of the training."""
        self._steps, self._steps_per_epoch = steps, max(1, steps_per_epoch)
        self._training, self._row = NotebookBar(), None
        self.message(f"run folder: {run}")
        self._training.draw("training", 0.0)

    def log(self, row: LogRow) -> None:
        """Draws a row of the log, if the last frame is old enough."""
        self._row = row
        self._draw_row(always=False)

    def finish(self) -> None:
        """Leaves the last row as it is."""
        if self._row is not None:
            self._draw_row(always=True)
        self._row = None

    def _draw_row(self, *, always: bool) -> None:
        row = self._row or {}
        epochs = None if self._steps is None else -(-self._steps // self._steps_per_epoch)
        parts = [epoch_text(row, epochs), *metric_texts(row), speed_text(row)]
        step = int(row["step"] or 0)
        self._training.draw(" · ".join(filter(None, parts)), step / self._steps if self._steps else None, always=always)
