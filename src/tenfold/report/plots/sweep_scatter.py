"""Labels beside points that do not touch one another."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tenfold.core.text import shortened
from tenfold.report.outcomes import MOST_BARS, Outcome, Row, Study, number_of
from tenfold.report.plots import axes as ax
from tenfold.report.plots.canvas import BLUE, INK, PAPER, QUIET, WARM, chart

_SIZE = 7.5  # points
_LONGEST = 44  # signs
_GAP = 9.0  # pixels between a point and its label
_POINT = 7.0  # half the width of a point, in pixels

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels


def place_labels(
    axes: Axes, labels: Mapping[Point, str], points: Sequence[Point], lines: Sequence[tuple[Point, Point]] = ()
) -> None:
    """Writes labels beside their points where there is room, the first ones first; the rest are left out.

    Args:
        axes: with limits and scales set.
        labels: by point, in data coordinates.
        points: all that labels must not hide.
        lines: upright or level ones, which labels avoid where they can: lower left and upper right end.
    """
    pixels = [_pixel(axes, point) for point in points]
    taken = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in pixels]
    crossed = [(*_pixel(axes, start), *_pixel(axes, end)) for start, end in lines]
    for point, label in labels.items():
        text = axes.text(*point, shortened(label, _LONGEST), size=_SIZE, color=INK, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])
        extent = text.get_window_extent()
        boxes = _candidates(*_pixel(axes, point), extent.width, extent.height)
        free = [box for box in boxes if _inside(axes, box) and not any(_touch(box, other) for other in taken)]
        if not free:
            text.remove()
            continue
        clear = [box for box in free if not any(_touch(box, line) for line in crossed)]
        box = (clear or free)[0]
        taken.append(box)
        x, y = axes.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        text.set_position((float(x), float(y)))


def _pixel(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _candidates(x: float, y: float, width: float, height: float) -> list[Box]:
    """Returns boxes at the right, at the left, above, below, and at the four corners."""
    right, left, middle = x + _GAP, x - _GAP - width, x - width / 2
    above, below, level = y + _GAP, y - _GAP - height, y - height / 2
    corners = [(right, level), (left, level), (middle, above), (middle, below)]
    corners += [(right, above), (right, below), (left, above), (left, below)]
    return [(a, b, a + width, b + height) for a, b in corners]


def _inside(axes: Axes, box: Box) -> bool:
    frame = axes.get_window_extent()
    return bool(frame.x0 <= box[0] and box[2] <= frame.x1 + 15 and frame.y0 <= box[1] and box[3] <= frame.y1 + 10)


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


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
