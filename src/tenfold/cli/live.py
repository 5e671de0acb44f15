"""Live displays at the bottom of a terminal: a progress bar for a run, a table for a sweep."""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from tenfold.cli.plain import PlainProgress, is_download
from tenfold.cli.sweep_plain import PlainSweepProgress
from tenfold.core.log_text import LogRow, epoch_text, metric_texts, speed_text
from tenfold.core.text import duration

_WIDE = 110  # columns; a narrower terminal has no room for the step
_SECONDS_BETWEEN_FRAMES = 0.25
_MAX_TRIALS = 12  # more would push the lines of finished trials off the screen


class _PipeSafeConsole(Console):
    def on_broken_pipe(self) -> NoReturn:
        # rich would end the process, and with it the training
        raise BrokenPipeError


class _Bar(Progress):
    """A bar that fetches its values when it is drawn, because the log has a thousand times as many rows."""

    def __init__(self, update_values: Callable[[], None], *columns: ProgressColumn | str, **options: Any) -> None:
        self._update_values = update_values
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        self._update_values()
        return super().get_renderables()


class LiveProgress(PlainProgress):
    """A progress bar at the bottom of the terminal, with a line for each epoch above it.

    Args:
        stream: a terminal.
        tutorial_every: see `PlainProgress`.
    """

    def __init__(self, stream: TextIO, *, tutorial_every: int | None = None) -> None:
        super().__init__(stream, tutorial_every=tutorial_every)
        self._console = _PipeSafeConsole(file=stream, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._row: LogRow | None = None

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Writes a warning, above the bar if standard error is a terminal."""
        if not sys.stderr.isatty():
            super().warn(text)
            return
        with suppress(OSError, ValueError):
            self._console.print(f"warning: {text}", markup=False, style="yellow")

    def prepare(self, description: str, done: int, total: int) -> None:
        """Updates the bar of a preparation or download."""
        if description != self._prepared:
            self.finish()
            self._prepared = description
            self._open(_download_columns() if is_download(description) else _prepare_columns())
            self._add(description, total or None)
        self._update(completed=done, total=total or None)
        if total and done >= total:
            self.finish()

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Opens the bar of the training."""
        self.finish()
        super().start(run, steps, steps_per_epoch)
        self._open(_training_columns(wide=self._console.width >= _WIDE))
        self._add("training", steps)

    def log(self, row: LogRow) -> None:
        """Keeps the row for the bar, and writes a line at the end of an epoch."""
        super().log(row)
        self._row = row

    def finish(self) -> None:
        """Removes the bar; the lines stay."""
        super().finish()
        self._prepared = ""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.stop()
        self._bar = self._task = self._row = None

    def _is_due(self, row: LogRow) -> bool:
        ends_epoch = int(row["batch"] or 0) == self._steps_per_epoch or row["step"] == self._steps
        return ends_epoch and super()._is_due(row)

    def _open(self, columns: list[ProgressColumn | str]) -> None:
        # Four frames per second: the display must not take the CPU core that the training needs.
        self._bar = _Bar(self._show_row, *columns, console=self._console, transient=True, refresh_per_second=4)
        with suppress(OSError, ValueError):
            self._bar.start()

    def _show_row(self) -> None:
        row = self._row
        if row is not None:
            self._update(
                completed=int(row["step"] or 0),
                description=epoch_text(row, self.num_epochs()),
                metrics=" · ".join(metric_texts(row)[:2]),
                speed=speed_text(row),
            )

    def _add(self, description: str, total: int | None) -> None:
        if self._bar is not None:
            self._task = self._bar.add_task(description, total=total, metrics="", speed="")

    def _update(self, **fields: object) -> None:
        if self._bar is not None and self._task is not None:
            with suppress(OSError, ValueError):
                self._bar.update(self._task, **fields)  # type: ignore[arg-type]


def _training_columns(*, wide: bool) -> list[ProgressColumn | str]:
    columns: list[ProgressColumn | str] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[metrics]}"),
        TextColumn("{task.fields[speed]}", style="dim"),
    ]
    if wide:
        columns[1:1] = ["step", MofNCompleteColumn()]
    return columns


def _download_columns() -> list[ProgressColumn | str]:
    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]


def _prepare_columns() -> list[ProgressColumn | str]:
    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]


class LiveSweepProgress(PlainSweepProgress):
    """A table of the running trials, with a line for each finished one above it.

    Frames are drawn when a trial reports, without a thread.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = _PipeSafeConsole(file=stream, highlight=False)
        self._live: Live | None = None
        self._drawn_at = 0.0

    def trial_progress(self, name: str, row: LogRow) -> None:
        """Notes a new row in the log of a trial, and draws the table if the last frame is old enough."""
        super().trial_progress(name, row)
        if time.monotonic() - self._drawn_at >= _SECONDS_BETWEEN_FRAMES:
            self._draw()

    def trial_finished(self, name: str, row: LogRow) -> None:
        """Writes the result of a trial, and removes it from the table."""
        super().trial_finished(name, row)
        self._draw()

    def message(self, text: str) -> None:
        """Writes a line above the table."""
        with suppress(OSError, ValueError):
            self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Writes a warning, above the table if standard error is a terminal."""
        if not sys.stderr.isatty():
            super().warn(text)
            return
        with suppress(OSError, ValueError):
            self._console.print(f"warning: {text}", markup=False, soft_wrap=True, style="yellow")

    def finish(self) -> None:
        """Removes the table; the lines stay."""
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()
        self._live = None

    def _show_start(self, name: str) -> None:
        self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        with suppress(OSError, ValueError):
            if self._live is None:
                # Standard error may be redirected to a file, and rich would send it to the terminal.
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            self._live.update(Group(self._table(), Text(self.status_line(), style="dim")), refresh=True)

    def _table(self) -> Table:
        shown = list(self._running.items())[:_MAX_TRIALS]
        with_validation = any(trial.row.get("val_accuracy") is not None for _, trial in shown)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        table.add_column("trial", overflow="ellipsis", no_wrap=True)
        for heading in ("epoch", "step", "loss", "accuracy", *(["validation"] if with_validation else []), "time"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, trial in shown:
            table.add_row(Text(name), *cells(trial.row, with_validation=with_validation))
        return table


def cells(row: LogRow, *, with_validation: bool) -> list[str]:
    """Returns the table cells of a trial: epoch, step, loss, accuracy, validation accuracy if asked for, and time.

    Example:
        >>> row = {"epoch": 2, "step": 50, "steps": 200, "train_loss": 1.8321, "train_accuracy": 0.25, "time_s": 12.3}
        >>> cells(row, with_validation=False)
        ['2', '50 of 200', '1.832', '25.0 %', '12.3 s']
    """
    accuracies = ["train_accuracy", *(["val_accuracy"] if with_validation else [])]
    step, steps, loss, seconds = (row.get(key) for key in ("step", "steps", "train_loss", "time_s"))
    return [
        str(row.get("epoch", "")),
        "starts" if step is None else f"{step:,} of {steps:,}" if steps else f"{step:,}",
        "" if loss is None else f"{loss:.3f}",
        *("" if row.get(key) is None else f"{row[key] * 100:.1f} %" for key in accuracies),
        "" if seconds is None else duration(seconds),
    ]
