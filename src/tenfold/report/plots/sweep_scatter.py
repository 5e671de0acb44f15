"""Charts of the trials of a sweep: a searched key, the search history, accuracy against cost, and seeds."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tenfold.core.text import mean_text, shortened
from tenfold.report.plots.axes import (
    accuracy_limits,
    add_legend,
    add_panel,
    add_title,
    legend_width,
    needs_log_scale,
    set_accuracy_axis,
    set_number_axis,
    show_no_results,
)
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, ORANGE, WHITE, chart
from tenfold.report.study import MAX_ERROR_BARS, Row, SettingResult, Study, as_number

_WIDTH, _HEIGHT = 7.5, 4.2  # inches
_LEFT, _BOTTOM, _RIGHT, _TOP = 0.7, 0.5, 0.25, 0.8  # inches
_COSTS = {"parameters": "parameters", "seconds": "seconds of training"}
_MAX_LABELS = 16

_LABEL_SIZE = 7.5  # points
_MAX_LABEL_WIDTH = 44  # characters
_LABEL_GAP = 9.0  # pixels between a point and its label
_POINT_RADIUS = 7.0  # pixels

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels


def plot_search_key(study: Study, key: str, path: Path, log_scale: bool) -> None:
    """Draws every trial of a search against one key: pruned ones faint, the best one as a star.

    Args:
        study: the sweep, with at least one result; all values of the key are numbers.
        key: of the horizontal axis.
        path: of the PNG.
        log_scale: whether the horizontal axis is logarithmic.

    Raises:
        StorageError: when the file cannot be written.
    """
    values = study.numbers(key)
    pruned = [
        (value, accuracy)
        for row, accuracy in _pruned(study)
        if (value := as_number(row.get(key))) is not None and (value > 0 or not log_scale)
    ]
    legend = ["finished", "best", *(["pruned"] if pruned else [])]
    right = legend_width(legend)
    with chart(path, _WIDTH, _HEIGHT) as figure:
        title = f"{study.metric.capitalize()} against {study.labels[key]}, one point per trial"
        add_title(figure, title, study.subtitle, _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, right, _TOP)
        shown = [*values, *(value for value, _ in pruned)]
        inches, is_discrete = _WIDTH - _LEFT - right, len(set(shown)) <= 8
        set_number_axis(axes, shown, log_scale=log_scale, inches=inches, ticks_at_values=is_discrete)
        bars = [(x, *result.bar) for x, result in zip(values, study.results, strict=True) if result.bar]
        if bars and len(bars) <= MAX_ERROR_BARS:
            axes.vlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.0, alpha=0.35)
        _draw_trials(axes, values, [result.mean for result in study.results], pruned)
        axes.set_xlabel(key)
        add_legend(axes, _legend_handles(axes)[: len(legend)], legend)


def plot_history(study: Study, path: Path) -> None:
    """Draws the accuracy of each trial in order, and the best so far.

    Args:
        study: the sweep; may have no result.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    trials = [
        (float(number), accuracy, row.get("status"))
        for number, row in enumerate(study.rows, 1)
        if (accuracy := study.accuracy(row)) is not None
    ]
    finished = [(number, accuracy) for number, accuracy, status in trials if status == "finished"]
    pruned = [(number, accuracy) for number, accuracy, status in trials if status == "pruned"]
    legend = ["finished", "best", *(["pruned"] if pruned else []), "best so far"]
    with chart(path, _WIDTH, _HEIGHT) as figure:
        add_title(figure, f"{study.metric.capitalize()} of each trial, in order", study.trials_text, _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, legend_width(legend), _TOP)
        if not finished:
            show_no_results(axes)
            return
        numbers, accuracies = [number for number, _ in finished], [accuracy for _, accuracy in finished]
        best = [*accumulate(accuracies, max), max(accuracies)]
        axes.step([*numbers, len(study.rows)], best, where="post", color=ORANGE)
        _draw_trials(axes, numbers, accuracies, pruned)
        axes.set_xlim(0.5, len(study.rows) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True))
        axes.set_xlabel("trial")
        handles = _legend_handles(axes)[: len(legend) - 1] + axes.plot([], [], color=ORANGE)
        add_legend(axes, handles, legend)


