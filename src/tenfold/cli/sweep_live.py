"""A live table of running trials at the foot of a terminal. Only terminals pay for the import of rich."""

import sys
import time
from contextlib import suppress
from typing import NoReturn, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tenfold.cli.sweep_plain import Row, SweepProgress, duration_text

_SECONDS_BETWEEN_FRAMES = 0.25
_MOST_TRIALS = 12  # more would push the lines of those that ended off the screen


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        # rich would end the process, and with it the sweep.
        raise BrokenPipeError


class LiveSweepProgress(SweepProgress):
    """A table of the running trials, with a line for each that has ended above it.

    Frames are drawn when something is heard, without a thread of its own.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = _Console(file=stream, highlight=False)
        self._live: Live | None = None
        self._drawn_at = 0.0

    def heard(self, name: str, row: Row) -> None:
        """Takes note of a new row in the log of a trial, and shows it before long."""
        super().heard(name, row)
        if time.monotonic() - self._drawn_at >= _SECONDS_BETWEEN_FRAMES:
            self._draw()

    def ended(self, name: str, row: Row) -> None:
        """Leaves a line behind, and takes the trial off the table."""
        super().ended(name, row)
        self._draw()

    def message(self, text: str) -> None:
        """Writes a sentence for the user, above the table."""
        with suppress(OSError, ValueError):
            self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Writes a sentence that the user should not miss, above the table where that is on a terminal."""
        if not sys.stderr.isatty():
            super().warn(text)
            return
        with suppress(OSError, ValueError):
            self._console.print(f"warning: {text}", markup=False, soft_wrap=True, style="yellow")

    def finish(self) -> None:
        """Takes the table away; the lines stay."""
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()
        self._live = None

    def _tell_start(self, name: str) -> None:
        self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        with suppress(OSError, ValueError):
            if self._live is None:
                # What goes to standard error may be meant for a file: rich would send it to the terminal.
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            self._live.update(Group(self._table(), Text(self.counts(), style="dim")), refresh=True)

    def _table(self) -> Table:
        shown = list(self._running.items())[:_MOST_TRIALS]
        validated = any(trial.row.get("val_accuracy") is not None for _, trial in shown)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("trial", overflow="ellipsis", no_wrap=True)
        for heading in ("epoch", "step", "loss", "accuracy", *(["validation"] if validated else []), "time"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, trial in shown:
            table.add_row(Text(name), *cells(trial.row, validated=validated))
        return table


def cells(row: Row, *, validated: bool) -> list[str]:
    """Returns epoch, step, loss, accuracy, that of validation where it is wanted, and time of a row of the log.

    Example:
        >>> row = {"epoch": 2, "step": 50, "steps": 200, "train_loss": 1.8321, "train_accuracy": 0.25, "time_s": 12.3}
        >>> cells(row, validated=False)
        ['2', '50 of 200', '1.832', '25.0 %', '12 s']
    """
    wanted = ["train_accuracy", *(["val_accuracy"] if validated else [])]
    step, steps, loss, seconds = (row.get(key) for key in ("step", "steps", "train_loss", "time_s"))
    return [
        str(row.get("epoch", "")),
        "starts" if step is None else f"{step:,} of {steps:,}" if steps else f"{step:,}",
        "" if loss is None else f"{loss:.3f}",
        *("" if row.get(key) is None else f"{row[key] * 100:.1f} %" for key in wanted),
        "" if seconds is None else duration_text(seconds),
    ]
