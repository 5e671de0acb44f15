"""What a run looks like while it goes on: a live bar on a terminal, a few plain lines elsewhere."""

import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

Row = Mapping[str, float | int | None]

_LINES_PER_EPOCH = 4
_SECONDS_BETWEEN_LINES = 1.0
_SECONDS_BETWEEN_PREPARING = 5.0


def progress_for(stream: TextIO | None = None, *, tutorial_every: int | None = None) -> "PlainProgress":
    """Returns a live display where `stream` is a terminal, plain lines elsewhere.

    Args:
        stream: where to write; standard output by default.
        tutorial_every: see `PlainProgress`.
    """
    stream = sys.stdout if stream is None else stream
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    return (RichProgress if live else PlainProgress)(stream, tutorial_every=tutorial_every)


class PlainProgress:
    """Plain lines, a few an epoch; fit for a log file.

    A stream that breaks, as a pipe into `head` does, ends the lines and not the run.

    Args:
        stream: where to write.
        tutorial_every: batches between two of the tutorials' own lines, `[1,  2000] loss: 2.157`, which
            then take the place of ours; 0 writes one for each row of the log.
    """

    def __init__(self, stream: TextIO, *, tutorial_every: int | None = None) -> None:
        self._stream = stream
        self._tutorial_every = tutorial_every
        self._steps: int | None = None
        self._steps_per_epoch = 1
        self._last_quarter = -1
        self._last_time = -math.inf
        self._prepared = ""
        self._prepared_at = -math.inf

    def message(self, text: str) -> None:
        """Writes a sentence for the user."""
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """Writes a sentence that the user should not miss, on standard error."""
        with suppress(OSError, ValueError):
            print(f"tenfold: warning: {text}", file=sys.stderr, flush=True)

    def prepare(self, description: str, done: int, total: int) -> None:
        """Writes how far a preparation is: at its start, its end and every few seconds between."""
        starts, ends = description != self._prepared, bool(total) and done >= total
        if not starts and not ends and time.monotonic() - self._prepared_at < _SECONDS_BETWEEN_PREPARING:
            return
        self._prepared = "" if ends else description
        self._prepared_at = time.monotonic()
        share = f" {done / total:.0%}" if total else ""
        self.message(f"{description}: {_amount(description, done)}{share}")

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Notes how long the run is, and says where it is written."""
        self._steps, self._steps_per_epoch = steps, max(1, steps_per_epoch)
        self.message(f"run folder: {run}")

    def log(self, row: Row) -> None:
        """Writes a row of the log, where a line is due."""
        if self._tutorial_every is not None and self._is_tutorial_line(row):
            self.message(f"[{row['epoch']}, {row['batch']:5}] loss: {row['train_loss']:.3f}")
        elif self._is_due(row):
            self.message(row_text(row, self._epochs()))

    def finish(self) -> None:
        """Does nothing: every line is out already."""

    def _epochs(self) -> int | None:
        return None if self._steps is None else math.ceil(self._steps / self._steps_per_epoch)

    def _is_tutorial_line(self, row: Row) -> bool:
        every = self._tutorial_every or 1
        return int(row["batch"] or 0) % every == 0 and row.get("train_loss") is not None

    def _is_due(self, row: Row) -> bool:
        """Returns whether a quarter of an epoch has passed, and a second of training, or the run ends."""
        step, seconds = int(row["step"] or 0), float(row["time_s"] or 0.0)
        ends = step == self._steps
        if self._tutorial_every is not None and row.get("val_accuracy") is None and not ends:
            return False
        quarter = step * _LINES_PER_EPOCH // self._steps_per_epoch
        if not ends and (quarter == self._last_quarter or seconds - self._last_time < _SECONDS_BETWEEN_LINES):
            return False
        self._last_quarter, self._last_time = quarter, seconds
        return True


class RichProgress(PlainProgress):
    """A live bar at the foot of the terminal, with the lines of each epoch above it.

    Args:
        stream: a terminal.
        tutorial_every: see `PlainProgress`.
    """

    def __init__(self, stream: TextIO, *, tutorial_every: int | None = None) -> None:
        super().__init__(stream, tutorial_every=tutorial_every)
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def message(self, text: str) -> None:
        """Writes a sentence for the user, above the bar."""
        with suppress(OSError, ValueError):
            self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Writes a sentence that the user should not miss, above the bar where that is on a terminal."""
        if not sys.stderr.isatty():
            super().warn(text)
            return
        with suppress(OSError, ValueError):
            self._console.print(f"warning: {text}", markup=False, style="yellow")

    def prepare(self, description: str, done: int, total: int) -> None:
        """Moves the bar of a preparation or download."""
        if description != self._prepared:
            self.finish()
            self._prepared = description
            self._open(_download_columns() if _is_download(description) else _prepare_columns())
            self._add(description, total or None)
        self._update(completed=done, total=total or None)
        if total and done >= total:
            self.finish()

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Opens the bar of the training."""
        self.finish()
        super().start(run, steps, steps_per_epoch)
        self._open(_training_columns())
        self._add("training", steps)

    def log(self, row: Row) -> None:
        """Moves the bar, and leaves a line behind at the end of an epoch."""
        super().log(row)
        self._update(
            completed=int(row["step"] or 0),
            description=_epoch_text(row, self._epochs()),
            figures=" · ".join(_figures(row)),
            speed=_speed_text(row),
        )

    def finish(self) -> None:
        """Takes the bar away; the lines stay."""
        self._prepared = ""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.stop()
        self._bar = self._task = None

    def _is_due(self, row: Row) -> bool:
        ends_epoch = int(row["batch"] or 0) == self._steps_per_epoch or row["step"] == self._steps
        return ends_epoch and super()._is_due(row)

    def _open(self, columns: "list[ProgressColumn | str]") -> None:
        from rich.progress import Progress

        # Four frames a second: the display must not take the core that the training needs.
        self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
        with suppress(OSError, ValueError):
            self._bar.start()

    def _add(self, description: str, total: int | None) -> None:
        if self._bar is not None:
            self._task = self._bar.add_task(description, total=total, figures="", speed="")

    def _update(self, **fields: object) -> None:
        if self._bar is not None and self._task is not None:
            with suppress(OSError, ValueError):
                self._bar.update(self._task, **fields)  # type: ignore[arg-type]


def row_text(row: Row, epochs: int | None = None) -> str:
    """Returns a row of the log as a line for people.

    Args:
        row: epoch, step, steps, time_s and whatever else is known of losses and accuracies.
        epochs: in the whole run, where known.

    Example:
        >>> row_text({"epoch": 1, "step": 50, "steps": 200, "time_s": 12.3, "train_loss": 1.8321}, 2)
        'epoch 1 of 2 · step 50 of 200 · loss 1.832 · 12.3 s'
    """
    of_steps = f" of {row['steps']:,}" if row.get("steps") else ""
    parts = [_epoch_text(row, epochs), f"step {row['step']:,}{of_steps}", *_figures(row)]
    return " · ".join([*parts, f"{row['time_s']:.1f} s"])


def _epoch_text(row: Row, epochs: int | None) -> str:
    return f"epoch {row['epoch']}" + (f" of {epochs}" if epochs else "")


def _figures(row: Row) -> list[str]:
    """Returns losses as numbers and accuracies as percent, those that there are."""
    named = {
        "train_loss": "loss {:.3f}",
        "train_accuracy": "accuracy {:.1%}",
        "val_loss": "validation loss {:.3f}",
        "val_accuracy": "validation accuracy {:.1%}",
    }
    known = [text.format(row[key]) for key, text in named.items() if row.get(key) is not None]
    return [text.replace("%", " %") for text in known]


def _speed_text(row: Row) -> str:
    """Returns steps a second over the whole run, and how long the rest will take."""
    step, steps, seconds = int(row["step"] or 0), row.get("steps"), float(row["time_s"] or 0.0)
    if not step or not seconds:
        return ""
    speed = f"{step / seconds:,.1f} steps/s" if step > seconds else f"{seconds / step:.1f} s/step"
    if steps is None:
        return speed
    minutes, rest = divmod(round((steps - step) * seconds / step), 60)
    return f"{speed} · {minutes}:{rest:02} left"


def _is_download(description: str) -> bool:
    return "download" in description.lower()


def _amount(description: str, done: int) -> str:
    return f"{done / 1e6:,.1f} MB" if _is_download(description) else f"{done:,}"


def _training_columns() -> "list[ProgressColumn | str]":
    from rich.progress import BarColumn, TextColumn

    return [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}"),
        TextColumn("{task.fields[speed]}", style="dim"),
    ]


def _download_columns() -> "list[ProgressColumn | str]":
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]


def _prepare_columns() -> "list[ProgressColumn | str]":
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