def plot_seeds(study: Study, path: Path) -> None:
    """Draws the accuracy of each seed with its interval, and the mean with its interval.

    Args:
        study: trials that differ only in the seed; may have no result.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    rows = [row for row in study.rows if row.get("status") == "finished" and study.accuracy(row) is not None]
    inches = min(max(0.3 * len(rows), 0.9), 18.0)
    with chart(path, _WIDTH, inches + _TOP + _BOTTOM) as figure:
        axes = add_panel(figure, _LEFT, _BOTTOM, _RIGHT, _TOP)
        if not study.results:
            add_title(figure, f"{study.metric.capitalize()} of each seed", study.trials_text, _LEFT)
            show_no_results(axes)
            return
        total, accuracies = study.results[0].spread, [study.accuracy(row) or 0.0 for row in rows]
        title = f"{study.metric.capitalize()} of each seed: mean {mean_text(total.mean, total.std)}"
        band = f"band: 95 % interval for {study.covers} · " if len(rows) > 1 else ""
        add_title(figure, title, f"bars: 95 % interval of one run · {band}{study.trials_text}", _LEFT)
        if total.interval and band:
            axes.axvspan(*total.interval, color=ORANGE, alpha=0.12, linewidth=0)
        axes.axvline(total.mean, color=ORANGE, linewidth=1.2)
        bars = [(index, *interval) for index, row in enumerate(rows) if (interval := study.wilson(row))]
        if bars:
            axes.hlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.4)
        axes.plot(accuracies, range(len(rows)), "o", color=BLUE, markersize=5.5)
        axes.set_yticks(range(len(rows)), list(map(study.run_label, rows)), color=DARK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        ends = [end for _, low, high in bars for end in (low, high)]
        axes.set_xlim(accuracy_limits([*accuracies, *ends, *(total.interval or ())]))
        set_accuracy_axis(axes, vertical=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(study.metric)


def _pruned(study: Study) -> list[tuple[Row, float]]:
    """Returns the pruned trials with their last accuracy, if it is known."""
    rows = [row for row in study.rows if row.get("status") == "pruned"]
    return [(row, accuracy) for row in rows if (accuracy := study.accuracy(row)) is not None]


def _draw_trials(axes: Axes, x: Sequence[float], accuracies: Sequence[float], pruned: Sequence[Point]) -> None:
    """Draws trials, pruned ones hollow, the best one as a star, and sets the accuracy axis."""
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "o", color=GRAY, alpha=0.5, markerfacecolor="none", markersize=4.5)
    axes.plot(x, accuracies, "o", color=BLUE, alpha=0.8, markersize=5, markeredgewidth=0)
    axes.plot(x[best], accuracies[best], "*", color=ORANGE, markersize=14, markeredgecolor=WHITE)
    axes.set_ylim(accuracy_limits([*accuracies, *(accuracy for _, accuracy in pruned)]))
    set_accuracy_axis(axes, vertical=True)


def _legend_handles(axes: Axes) -> list[Line2D]:
    """Returns the markers of finished, best and pruned trials."""
    return [
        *axes.plot([], [], "o", color=BLUE, alpha=0.8, markersize=5, markeredgewidth=0),
        *axes.plot([], [], "*", color=ORANGE, markersize=11, markeredgecolor=WHITE),
        *axes.plot([], [], "o", color=GRAY, alpha=0.5, markerfacecolor="none", markersize=4.5),
    ]


def plot_cost(study: Study, cost: str, path: Path) -> None:
    """Draws accuracy against cost. A line follows the Pareto front; points are labeled with their settings.

    Of many settings only those on the front are labeled.

    Args:
        study: the sweep.
        cost: `parameters` or `seconds`, known for at least one result.
        path: of the PNG.

    Raises:
        StorageError: when the file cannot be written.
    """
    known = [(value, result) for result in study.results if (value := getattr(result, cost)) is not None]
    values = [value for value, _ in known]
    with chart(path, _WIDTH, _HEIGHT) as figure:
        subtitle = f"{study.bars_text} · line: Pareto front"
        add_title(figure, f"{study.metric.capitalize()} against {_COSTS[cost]}", subtitle, _LEFT)
        axes = add_panel(figure, _LEFT, _BOTTOM, _RIGHT, _TOP)
        log_scale = needs_log_scale(values, requested=max(values) > 5 * min(values))
        inches = _WIDTH - _LEFT - _RIGHT
        set_number_axis(axes, values, log_scale=log_scale, inches=inches, ticks_at_values=False)
        front = _pareto_front(known)
        corners = [(value, result.mean) for value, result in front]
        axes.step(*zip(*corners, strict=True), where="post", color=GRAY, linewidth=0.9, linestyle=(0, (4, 2)))
        bars = [(value, *result.bar) for value, result in known if result.bar]
        if bars and len(bars) <= MAX_ERROR_BARS:
            axes.vlines(*zip(*bars, strict=True), color=BLUE, linewidth=1.2, alpha=0.45)
        points = [(value, result.mean) for value, result in known]
        axes.plot(*zip(*points, strict=True), "o", color=BLUE, markersize=5.5)
        ends = [end for _, result in known for end in (result.bar or ())]
        axes.set_ylim(accuracy_limits([*ends, *(mean for _, mean in points)]))
        set_accuracy_axis(axes, vertical=True)
        axes.set_xlabel(_COSTS[cost])
        others = sorted((pair for pair in known if pair not in front), key=lambda pair: -pair[1].mean)
        labeled = front[::-1] + (others if len(known) <= _MAX_LABELS else [])
        labels = {(value, result.mean): study.setting_text(result.settings) for value, result in labeled}
        lines = [((value, low), (value, high)) for value, low, high in bars] + _steps(corners)
        _draw_labels(axes, labels, points, lines)


def _pareto_front(known: Sequence[tuple[float, SettingResult]]) -> list[tuple[float, SettingResult]]:
    """Returns cost and result of the settings that are better than all cheaper ones, the cheapest first."""
    front: list[tuple[float, SettingResult]] = []
    for value, result in sorted(known, key=lambda pair: (pair[0], -pair[1].mean)):
        if not front or result.mean > front[-1][1].mean:
            front.append((value, result))
    return front


def _steps(corners: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Returns the horizontal and vertical segments of a step line."""
    segments = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        segments += [((x, y), (next_x, y)), ((next_x, y), (next_x, next_y))]
    return segments


