"""Sentences for whoever watches a command, whatever else it shows."""

import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO


class Lines:
    """Writes sentences; a stream that breaks, as a pipe into `head` does, ends the lines and not the work.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def message(self, text: str) -> None:
        """Writes a sentence for the user."""
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """Writes a sentence that the user should not miss, on standard error."""
        with suppress(OSError, ValueError):
            print(f"tenfold: warning: {text}", file=sys.stderr, flush=True)


Row = Mapping[str, float | int | None]

_LINES_PER_EPOCH = 4
_SECONDS_BETWEEN_LINES = 1.0
_SECONDS_BETWEEN_WRITES = 0.25
_SECONDS_BETWEEN_PREPARING = 5.0


class PlainProgress(Lines):
    """Plain lines, a few an epoch; fit for a log file.

    A stream that breaks, as a pipe into `head` does, ends the lines and not the run.

    Args:
        stream: where to write.
        tutorial_every: batches between two of the tutorials' own lines, `[1,  2000] loss: 2.157`, which
            then take the place of ours; 0 writes one for each row of the log.
    """

    def __init__(self, stream: TextIO, *, tutorial_every: int | None = None) -> None:
        super().__init__(stream)
        self._tutorial_every = tutorial_every
        self._steps: int | None = None
        self._steps_per_epoch = 1
        self._last_quarter = -1
        self._last_time = -math.inf
        self._held_back: list[str] = []
        self._told_at = -math.inf
        self._prepared = ""
        self._prepared_at = -math.inf

    def message(self, text: str) -> None:
        """Writes a sentence for the user, after the lines that were held back."""
        lines, self._held_back = [*self._held_back, text], []
        self._write("\n".join(lines))

    def prepare(self, description: str, done: int, total: int) -> None:
        """Writes how far a preparation is: at its start, its end and every few seconds between."""
        starts, ends = description != self._prepared, bool(total) and done >= total
        if not starts and not ends and time.monotonic() - self._prepared_at < _SECONDS_BETWEEN_PREPARING:
            return
        self._prepared = "" if ends else description
        self._prepared_at = time.monotonic()
        self.message(description + _share_text(done, total, in_bytes=is_download(description)))

    def start(self, run: Path, steps: int | None, steps_per_epoch: int) -> None:
        """Notes how long the run is, and says where it is written."""
        self._steps, self._steps_per_epoch = steps, max(1, steps_per_epoch)
        self.message(f"run folder: {run}")

    def log(self, row: Row) -> None:
        """Writes a row of the log, where a line is due."""
        if self._tutorial_every is not None and self._is_tutorial_line(row):
            self._tell(f"[{row['epoch']}, {row['batch']:5}] loss: {row['train_loss']:.3f}")
        elif self._is_due(row):
            self.message(row_text(row, self.epochs()))

    def finish(self) -> None:
        """Writes what was held back."""
        if self._held_back:
            self.message(self._held_back.pop())

    def epochs(self) -> int | None:
        """Returns the epochs of the whole run, or None where a clock ends it."""
        return None if self._steps is None else math.ceil(self._steps / self._steps_per_epoch)

    def _write(self, text: str) -> None:
        super().message(text)

    def _tell(self, line: str) -> None:
        """Writes one of perhaps thousands of lines a second: together, a few times a second."""
        now = time.monotonic()
        if now - self._told_at < _SECONDS_BETWEEN_WRITES:
            self._held_back.append(line)
            return
        self._told_at = now
        self.message(line)

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
    parts = [epoch_text(row, epochs), f"step {row['step']:,}{of_steps}", *figures(row)]
    return " · ".join([*parts, f"{row['time_s']:.1f} s"])


def epoch_text(row: Row, epochs: int | None) -> str:
    """Returns which epoch a row belongs to, and of how many where that is known."""
    return f"epoch {row['epoch']}" + (f" of {epochs}" if epochs else "")


def figures(row: Row) -> list[str]:
    """Returns losses as numbers and accuracies as percent, those that there are."""
    named = {
        "train_loss": "loss {:.3f}",
        "train_accuracy": "accuracy {:.1%}",
        "val_loss": "validation loss {:.3f}",
        "val_accuracy": "validation accuracy {:.1%}",
    }
    known = [text.format(row[key]) for key, text in named.items() if row.get(key) is not None]
    return [text.replace("%", " %") for text in known]


def speed_text(row: Row) -> str:
    """Returns steps a second over the whole run, and how long the rest will take."""
    step, steps, seconds = int(row["step"] or 0), row.get("steps"), float(row["time_s"] or 0.0)
    if not step or not seconds:
        return ""
    speed = f"{step / seconds:,.1f} steps/s" if step > seconds else f"{seconds / step:.1f} s/step"
    if steps is None:
        return speed
    minutes, rest = divmod(round((steps - step) * seconds / step), 60)
    return f"{speed} · {minutes}:{rest:02} left"


def is_download(description: str) -> bool:
    """Returns whether a preparation counts bytes, and not pictures."""
    return "download" in description.lower()


def _share_text(done: int, total: int, *, in_bytes: bool) -> str:
    """Returns `: 17.0 of 170.5 MB (10 %)`, or less where less is known."""
    if not done and not total:
        return ""
    if not total:
        return f": {done / 1e6:,.1f} MB" if in_bytes else f": {done:,}"
    amounts = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if in_bytes else f"{done:,} of {total:,}"
    return f": {amounts} ({done / total * 100:.0f} %)"
