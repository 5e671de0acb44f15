"""The short names of common recipe keys: keywords in Python, flags on the command line."""

import math
from collections.abc import Sequence

from tenfold.core.errors import UsageError
from tenfold.recipes.durations import Duration


def keyword_lines(
    overrides: Sequence[str] = (),
    *,
    prefix: str = "",
    data_dir: str | None = None,
    labels: str | None = None,
    splits: str | None = None,
    classes_are_folders: bool = False,
    group: str | None = None,
    exclude: str | None = None,
    relabel: str | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    target: float | None = None,
) -> list[str]:
    """Returns overrides followed by the keywords in the same form, `section.key=value`; later lines win.

    Args:
        overrides: `"section.key=value"` each.
        prefix: what messages write before a keyword: `--` on the command line.
        data_dir: `data.data_dir`.
        labels: `data.labels`.
        splits: `data.splits`.
        classes_are_folders: `data.classes_are_folders`.
        group: `data.group`.
        exclude: `data.exclude`.
        relabel: `data.relabel`.
        epochs: `train.duration` in epochs, above 0.
        batch_size: `train.batch_size`, at least 1.
        lr: `optim.lr`, above 0.
        seed: `train.seed`.
        device: `train.device`.
        target: `train.target`, in (0, 1).

    Raises:
        UsageError: when a number is out of range.

    Example:
        >>> keyword_lines(["optim.name=sgd"], epochs=3, lr=0.1)
        ['optim.name=sgd', 'train.duration=3 epochs', 'optim.lr=0.1']
    """
    for name, number in (("epochs", epochs), ("lr", lr)):
        if number is not None and not (_is_finite(number) and number > 0):
            raise UsageError(f"{prefix}{name} is {_text(number)}; expected a number above 0")
    if target is not None and not (_is_finite(target) and 0 < target < 1):
        raise UsageError(f"{prefix}target is {_text(target)}; expected a fraction between 0 and 1, e.g. 0.9 for 90 %")
    if batch_size is not None and (not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1):
        name = f"{prefix}batch-size" if prefix else "batch_size"
        raise UsageError(f"{name} is {_text(batch_size)}; expected a whole number of at least 1")
    values = {
        "data.data_dir": data_dir,
        "data.labels": labels,
        "data.splits": splits,
        "data.classes_are_folders": "true" if classes_are_folders else None,
        "data.group": group,
        "data.exclude": exclude,
        "data.relabel": relabel,
        "train.duration": None if epochs is None else Duration(epochs, "epochs"),
        "train.batch_size": batch_size,
        "optim.lr": lr,
        "train.seed": seed,
        "train.device": device,
        "train.target": target,
    }
    given = [overrides] if isinstance(overrides, str) else overrides
    return [*given, *(f"{key}={value}" for key, value in values.items() if value is not None)]


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _text(number: object) -> str:
    return f"{number:g}" if isinstance(number, float) else repr(number)