def _draw_labels(
    axes: Axes, labels: Mapping[Point, str], points: Sequence[Point], lines: Sequence[tuple[Point, Point]]
) -> None:
    """Writes labels beside their points where there is room, in the given order; the others are left out.

    Args:
        axes: with limits and scales set.
        labels: by point, in data coordinates.
        points: all points, which labels never cover.
        lines: lower left and upper right end of vertical or horizontal lines, which labels avoid if they can.
    """
    pixels = [_pixel(axes, point) for point in points]
    occupied = [(x - _POINT_RADIUS, y - _POINT_RADIUS, x + _POINT_RADIUS, y + _POINT_RADIUS) for x, y in pixels]
    crossed = [(*_pixel(axes, start), *_pixel(axes, end)) for start, end in lines]
    for point, label in labels.items():
        text = axes.text(*point, shortened(label, _MAX_LABEL_WIDTH), size=_LABEL_SIZE, color=DARK)
        text.set(ha="center", va="center", path_effects=[withStroke(linewidth=2.5, foreground=WHITE)])
        extent = text.get_window_extent()
        boxes = _candidate_boxes(*_pixel(axes, point), extent.width, extent.height)
        free = [box for box in boxes if _is_inside(axes, box) and not any(_overlap(box, other) for other in occupied)]
        if not free:
            text.remove()
            continue
        clear = [box for box in free if not any(_overlap(box, line) for line in crossed)]
        box = (clear or free)[0]
        occupied.append(box)
        x, y = axes.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        text.set_position((float(x), float(y)))


def _pixel(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _candidate_boxes(x: float, y: float, width: float, height: float) -> list[Box]:
    """Returns boxes to the right, to the left, above, below, and at the four corners of a point."""
    right, left, center = x + _LABEL_GAP, x - _LABEL_GAP - width, x - width / 2
    above, below, level = y + _LABEL_GAP, y - _LABEL_GAP - height, y - height / 2
    corners = [(right, level), (left, level), (center, above), (center, below)]
    corners += [(right, above), (right, below), (left, above), (left, below)]
    return [(a, b, a + width, b + height) for a, b in corners]


def _is_inside(axes: Axes, box: Box) -> bool:
    frame = axes.get_window_extent()
    return bool(frame.x0 <= box[0] and box[2] <= frame.x1 + 15 and frame.y0 <= box[1] and box[3] <= frame.y1 + 10)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
