"""Progress of a run as plain lines, fit for a log file."""

import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tenfold.core.log_text import LogRow, row_text

_FEW_EPOCHS = 12  # each of so few has a line
_SECONDS_BETWEEN_LINES = 1.0
_MAX_SECONDS_BETWEEN_LINES = 30.0  # of training, if the log has rows
_GROWTH = 1.25
_SECONDS_BETWEEN_WRITES = 0.25
_SECONDS_BETWEEN_PREPARE_LINES = 5.0


class Lines:
    """Writes messages; if the stream breaks, as a pipe into `head` does, the lines end and the work goes on.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def message(self, text: str) -> None:
        """Writes a line."""
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """Writes a warning to standard error."""
        with suppress(OSError, ValueError):
            print(f"tenfold: warning: {text}", file=sys.stderr, flush=True)


class PlainProgress(Lines):
    """Plain lines: the first, about ten for a run, one for each of few epochs, one every 30 seconds of a long run.

    A context manager that ends with `finish`.

    Args:
        stream: where to write.
        tutorial_every: steps between two loss lines in the tutorials' form, `[1,  2000] loss: 2.157`, which
            replace ours; 0 writes one for each row of the log.
    """

    def __init__(self, stream: TextIO, *, tutorial_every: int | None = None) -> None:
        super().__init__(stream)
        self._tutorial_every = tutorial_every
        self._steps: int | None = None
        self._steps_per_epoch = 1
        self._last_tenth = 0
        self._last_time = -math.inf  # the first row has a line
        self._pending_lines: list[str] = []
        self._written_at = -math.inf
        self._prepared = ""
        self._prepared_at = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish()

    def message(self, text: str) -> None:
        """Writes a line, after the pending ones."""
        lines, self._pending_lines = [*self._pending_lines, text], []
        self._write("\n".join(lines))

    def prepare(self, description: str, done: int, total: int) -> None:
        """Writes the progress of a preparation: at its start, at its end and every few seconds in between."""
        starts, ends = description != self._prepared, bool(total) and done >= total
        if not starts and not ends and time.monotonic() - self._prepared_at < _SECONDS_BETWEEN_PREPARE_LINES:
            return
        self._prepared = "" if ends else description
        self._prepared_at = time.monotonic()
        self.message(description + _amount_text(done, total, in_bytes=is_download(description)))

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Notes the length of the run and writes its folder."""
        self._steps, self._steps_per_epoch = steps, max(1, steps_per_epoch)
        self.message(f"run folder: {run}")

    def log(self, row: LogRow) -> None:
        """Writes a row of the log if a line is due."""
        if self._tutorial_every is not None and self._is_tutorial_line(row):
            self._write_soon(f"[{row['epoch']}, {row['batch']:5}] loss: {row['train_loss']:.3f}")
        elif self._is_due(row):
            self.message(row_text(row, self.num_epochs()))

    def finish(self) -> None:
        """Writes the pending lines."""
        if self._pending_lines:
            self.message(self._pending_lines.pop())

    def num_epochs(self) -> int | None:
        """Returns the epochs of the whole run, or None if a clock ends it."""
        return None if self._steps is None else math.ceil(self._steps / self._steps_per_epoch)

    def _write(self, text: str) -> None:
        super().message(text)

    def _write_soon(self, line: str) -> None:
        """Writes a line that may be one of thousands per second: a few writes per second for all."""
        now = time.monotonic()
        if now - self._written_at < _SECONDS_BETWEEN_WRITES:
            self._pending_lines.append(line)
            return
        self._written_at = now
        self.message(line)

    def _is_tutorial_line(self, row: LogRow) -> bool:
        every = self._tutorial_every or 1
        return int(row["batch"] or 0) % every == 0 and row.get("train_loss") is not None

    def _is_due(self, row: LogRow) -> bool:
        """Returns whether the run ends, or a line is due that is not too close to the last one."""
        step, seconds = int(row["step"] or 0), float(row["time_s"] or 0.0)
        ends = step == self._steps
        if self._tutorial_every is not None and row.get("val_accuracy") is None and not ends:
            return False
        pause, tenth = seconds - self._last_time, self._tenth(step)
        reached = self._is_milestone(step, tenth, seconds)
        if not ends and (pause < _SECONDS_BETWEEN_LINES or not (reached or pause >= _MAX_SECONDS_BETWEEN_LINES)):
            return False
        self._last_tenth, self._last_time = tenth, seconds
        return True

    def _is_milestone(self, step: int, tenth: int, seconds: float) -> bool:
        """Returns whether another tenth of the run, or one of a few epochs, is over.

        Of many epochs, those that end after a tenth of the run have lines, as they have validation results. Where a
        clock ends the run, the pauses between lines grow with the time.
        """
        num_epochs, ends_epoch = self.num_epochs(), step % self._steps_per_epoch == 0
        if num_epochs is None:
            return seconds >= self._last_time * _GROWTH
        if num_epochs > _FEW_EPOCHS:
            return ends_epoch and tenth > self._last_tenth
        return ends_epoch or tenth > self._last_tenth

    def _tenth(self, step: int) -> int:
        return step * 10 // self._steps if self._steps else 0


def is_download(description: str) -> bool:
    """Returns whether a preparation counts bytes instead of images."""
    return "download" in description.lower()


def _amount_text(done: int, total: int, *, in_bytes: bool) -> str:
    """Returns `: 17.0 of 170.5 MB (10 %)`, or less if less is known."""
    if not done and not total:
        return ""
    if not total:
        return f": {done / 1e6:,.1f} MB" if in_bytes else f": {done:,}"
    amounts = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if in_bytes else f"{done:,} of {total:,}"
    return f": {amounts} ({done / total * 100:.0f} %)"
