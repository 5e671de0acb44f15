"""Curves of training against steps and against seconds: of one run, or of a family one over the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tenfold.core.text import count, duration, percent, printable
from tenfold.report.page.drawing import COLOURS, MOST_POINTS, Chart, drawing, finished, hover, thinned
from tenfold.report.plots.axes import accuracy_ticks
from tenfold.report.plots.run_charts import Row, series

_FEW_POINTS = 12
_DECADES = 1000.0  # highest loss over lowest
_SMALLEST = 1e-12  # that a logarithmic axis can begin with
_SAME_LINES = 2400  # points of all curves of a family together
_CLOCKS = {"steps": "step", "seconds": "time_s"}


class _Measure(NamedTuple):
    """What is drawn upwards, and how its values are written."""

    title: str
    text: Callable[[float], str]


class _Curve(NamedTuple):
    """A line of a chart; a faint one is one of many."""

    name: str
    colour: str
    times: Sequence[float]
    values: Sequence[float]
    marked: bool = False
    faint: bool = False


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")


_LOSS, _RATE = _Measure("Loss", "{:.3f}".format), _Measure("Learning rate", _plain)
_ACCURACY = _Measure("Accuracy", percent)
_SPLITS = (("train", "train", "blue"), ("val", "validation", "warm"), ("test", "test", "green"))


def curve_charts(rows: Sequence[Row]) -> dict[str, tuple[Chart, ...]]:
    """Draws loss, accuracy and learning rate, for the page to switch between steps and seconds.

    Args:
        rows: of `metrics.csv`; one of `test_loss` and `test_accuracy` may be added at the end. What is missing,
            empty or not finite is left out.

    Returns:
        The charts under `steps` and under `seconds`; a measure without a value has none.
    """
    columns = {
        measure: [(f"{split}_{measure.title.lower()}", name, colour) for split, name, colour in _SPLITS]
        for measure in (_LOSS, _ACCURACY)
    } | {_RATE: [("lr", "learning rate", "ink")]}

    def curves(measure: _Measure, clock: str) -> list[_Curve]:
        return [
            _Curve(name, colour, *_column(rows, column, clock), marked=not column.startswith(("train", "lr")))
            for column, name, colour in columns[measure]
        ]

    return _on_both_clocks(list(columns), curves)


def overlay_charts(runs: Mapping[str, Sequence[Row]], best: str | None = None) -> dict[str, tuple[Chart, ...]]:
    """Draws the curves of all runs over one another, against steps and against seconds.

    Args:
        runs: rows of `metrics.csv` by the name of the run.
        best: the run that is drawn in orange, on top.

    Returns:
        The charts under `steps` and under `seconds`: training loss, training accuracy, validation accuracy; one that
        no run measured is left out.
    """
    columns = {
        _Measure("Training loss", _LOSS.text): "train_loss",
        _Measure("Training accuracy", percent): "train_accuracy",
        _Measure("Validation accuracy", percent): "val_accuracy",
    }
    most = min(max(_SAME_LINES // max(len(runs), 1), 24), MOST_POINTS)
    names = sorted(runs, key=lambda name: name == best)

    def curves(measure: _Measure, clock: str) -> list[_Curve]:
        return [
            _Curve(
                printable(name),
                "warm" if name == best else "blue",
                *_column(runs[name], columns[measure], clock, most),
                faint=name != best,
            )
            for name in names
        ]

    return _on_both_clocks(list(columns), curves, legend=False)


def _on_both_clocks(
    measures: Sequence[_Measure], curves: Callable[[_Measure, str], list[_Curve]], *, legend: bool = True
) -> dict[str, tuple[Chart, ...]]:
    drawn = {
        clock: [(measure, [curve for curve in curves(measure, clock) if curve.times]) for measure in measures]
        for clock in _CLOCKS
    }
    return {
        clock: tuple(_chart(measure, clock, found, legend) for measure, found in charts if found)
        for clock, charts in drawn.items()
    }


def _column(rows: Sequence[Row], column: str, clock: str, most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    times, values = series(rows, column, _CLOCKS[clock])
    places = thinned(values, most)
    return [times[place] for place in places], [values[place] for place in places]


def _chart(measure: _Measure, clock: str, curves: Sequence[_Curve], legend: bool) -> Chart:
    with drawing() as axes:
        for curve in curves:
            _draw(axes, curve)
        logarithmic = _spans_decades(measure, curves)
        _finish(axes, measure, clock, logarithmic)
        found = [
            hover(axes, curve.name, curve.colour, curve.times, curve.values, _texts(curve, measure, clock))
            for curve in curves
        ]
        last = max(curve.times[-1] for curve in curves)
        words = "; ".join(_course(curve, measure) for curve in curves) if legend else _range(curves, measure)
        title = f"{measure.title}, logarithmic" if logarithmic else measure.title
        return finished(axes, title, f"{measure.title} until {_moment(last, clock)}: {words}.", found, legend=legend)


def _spans_decades(measure: _Measure, curves: Sequence[_Curve]) -> bool:
    """Returns whether a loss is drawn logarithmically, as one run out of hand would flatten all others."""
    lowest = min(min(curve.values) for curve in curves)
    return (
        measure.text is _LOSS.text
        and lowest > _SMALLEST
        and max(max(curve.values) for curve in curves) > _DECADES * lowest
    )


def _draw(axes: Axes, curve: _Curve) -> None:
    axes.plot(
        curve.times,
        curve.values,
        color=COLOURS[curve.colour],
        linewidth=1.1 if curve.faint else 1.8,
        alpha=0.55 if curve.faint else 1.0,
        marker="o" if curve.marked or len(curve.times) < (2 if curve.faint else _FEW_POINTS) else "",
        markersize=5,
    )


def _texts(curve: _Curve, measure: _Measure, clock: str) -> list[str]:
    pairs = zip(curve.times, curve.values, strict=True)
    return [f"{measure.text(value)} at {_moment(time, clock)}" for time, value in pairs]


def _moment(time: float, clock: str) -> str:
    return f"step {count(round(time))}" if clock == "steps" else duration(time)


def _course(curve: _Curve, measure: _Measure) -> str:
    values = curve.values
    if len(values) == 1:
        return f"{curve.name} {measure.text(values[0])}"
    ends = f"from {measure.text(values[0])} to {measure.text(values[-1])}"
    return f"{curve.name} {ends}, lowest {measure.text(min(values))}, highest {measure.text(max(values))}"


def _range(curves: Sequence[_Curve], measure: _Measure) -> str:
    ends = [curve.values[-1] for curve in curves]
    return f"{len(curves)} runs, which end between {measure.text(min(ends))} and {measure.text(max(ends))}"


def _finish(axes: Axes, measure: _Measure, clock: str, logarithmic: bool) -> None:
    axes.margins(x=0.02, y=0.08)
    if logarithmic:
        axes.set_yscale("log")
    axes.autoscale_view()
    if clock == "steps":
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: count(round(step))))
        axes.set_xlabel("steps")
    else:
        _label_seconds(axes)
    if measure.text is percent:
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
        accuracy_ticks(axes, upright=True, most=5)
    else:
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(LogLocator(numticks=5) if logarithmic else MaxNLocator(5))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))


def _label_seconds(axes: Axes) -> None:
    """Labels a horizontal axis of seconds in the unit that suits it."""
    last = axes.get_xlim()[1]
    unit, seconds = next(
        (unit for unit in (("hours", 3600), ("minutes", 60)) if last > 3 * unit[1]),
        ("seconds", 1),
    )
    ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0.0, last / seconds))
    ticks = ticks[ticks * seconds <= last]
    axes.set_xticks(ticks * seconds, [_plain(tick) for tick in ticks])
    axes.set_xlabel(unit)
