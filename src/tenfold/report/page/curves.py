"""Training curves against steps and against seconds: of one run, or of all runs of a sweep."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tenfold.core.text import count, duration, percent, printable
from tenfold.report.page.svg_charts import (
    COLORS,
    MAX_POINTS,
    Chart,
    chart_axes,
    finished_chart,
    hover_series,
    thinned,
)
from tenfold.report.plots.axes import set_accuracy_axis
from tenfold.report.plots.curve_notes import Row
from tenfold.report.plots.run_charts import series

_MARKED_POINTS = 12  # a line of fewer points gets markers
_DECADES = 1000.0  # ratio of highest to lowest loss above which the axis is logarithmic
_MIN_LOGARITHMIC = 1e-12
_OVERLAY_POINTS = 2400  # of all curves of a sweep together
_X_COLUMNS = {"steps": "step", "seconds": "time_s"}


class _Metric(NamedTuple):
    """Title of a chart, and the format of its y values."""

    title: str
    text: Callable[[float], str]


class _Curve(NamedTuple):
    """A line of a chart; a faint line is one of many, a thin one is less important."""

    name: str
    color: str
    x: Sequence[float]
    y: Sequence[float]
    marked: bool = False
    faint: bool = False
    thin: bool = False


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")


_LOSS, _ACCURACY = _Metric("Loss", "{:.3f}".format), _Metric("Accuracy", percent)
_LEARNING_RATE = _Metric("Learning rate", _plain)
_OBJECTIVE = "train_objective"
_SPLITS = (("train", "train", "blue"), ("val", "validation", "orange"), ("test", "test", "green"))


def curve_charts(rows: Sequence[Row]) -> dict[str, tuple[Chart, ...]]:
    """Draws loss, accuracy and learning rate of a run; the minimized loss as a thin line where it is recorded.

    Args:
        rows: rows of `metrics.csv`, possibly with `test_loss` and `test_accuracy` in an additional last row. Missing,
            empty and non-finite values are left out.

    Returns:
        Charts against steps under `steps`, and against seconds under `seconds`; a metric without values has no chart.
    """
    columns = {
        metric: [(f"{split}_{metric.title.lower()}", name, color) for split, name, color in _SPLITS]
        for metric in (_LOSS, _ACCURACY)
    } | {_LEARNING_RATE: [("lr", "learning rate", "text")]}
    columns[_LOSS].append((_OBJECTIVE, "objective", "muted"))

    def curves(metric: _Metric, unit: str) -> list[_Curve]:
        return [
            _Curve(
                name,
                color,
                *_points(rows, column, unit),
                marked=not column.startswith(("train", "lr")),
                thin=column == _OBJECTIVE,
            )
            for column, name, color in columns[metric]
        ]

    return _charts_by_unit(list(columns), curves)


def overlay_charts(runs: Mapping[str, Sequence[Row]], best: str | None = None) -> dict[str, tuple[Chart, ...]]:
    """Draws the curves of several runs over one another.

    Args:
        runs: rows of `metrics.csv` by run name.
        best: name of the run that is drawn on top, in orange.

    Returns:
        Charts of training loss, training accuracy and validation accuracy, under `steps` and under `seconds`; a metric
        without values has no chart.
    """
    columns = {
        _Metric("Training loss", _LOSS.text): "train_loss",
        _Metric("Training accuracy", percent): "train_accuracy",
        _Metric("Validation accuracy", percent): "val_accuracy",
    }
    max_points = min(max(_OVERLAY_POINTS // max(len(runs), 1), 24), MAX_POINTS)
    names = sorted(runs, key=lambda name: name == best)

    def curves(metric: _Metric, unit: str) -> list[_Curve]:
        return [
            _Curve(
                printable(name),
                "orange" if name == best else "blue",
                *_points(runs[name], columns[metric], unit, max_points),
                faint=name != best,
            )
            for name in names
        ]

    return _charts_by_unit(list(columns), curves, legend=False)


def _charts_by_unit(
    metrics: Sequence[_Metric], curves: Callable[[_Metric, str], list[_Curve]], *, legend: bool = True
) -> dict[str, tuple[Chart, ...]]:
    charts = {}
    for unit in _X_COLUMNS:
        drawable = [(metric, [curve for curve in curves(metric, unit) if curve.x]) for metric in metrics]
        charts[unit] = tuple(_chart(metric, unit, found, legend) for metric, found in drawable if found)
    return charts


def _points(
    rows: Sequence[Row], column: str, unit: str, max_points: int = MAX_POINTS
) -> tuple[list[float], list[float]]:
    x, y = series(rows, column, _X_COLUMNS[unit])
    indices = thinned(y, max_points)
    return [x[index] for index in indices], [y[index] for index in indices]


def _chart(metric: _Metric, unit: str, curves: Sequence[_Curve], legend: bool) -> Chart:
    with chart_axes() as axes:
        for curve in curves:
            _draw(axes, curve)
        logarithmic = _spans_decades(metric, curves)
        _format_axes(axes, metric, unit, logarithmic)
        found = [
            hover_series(axes, curve.name, curve.color, curve.x, curve.y, _tooltips(curve, metric, unit))
            for curve in curves
        ]
        last = max(curve.x[-1] for curve in curves)
        text = "; ".join(_summary(curve, metric) for curve in curves) if legend else _final_range(curves, metric)
        title = f"{metric.title}, logarithmic" if logarithmic else metric.title
        description = f"{metric.title} until {_x_text(last, unit)}: {text}."
        return finished_chart(axes, title, description, found, legend=legend)


def _spans_decades(metric: _Metric, curves: Sequence[_Curve]) -> bool:
    """Returns whether a loss needs a logarithmic axis: one diverged run would flatten all others."""
    lowest = min(min(curve.y) for curve in curves)
    return (
        metric.text is _LOSS.text
        and lowest > _MIN_LOGARITHMIC
        and max(max(curve.y) for curve in curves) > _DECADES * lowest
    )


def _draw(axes: Axes, curve: _Curve) -> None:
    axes.plot(
        curve.x,
        curve.y,
        color=COLORS[curve.color],
        linewidth=0.9 if curve.thin else 1.1 if curve.faint else 1.8,
        alpha=0.55 if curve.faint else 1.0,
        marker="o" if curve.marked or len(curve.x) < (2 if curve.faint or curve.thin else _MARKED_POINTS) else "",
        markersize=5,
    )


def _tooltips(curve: _Curve, metric: _Metric, unit: str) -> list[str]:
    return [f"{metric.text(y)} at {_x_text(x, unit)}" for x, y in zip(curve.x, curve.y, strict=True)]


def _x_text(x: float, unit: str) -> str:
    return f"step {count(round(x))}" if unit == "steps" else duration(x)


def _summary(curve: _Curve, metric: _Metric) -> str:
    values = curve.y
    if len(values) == 1:
        return f"{curve.name} {metric.text(values[0])}"
    ends = f"from {metric.text(values[0])} to {metric.text(values[-1])}"
    return f"{curve.name} {ends}, lowest {metric.text(min(values))}, highest {metric.text(max(values))}"


def _final_range(curves: Sequence[_Curve], metric: _Metric) -> str:
    final = [curve.y[-1] for curve in curves]
    return f"{len(curves)} runs with final values from {metric.text(min(final))} to {metric.text(max(final))}"


def _format_axes(axes: Axes, metric: _Metric, unit: str, logarithmic: bool) -> None:
    axes.margins(x=0.02, y=0.08)
    if logarithmic:
        axes.set_yscale("log")
    axes.autoscale_view()
    if unit == "steps":
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: count(round(step))))
        axes.set_xlabel("steps")
    else:
        _label_time(axes)
    if metric.text is percent:
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
        set_accuracy_axis(axes, vertical=True, max_ticks=5)
    else:
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(LogLocator(numticks=5) if logarithmic else MaxNLocator(5))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))


def _label_time(axes: Axes) -> None:
    """Labels an x axis of seconds in seconds, minutes or hours."""
    last = axes.get_xlim()[1]
    unit, seconds = next(
        (unit for unit in (("hours", 3600), ("minutes", 60)) if last > 3 * unit[1]),
        ("seconds", 1),
    )
    ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0.0, last / seconds))
    ticks = ticks[ticks * seconds <= last]
    axes.set_xticks(ticks * seconds, [_plain(tick) for tick in ticks])
    axes.set_xlabel(unit)
