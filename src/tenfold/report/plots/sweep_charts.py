"""Accuracy over two numeric keys of a sweep."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tenfold.core import durable
from tenfold.report.outcomes import Row, Study
from tenfold.report.plots import axes as ax
from tenfold.report.plots.axes import suits_logarithm
from tenfold.report.plots.canvas import BLUE, GRID, INK, PAPER, QUIET, WARM, chart
from tenfold.report.plots.sweep_keys import draw_names, draw_numbers
from tenfold.report.plots.sweep_scatter import draw_cost, draw_history, draw_seeds, draw_trials
from tenfold.runs.folders import folder_part

_LEFT, _BELOW, _ABOVE = 0.8, 0.5, 0.8  # inches
_MOST_CELLS = 20
_SMALLEST_SPAN = 0.02  # of accuracies between the palest and the darkest colour
_BLUES = LinearSegmentedColormap.from_list("pale to dark blue", ["#eaf3f9", "#7fb8d8", BLUE, "#003a5c"])


def draw_plane(study: Study, keys: Sequence[str], path: Path, logarithmic: Sequence[bool]) -> None:
    """Draws accuracy over two numeric keys: a heat map of a grid, coloured dots of a search; the best is marked.

    Args:
        study: the sweep, with at least one outcome.
        keys: of the horizontal and the vertical axis.
        path: of the PNG.
        logarithmic: whether each of the axes is, where dots are drawn.

    Raises:
        StorageError: when the disk refuses.
    """
    across, upward = (study.numbers(key) for key in keys)
    if study.kind == "search" or max(len(set(across)), len(set(upward))) > _MOST_CELLS:
        _draw_cloud(study, keys, path, logarithmic)
    else:
        _draw_cells(study, keys, path)


def _draw_cells(study: Study, keys: Sequence[str], path: Path) -> None:
    across, upward = (study.numbers(key) for key in keys)
    columns, rows = sorted(set(across)), sorted(set(upward))
    cells: dict[tuple[int, int], list[float]] = {}
    for x, y, outcome in zip(across, upward, study.outcomes, strict=True):
        cells.setdefault((rows.index(y), columns.index(x)), []).append(outcome.mean)
    means = {place: fmean(shares) for place, shares in cells.items()}
    side_x, side_y = max(0.55, min(0.9, 4.2 / len(columns))), max(0.38, 1.6 / len(rows))
    width = max(_LEFT + side_x * len(columns) + 0.3, 5.0)
    height = _ABOVE + side_y * len(rows) + _BELOW
    with chart(path, width, height) as figure:
        ax.heading(figure, _title(study, keys), _subtitle(study, keys), _LEFT)
        axes = ax.panel(figure, _LEFT, _BELOW, width - _LEFT - side_x * len(columns), _ABOVE)
        low, high = _colour_range(list(means.values()))
        picture = np.full((len(rows), len(columns)), np.nan)
        for (row, column), share in means.items():
            picture[row, column] = share
        axes.imshow(picture, cmap=_BLUES, vmin=low, vmax=high, aspect="auto", origin="lower", interpolation="nearest")
        for (row, column), share in means.items():
            colour = PAPER if (share - low) / (high - low) > 0.55 else INK
            axes.text(column, row, f"{share * 100:.1f}", ha="center", va="center_baseline", size=8.5, color=colour)
        _frame_best(axes, max(means, key=lambda place: means[place]))
        axes.set_xticks(range(len(columns)), map(ax.compact, columns), color=INK)
        axes.set_yticks(range(len(rows)), map(ax.compact, rows), color=INK)
        axes.tick_params(length=0)
        axes.set(xlabel=keys[0], ylabel=keys[1])
        axes.spines[:].set_visible(False)


def _frame_best(axes: Axes, place: tuple[int, int]) -> None:
    corner = (place[1] - 0.5, place[0] - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=WARM, linewidth=2.2, clip_on=False, zorder=3))


def _draw_cloud(study: Study, keys: Sequence[str], path: Path, logarithmic: Sequence[bool]) -> None:
    (across, upward), width, height, right = (study.numbers(key) for key in keys), 7.5, 4.8, 1.1
    with chart(path, width, height) as figure:
        ax.heading(figure, _title(study, keys), _subtitle(study, keys), _LEFT)
        axes = ax.panel(figure, _LEFT, _BELOW, right, _ABOVE)
        ax.number_axis(axes, across, logarithmic=logarithmic[0], inches=width - _LEFT - right, marked=False)
        ax.number_axis(axes, upward, logarithmic=logarithmic[1], inches=height - 1.3, marked=False, upright=True)
        ordered = sorted(range(len(across)), key=lambda place: study.outcomes[place].mean)  # good ones on top
        shares = [study.outcomes[place].mean for place in ordered]
        low, high = _colour_range(shares)
        places = [across[place] for place in ordered], [upward[place] for place in ordered]
        dots = axes.scatter(*places, c=shares, s=52, cmap=_BLUES, vmin=low, vmax=high, edgecolors=QUIET, linewidths=0.5)
        axes.plot(places[0][-1], places[1][-1], "o", markersize=13, color=WARM, markerfacecolor="none", mew=1.8)
        axes.set(xlabel=keys[0], ylabel=keys[1])
        axes.grid(color=GRID)
        _draw_scale(axes, dots, width, right)


def _draw_scale(axes: Axes, dots: PathCollection, width: float, right: float) -> None:
    box = axes.get_position()
    scale = axes.figure.add_axes((1 - (right - 0.2) / width, box.y0, 0.16 / width, box.height))
    bar = axes.figure.colorbar(dots, cax=scale)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(6)
    bar.formatter = FuncFormatter(lambda share, _: f"{round(share * 100, 6):g} %")
    bar.update_ticks()


def _colour_range(shares: Sequence[float]) -> tuple[float, float]:
    low, high = min(shares), max(shares)
    room = max(0.0, (_SMALLEST_SPAN - (high - low)) / 2)
    return low - room, high + room


def _title(study: Study, keys: Sequence[str]) -> str:
    return f"{study.measure.capitalize()} in % over {study.labels[keys[0]]} and {study.labels[keys[1]]}"


def _subtitle(study: Study, keys: Sequence[str]) -> str:
    rest = [study.labels[key] for key in study.keys if key not in keys]
    parts = ["best in orange", f"mean over {' and '.join(rest)}" if rest else "", study.trials]
    return " · ".join(part for part in parts if part)


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
