"""Scatter charts of a sweep: every trial, what accuracy costs, how a search went, and seeds."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tenfold.report import sweep_axes as ax
from tenfold.report.canvas import BLUE, INK, PAPER, QUIET, WARM, chart
from tenfold.report.outcomes import MOST_BARS, Outcome, Row, Study, number_of
from tenfold.report.sweep_labels import place_labels

_WIDTH, _HEIGHT = 7.5, 4.2
_LEFT, _BELOW, _RIGHT, _ABOVE = 0.7, 0.5, 0.25, 0.8  # inches
_COSTS = {"parameters": "parameters", "seconds": "seconds of training"}
_MOST_LABELS = 16


def draw_trials(study: Study, key: str, path: Path, logarithmic: bool) -> None:
    """Draws every trial of a search against one key: pruned ones faint, the best one marked.

    Args:
        study: the sweep, with at least one outcome; all values of the key are numbers.
        key: to draw against.
        path: of the PNG.
        logarithmic: whether the axis of the key is.

    Raises:
        StorageError: when the disk refuses.
    """
    pruned = [(value, share) for row, share in _pruned(study) if (value := number_of(row.get(key))) is not None]
    if logarithmic:
        pruned = [(value, share) for value, share in pruned if value > 0]
    legend = ["finished", "best", *(["pruned"] if pruned else [])]
    right = ax.legend_room(legend)
    with chart(path, _WIDTH, _HEIGHT) as figure:
        title = f"{study.measure.capitalize()} against {study.labels[key]}, trial by trial"
        ax.heading(figure, title, study.subtitle, _LEFT)
        axes = ax.panel(figure, _LEFT, _BELOW, right, _ABOVE)
        values = study.numbers(key)
        everywhere = [*values, *(value for value, _ in pruned)]
        marked = len(set(everywhere)) <= 8
        inches = _WIDTH - _LEFT - right
        ax.number_axis(axes, everywhere, logarithmic=logarithmic, inches=inches, marked=marked)
        _draw_outcomes(axes, study, values, pruned)
        axes.set_xlabel(key)
        ax.legend_beside(axes, _marks(axes)[: len(legend)], legend)


def draw_history(study: Study, path: Path) -> None:
    """Draws the accuracy of each trial in the order in which they were tried, and the best so far.

    Args:
        study: the sweep; may have no outcome.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    tried = [(place, row) for place, row in enumerate(study.rows, 1) if study.accuracy(row) is not None]
    finished = [(place, study.accuracy(row) or 0.0) for place, row in tried if row.get("status") == "finished"]
    pruned = [(float(place), study.accuracy(row) or 0.0) for place, row in tried if row.get("status") == "pruned"]
    legend = ["finished", "best", *(["pruned"] if pruned else []), "best so far"]
    with chart(path, _WIDTH, _HEIGHT) as figure:
        ax.heading(figure, f"{study.measure.capitalize()} of each trial, in order", study.trials, _LEFT)
        right = ax.legend_room(legend)
        axes = ax.panel(figure, _LEFT, _BELOW, right, _ABOVE)
        if not finished:
            ax.nothing_measured(axes)
            return
        places, shares = [float(place) for place, _ in finished], [share for _, share in finished]
        axes.step([*places, len(study.rows)], [*accumulate(shares, max), max(shares)], where="post", color=WARM)
        _draw_points(axes, places, shares, pruned)
        axes.set_xlim(0.5, len(study.rows) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True))
        axes.set_xlabel("trial")
        marks = _marks(axes)[: len(legend) - 1] + axes.plot([], [], color=WARM)
        ax.legend_beside(axes, marks, legend)


