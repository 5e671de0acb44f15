"""A row of the log as text: for terminals, log files and notebooks."""

from collections.abc import Mapping
from typing import Any

LogRow = Mapping[str, Any]
"""A row of `metrics.csv`, plus `batch` and `steps`; see `Progress.log`."""


def row_text(row: LogRow, num_epochs: int | None = None) -> str:
    """Returns a row of the log as a line of text.

    Args:
        row: epoch, step, steps, time_s and the losses and accuracies that are known.
        num_epochs: of the whole run, if known.

    Example:
        >>> row_text({"epoch": 1, "step": 50, "steps": 200, "time_s": 12.3, "train_loss": 1.8321}, 2)
        'epoch 1 of 2 · step 50 of 200 · loss 1.832 · 12.3 s'
    """
    of_steps = f" of {row['steps']:,}" if row.get("steps") else ""
    parts = [epoch_text(row, num_epochs), f"step {row['step']:,}{of_steps}", *metric_texts(row)]
    return " · ".join([*parts, f"{row['time_s']:.1f} s"])


def epoch_text(row: LogRow, num_epochs: int | None) -> str:
    """Returns the epoch of a row, with the number of epochs if it is known."""
    return f"epoch {row['epoch']}" + (f" of {num_epochs}" if num_epochs else "")


def metric_texts(row: LogRow) -> list[str]:
    """Returns the losses and accuracies that a row holds."""
    formats = {
        "train_loss": "loss {:.3f}",
        "train_accuracy": "accuracy {:.1%}",
        "val_loss": "validation loss {:.3f}",
        "val_accuracy": "validation accuracy {:.1%}",
    }
    known = [text.format(row[key]) for key, text in formats.items() if row.get(key) is not None]
    return [text.replace("%", " %") for text in known]


def speed_text(row: LogRow) -> str:
    """Returns the steps per second of the run so far, and the remaining time."""
    step, steps, seconds = int(row["step"] or 0), row.get("steps"), float(row["time_s"] or 0.0)
    if not step or not seconds:
        return ""
    speed = f"{step / seconds:,.1f} steps/s" if step > seconds else f"{seconds / step:.1f} s/step"
    if steps is None:
        return speed
    minutes, rest = divmod(round((steps - step) * seconds / step), 60)
    return f"{speed} · {minutes}:{rest:02} left"
