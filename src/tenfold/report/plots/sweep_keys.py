"""Charts of accuracy against the values of one key: points with error bars, and beside them bars from 0 %.

A point is one setting. With one run its error bar is the 95 % interval of the accuracy. With several seeds it is mean ±
standard deviation, over a faint point for each run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from tenfold.report.plots.axes import (
    CHARACTER,
    accuracy_limits,
    add_legend,
    add_panel,
    add_title,
    compact_number,
    legend_width,
    set_accuracy_axis,
    set_number_axis,
    set_panel_title,
    show_no_results,
)
from tenfold.report.plots.canvas import BLUE, DARK, GRAY, GREEN, ORANGE, WHITE, chart
from tenfold.report.study import SettingResult, Study, as_number, value_key, value_text

_SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), ("#A3538A", "^"), ("#7A6A00", "v"))
_REFERENCE_STYLE: dict[str, Any] = {
    "linestyle": "",
    "marker": "D",
    "markersize": 5,
    "markerfacecolor": "none",
    "color": GRAY,
}
_MAX_BARS = 12
_MAX_NAMES = 60
_WIDTH = 9.0  # inches, as all lengths below
_LEFT, _BOTTOM, _TOP, _GAP, _BARS_WIDTH, _ROWS_GAP, _PANEL_TITLE = 0.7, 0.5, 0.8, 0.75, 3.4, 0.5, 0.2

Reference = Mapping[Any, float]


@dataclass(frozen=True)
class _Point:
    """A point of the chart: position along the key, index of its series, and its results, at least one."""

    position: float
    series: int
    results: Sequence[SettingResult]

    @property
    def mean(self) -> float:
        return fmean(result.mean for result in self.results)

    @property
    def error_bar(self) -> tuple[float, float] | None:
        """Ends of the error bar; None for a mean over other settings."""
        return self.results[0].bar if len(self.results) == 1 else None

    @property
    def parts(self) -> list[float]:
        """The accuracies that `mean` averages; empty for a single run."""
        if len(self.results) > 1:
            return [result.mean for result in self.results]
        accuracies = self.results[0].accuracies
        return list(accuracies) if len(accuracies) > 1 else []


def plot_numeric_key(study: Study, key: str, path: Path, reference: Reference, log_scale: bool) -> None:
    """Draws accuracy against a key with a few numeric values.

    Args:
        study: the sweep, with at least one result.
        key: of the horizontal axis. A second key with few values is shown by color; further keys are averaged.
        path: of the PNG.
        reference: published accuracies by value, drawn as hollow diamonds.
        log_scale: whether the horizontal axis is logarithmic.

    Raises:
        StorageError: when the file cannot be written.
    """
    color_key, color_values = _color_key(study, key)
    settings = {value_key(result.settings[key]): result.settings[key] for result in study.results}
    positions = {name: float(value) for name, value in settings.items()}
    points = _points(study, key, color_key, color_values, positions)
    published = {float(value): accuracy for value, accuracy in reference.items() if as_number(value) is not None}
    labels = [*map(value_text, color_values), *(["published"] if published else [])]
    has_bars = color_key is None and _bars_fit(points)
    color_label = study.labels[color_key] if color_key else None
    left, right = _LEFT + (_BARS_WIDTH + _GAP if has_bars else 0), legend_width(labels, color_label)
    top = _TOP + (_PANEL_TITLE if has_bars else 0)
    with chart(path, _WIDTH, 4.1) as figure:
        add_title(figure, _title(study, key), _subtitle(study, key, color_key, points), _LEFT)
        axes = add_panel(figure, left, _BOTTOM, right, top)
        numbers = [*(point.position for point in points), *published]
        set_number_axis(axes, numbers, log_scale=log_scale, inches=_WIDTH - left - right, ticks_at_values=True)
        _draw_points(axes, _dodged(axes, points, log_scale), len(color_values), vertical=True)
        _draw_published(axes, published, vertical=True)
        _format_axes(axes, points, published, key, vertical=True)
        if labels:
            _draw_legend(axes, labels, len(color_values), color_label)
        if has_bars:
            bar_axes = add_panel(figure, _LEFT, _BOTTOM, _WIDTH - _LEFT - _BARS_WIDTH, top)
            _draw_vertical_bars(bar_axes, points, key)
            set_panel_title(bar_axes, "from 0 %")
            set_panel_title(axes, "zoomed in")


def plot_categorical_key(study: Study, key: str, path: Path, reference: Reference) -> None:
    """Draws accuracy against a key whose values are names, one below the other.

    Args:
        study: the sweep; may have no result.
        key: of the vertical axis. A second key with few values is shown by color; further keys are averaged.
        path: of the PNG.
        reference: published accuracies by value, drawn as hollow diamonds.

    Raises:
        StorageError: when the file cannot be written.
    """
    color_key, color_values = _color_key(study, key)
    settings = {value_key(result.settings[key]): result.settings[key] for result in study.results}
    positions = {name: float(index) for index, name in enumerate(list(settings)[:_MAX_NAMES])}
    points = _points(study, key, color_key, color_values, positions)
    names = [value_text(settings[name]) for name in positions]
    published = {positions[name]: reference[value] for value in reference if (name := value_key(value)) in positions}
    labels = [*map(value_text, color_values), *(["published"] if published else [])]
    has_bars = color_key is None and bool(points)
    left = max(_LEFT, 0.3 + max(map(len, names), default=0) * 9 * CHARACTER)
    color_label = study.labels[color_key] if color_key else None
    right, inches = legend_width(labels, color_label), max(0.34 * len(names), 1.0)
    top = _TOP + (_PANEL_TITLE if has_bars else 0)
    with chart(path, _WIDTH, inches + top + _BOTTOM + 0.05) as figure:
        add_title(figure, _title(study, key), _subtitle(study, key, color_key, points), left)
        start = left + (_BARS_WIDTH + _ROWS_GAP if has_bars else 0)
        axes = add_panel(figure, start, _BOTTOM, right, top)
        if not points:
            show_no_results(axes)
            return
        panels = [axes]
        if has_bars:
            panels.insert(0, add_panel(figure, left, _BOTTOM, _WIDTH - start + _ROWS_GAP, top))
            _draw_horizontal_bars(panels[0], points)
            set_panel_title(panels[0], "from 0 %")
            set_panel_title(axes, "zoomed in")
            axes.tick_params(labelleft=False)
        for panel in panels:
            panel.set_yticks(range(len(names)), names, color=DARK)
            panel.set_ylim(len(names) - 0.4, -0.6)
        _draw_points(axes, _dodged_rows(points), len(color_values), vertical=False)
        _draw_published(axes, published, vertical=False)
        _format_axes(axes, points, published, study.metric, vertical=False)
        if labels:
            _draw_legend(axes, labels, len(color_values), color_label)


def _color_key(study: Study, key: str) -> tuple[str | None, list[Any]]:
    """Returns the key shown by color and its values: the first other key with few enough, if there is one."""
    for other in study.keys:
        values = {value_key(result.settings[other]): result.settings[other] for result in study.results}
        if other != key and 1 < len(values) <= len(_SERIES):
            return other, sorted(values.values()) if study.numbers(other) else list(values.values())
    return None, []


def _points(
    study: Study, key: str, color_key: str | None, color_values: Sequence[Any], positions: Mapping[str, float]
) -> list[_Point]:
    """Returns one point for each value and series, ordered along the axis."""
    order = [value_key(value) for value in color_values]
    groups: dict[tuple[float, int], list[SettingResult]] = {}
    for result in study.results:
        if (name := value_key(result.settings[key])) in positions:
            series = order.index(value_key(result.settings[color_key])) if color_key else 0
            groups.setdefault((positions[name], series), []).append(result)
    return [_Point(*group, results) for group, results in sorted(groups.items(), key=lambda item: item[0])]


def _title(study: Study, key: str) -> str:
    return f"{study.metric.capitalize()} against {study.labels[key]}"


def _subtitle(study: Study, key: str, color_key: str | None, points: Sequence[_Point]) -> str:
    if any(len(point.results) > 1 for point in points):
        others = [study.labels[name] for name in study.keys if name not in (key, color_key)]
        return f"mean over {' and '.join(others)}; faint points are single settings · {study.trials_text}"
    faint = "; faint points are single runs · " if study.num_seeds > 1 else " · "
    return study.subtitle.replace(" · ", faint, 1)


def _dodged(axes: Axes, points: Sequence[_Point], log_scale: bool) -> list[_Point]:
    """Returns the points with the series moved apart, so that all error bars are visible."""
    middle = max((point.series for point in points), default=0) / 2
    low, high = axes.get_xlim()
    moved = []
    for point in points:
        shift = (point.series - middle) * 0.009
        position = point.position * (high / low) ** shift if log_scale else point.position + (high - low) * shift
        moved.append(replace(point, position=position))
    return moved


def _dodged_rows(points: Sequence[_Point]) -> list[_Point]:
    middle = max(point.series for point in points) / 2
    return [replace(point, position=point.position + (point.series - middle) * 0.16) for point in points]


def _draw_points(axes: Axes, points: Sequence[_Point], num_series: int, *, vertical: bool) -> None:
    lines = axes.vlines if vertical else axes.hlines
    for number in range(max(num_series, 1)):
        color, marker = _SERIES[number]
        own = [point for point in points if point.series == number]
        faint = [(point.position, accuracy) for point in own for accuracy in point.parts]
        bars = [(point.position, *point.error_bar) for point in own if point.error_bar]
        if faint:
            axes.scatter(*_xy(faint, vertical), s=14, color=color, alpha=0.35, linewidths=0)
        if bars:
            lines(*zip(*bars, strict=True), color=color, linewidth=1.4)
        means = _xy([(point.position, point.mean) for point in own], vertical)
        axes.plot(*means, color=color, linewidth=0.8, linestyle="-" if vertical else "", alpha=0.45)
        axes.plot(*means, color=color, marker=marker, markersize=5.5, linestyle="")


def _xy(pairs: Sequence[tuple[float, float]], vertical: bool) -> tuple[list[float], list[float]]:
    """Returns x and y of pairs of position and accuracy."""
    positions, accuracies = [position for position, _ in pairs], [accuracy for _, accuracy in pairs]
    return (positions, accuracies) if vertical else (accuracies, positions)


def _draw_published(axes: Axes, published: Mapping[float, float], *, vertical: bool) -> None:
    if published:
        axes.plot(*_xy(list(published.items()), vertical), **_REFERENCE_STYLE)


def _format_axes(
    axes: Axes, points: Sequence[_Point], published: Mapping[float, float], label: str, *, vertical: bool
) -> None:
    """Sets limits, ticks and label of the zoomed axes."""
    shown = [value for point in points for value in (point.mean, *point.parts, *(point.error_bar or ()))]
    limits = accuracy_limits([*published.values(), *shown])
    if vertical:
        axes.set(ylim=limits, xlabel=label)
    else:
        axes.set(xlim=limits, xlabel=label)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    set_accuracy_axis(axes, vertical=vertical)


def _draw_legend(axes: Axes, labels: Sequence[str], num_series: int, title: str | None) -> None:
    handles = [
        axes.plot([], [], color=color, marker=marker, markersize=5.5, linestyle="")[0]
        for color, marker in _SERIES[:num_series]
    ]
    if len(labels) > num_series:
        handles += axes.plot([], [], **_REFERENCE_STYLE)
    add_legend(axes, handles, labels, title)


def _bars_fit(points: Sequence[_Point]) -> bool:
    """Returns whether bars for these points fit, and the numbers below them do not touch."""
    widest = max(len(compact_number(point.position)) + 1 for point in points) * 9 * CHARACTER
    return len(points) <= _MAX_BARS and widest * (len(points) + 0.4) <= _BARS_WIDTH


def _draw_vertical_bars(axes: Axes, points: Sequence[_Point], label: str) -> None:
    """Draws a bar chart from 0 to 100 %, with the accuracy above each bar."""
    axes.bar(range(len(points)), [point.mean for point in points], 0.72, color=BLUE, alpha=0.8)
    size = min(8.5, 74 / len(points))
    for index, point in enumerate(points):
        top = max(point.mean, *(point.error_bar or (0.0,)))
        axes.text(index, top + 0.025, f"{point.mean * 100:.1f}", ha="center", size=size)
        if point.error_bar:
            axes.vlines(index, *point.error_bar, color=DARK, linewidth=1.2)
    names = [compact_number(point.position) for point in points]
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0, pad=6.5)
    axes.set(ylim=(0, 1.08), xlim=(-0.7, max(len(names), 4) - 0.3), xlabel=label)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    set_accuracy_axis(axes, vertical=True, max_ticks=None)


def _draw_horizontal_bars(axes: Axes, points: Sequence[_Point]) -> None:
    """Draws a bar chart from 0 to 100 %, with the accuracy at the end of each bar."""
    axes.barh([point.position for point in points], [point.mean for point in points], 0.66, color=BLUE, alpha=0.8)
    for point in points:
        low, high = point.error_bar or (point.mean, point.mean)
        x, align, color = (low - 0.02, "right", WHITE) if high > 0.8 else (high + 0.02, "left", DARK)
        text = f"{point.mean * 100:.1f} %"
        axes.text(x, point.position, text, ha=align, va="center_baseline", size=8, color=color)
        if point.error_bar:
            axes.hlines(point.position, *point.error_bar, color=DARK, linewidth=1.2)
    axes.set(xlim=(0, 1.0), xticks=[0, 0.25, 0.5, 0.75, 1.0])
    set_accuracy_axis(axes, vertical=False, max_ticks=None)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