def draw_cost(study: Study, cost: str, path: Path) -> None:
    """Draws accuracy against what it costs, points labelled by their settings where there is room.

    A line follows the settings that no other one beats in both; of many, only these are labelled.

    Args:
        study: the sweep.
        cost: `parameters` or `seconds`; at least one outcome knows it.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    known = [(outcome, value) for outcome in study.outcomes if (value := getattr(outcome, cost)) is not None]
    values = [value for _, value in known]
    with chart(path, _WIDTH, _HEIGHT) as figure:
        subtitle = f"{study.bars} · line: nothing else is both cheaper and better"
        ax.heading(figure, f"{study.measure.capitalize()} against {_COSTS[cost]}", subtitle, _LEFT)
        axes = ax.panel(figure, _LEFT, _BELOW, _RIGHT, _ABOVE)
        logarithmic = ax.suits_logarithm(values, asked_for=max(values) > 5 * min(values))
        inches = _WIDTH - _LEFT - _RIGHT
        ax.number_axis(axes, values, logarithmic=logarithmic, inches=inches, marked=False)
        front = _front(known)
        corners = [value for _, value in front], [outcome.mean for outcome, _ in front]
        axes.step(*corners, where="post", color=QUIET, linewidth=0.9, linestyle=(0, (4, 2)))
        bars = [(value, *outcome.bar) for outcome, value in known if outcome.bar]
        if bars and len(bars) <= MOST_BARS:
            axes.vlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.2, alpha=0.45)
        axes.plot(values, [outcome.mean for outcome, _ in known], "o", color=BLUE, markersize=5.5)
        ends = [end for outcome, _ in known for end in (outcome.bar or ())]
        axes.set_ylim(ax.accuracy_limits([*ends, *(outcome.mean for outcome, _ in known)]))
        ax.accuracy_ticks(axes, upright=True)
        axes.set_xlabel(_COSTS[cost])
        others = sorted((pair for pair in known if pair not in front), key=lambda pair: -pair[0].mean)
        told = front[::-1] + (others if len(known) <= _MOST_LABELS else [])
        labels = {(value, outcome.mean): study.setting(outcome.settings) for outcome, value in told}
        lines = [((value, low), (value, high)) for value, low, high in bars] + _steps(front)
        place_labels(axes, labels, [(value, outcome.mean) for outcome, value in known], lines)


def draw_seeds(study: Study, path: Path) -> None:
    """Draws the accuracy of each seed with its interval, their mean and its interval.

    Args:
        study: trials that differ in nothing but the seed; may have no outcome.
        path: of the PNG.

    Raises:
        StorageError: when the disk refuses.
    """
    runs = [row for row in study.rows if row.get("status") == "finished" and study.accuracy(row) is not None]
    inches = min(max(0.3 * len(runs), 0.9), 18.0)
    with chart(path, _WIDTH, inches + _ABOVE + _BELOW) as figure:
        axes = ax.panel(figure, _LEFT, _BELOW, _RIGHT, _ABOVE)
        if not study.outcomes:
            ax.heading(figure, f"{study.measure.capitalize()} of each seed", study.trials, _LEFT)
            ax.nothing_measured(axes)
            return
        total, shares = study.outcomes[0].spread, [study.accuracy(row) or 0.0 for row in runs]
        scatter = "" if total.deviation is None else f" ± {total.deviation * 100:.1f}"
        title = f"{study.measure.capitalize()} of each seed: mean {total.mean * 100:.1f}{scatter} %"
        band = "band: 95 % interval of the mean · " if total.interval else ""
        ax.heading(figure, title, f"bars: 95 % interval of one run · {band}{study.trials}", _LEFT)
        if total.interval:
            axes.axvspan(*total.interval, color=WARM, alpha=0.12, linewidth=0)
        axes.axvline(total.mean, color=WARM, linewidth=1.2)
        bars = [(place, *both) for place, row in enumerate(runs) if (both := study.wilson(row))]
        if bars:
            axes.hlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.4)
        axes.plot(shares, range(len(runs)), "o", color=BLUE, markersize=5.5)
        axes.set_yticks(range(len(runs)), [f"seed {row.get('seed')}" for row in runs], color=INK)
        axes.set_ylim(len(runs) - 0.4, -0.6)
        ends = [end for _, low, high in bars for end in (low, high)]
        axes.set_xlim(ax.accuracy_limits([*shares, *ends, *(total.interval or ())]))
        ax.accuracy_ticks(axes, upright=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(study.measure)


def _pruned(study: Study) -> list[tuple[Row, float]]:
    """Returns the pruned trials with the accuracy they had come to, where that is known."""
    rows = [row for row in study.rows if row.get("status") == "pruned"]
    return [(row, share) for row in rows if (share := study.accuracy(row)) is not None]


def _draw_outcomes(axes: Axes, study: Study, values: Sequence[float], pruned: Sequence[tuple[float, float]]) -> None:
    bars = [(v, *outcome.bar) for v, outcome in zip(values, study.outcomes, strict=True) if outcome.bar]
    if bars and len(bars) <= MOST_BARS:
        axes.vlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.0, alpha=0.35)
    _draw_points(axes, values, [outcome.mean for outcome in study.outcomes], pruned)


def _draw_points(
    axes: Axes, values: Sequence[float], shares: Sequence[float], pruned: Sequence[tuple[float, float]]
) -> None:
    """Draws trials, pruned ones faint and hollow, the best one larger, and sets the accuracy axis."""
    best = max(range(len(shares)), key=lambda place: shares[place])
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "o", color=QUIET, alpha=0.5, markerfacecolor="none", markersize=4.5)
    axes.plot(values, shares, "o", color=BLUE, alpha=0.8, markersize=5, markeredgewidth=0)
    axes.plot(values[best], shares[best], "*", color=WARM, markersize=14, markeredgecolor=PAPER)
    axes.set_ylim(ax.accuracy_limits([*shares, *(share for _, share in pruned)]))
    ax.accuracy_ticks(axes, upright=True)


def _marks(axes: Axes) -> list[Line2D]:
    """Returns the marks of finished, best and pruned trials, for a legend."""
    return [
        *axes.plot([], [], "o", color=BLUE, alpha=0.8, markersize=5, markeredgewidth=0),
        *axes.plot([], [], "*", color=WARM, markersize=11, markeredgecolor=PAPER),
        *axes.plot([], [], "o", color=QUIET, alpha=0.5, markerfacecolor="none", markersize=4.5),
    ]


def _front(known: Sequence[tuple[Outcome, float]]) -> list[tuple[Outcome, float]]:
    """Returns the outcomes that are better than all cheaper ones, the cheapest first."""
    front: list[tuple[Outcome, float]] = []
    for outcome, value in sorted(known, key=lambda pair: (pair[1], -pair[0].mean)):
        if not front or outcome.mean > front[-1][0].mean:
            front.append((outcome, value))
    return front


def _steps(front: Sequence[tuple[Outcome, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Returns the level and the upright parts of the line along the front."""
    parts = []
    for (here, value), (there, further) in pairwise(front):
        parts += [((value, here.mean), (further, here.mean)), ((further, here.mean), (further, there.mean))]
    return parts
