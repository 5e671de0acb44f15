"""The charts of a sweep, as PNG files, from nothing but its rows."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.report.outcomes import Row, Study
from tenfold.report.sweep_axes import suits_logarithm
from tenfold.report.sweep_keys import draw_names, draw_numbers
from tenfold.report.sweep_plane import draw_plane
from tenfold.report.sweep_scatter import draw_cost, draw_history, draw_seeds, draw_trials
from tenfold.runs.naming import folder_part

_MOST_DISCRETE = 24  # values of a grid that still get a dot with its own tick each


def draw_sweep(
    rows: Sequence[Row],
    keys: Sequence[str],
    folder: Path,
    kind: str = "grid",
    *,
    reference: Mapping[Any, float] | None = None,
    logarithmic: Collection[str] | None = None,
) -> list[Path]:
    """Draws accuracy against each varied key, two numeric keys together, parameters and seconds.

    Files are called after the keys: `model.width.png`, `model.width-optim.lr.png`; then `parameters.png`,
    `seconds.png`, for a search `history.png`, and where nothing but the seed varies `seeds.png`.

    Args:
        rows: one for each trial, as `SweepFolder.rows` returns them.
        keys: those that vary, dotted.
        folder: where; created if missing.
        kind: `grid`, `search` or `seeds`.
        reference: accuracies in [0, 1] that others report, by value of the first key.
        logarithmic: keys to be shown on a logarithmic axis; None decides by their values.

    Returns:
        The files written.

    Raises:
        StorageError: when the disk refuses.
    """
    durable.make_folder(folder)
    study = Study(rows, keys, kind)
    by_factors = {key: _is_logarithmic(study.numbers(key), key, logarithmic) for key in keys}
    drawn = []
    for key in keys:
        drawn.append(folder / f"{folder_part(key)}.png")
        _draw_key(study, key, drawn[-1], (reference or {}) if key == keys[0] else {}, by_factors[key])
    numeric = [key for key in keys if study.numbers(key)]
    if len(numeric) == 2:
        drawn.append(folder / f"{'-'.join(map(folder_part, numeric))}.png")
        draw_plane(study, numeric, drawn[-1], [by_factors[key] for key in numeric])
    if kind == "search":
        drawn.append(folder / "history.png")
        draw_history(study, drawn[-1])
    if not keys:
        drawn.append(folder / "seeds.png")
        draw_seeds(study, drawn[-1])
    for cost in ("parameters", "seconds"):
        if len({getattr(outcome, cost) for outcome in study.outcomes} - {None}) > 1:
            drawn.append(folder / f"{cost}.png")
            draw_cost(study, cost, drawn[-1])
    return drawn


def _is_logarithmic(values: Sequence[float], key: str, asked_for: Collection[str] | None) -> bool:
    if asked_for is None:
        return suits_logarithm(values)
    return key in asked_for and suits_logarithm(values, asked_for=True)


def _draw_key(study: Study, key: str, path: Path, reference: Mapping[Any, float], logarithmic: bool) -> None:
    numbers = study.numbers(key)
    if not numbers:
        draw_names(study, key, path, reference)
    elif study.kind == "search" or len(set(numbers)) > _MOST_DISCRETE:
        draw_trials(study, key, path, logarithmic)
    else:
        draw_numbers(study, key, path, reference, logarithmic)
