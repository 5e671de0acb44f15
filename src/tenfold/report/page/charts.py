"""The charts of one run: how it learned, how far its confidence can be trusted, what it may refuse."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tenfold.evaluate.calibration import Bin, RejectCurve, answered_at
from tenfold.report.canvas import BLUE, GREEN, GRID, INK, QUIET, WARM
from tenfold.report.page.drawing import Chart as Chart
from tenfold.report.page.drawing import drawing, finished, hover, thinned
from tenfold.report.page.wording import count, duration, interval, percent
from tenfold.report.plots import Row, series

_FEW_POINTS = 12
_REJECT_POINTS = 200
_COUNT_BARS = 0.16  # of the height, the fullest bin
_COLOURS = {"blue": BLUE, "warm": WARM, "green": GREEN, "ink": INK, "quiet": QUIET}
_CLOCKS = {"steps": "step", "seconds": "time_s"}


class _Line(NamedTuple):
    """A column of `metrics.csv`: its name on the page, its colour, and whether its points are marked."""

    column: str
    name: str
    colour: str
    marked: bool = False


class _Measure(NamedTuple):
    title: str
    lines: tuple[_Line, ...]
    text: Callable[[float], str]


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")


def _splits(measure: str) -> tuple[_Line, ...]:
    return (
        _Line(f"train_{measure}", "train", "blue"),
        _Line(f"val_{measure}", "validation", "warm", marked=True),
        _Line(f"test_{measure}", "test", "green", marked=True),
    )


_MEASURES = (
    _Measure("Loss", _splits("loss"), "{:.3f}".format),
    _Measure("Accuracy", _splits("accuracy"), percent),
    _Measure("Learning rate", (_Line("lr", "learning rate", "ink"),), _plain),
)


def curve_charts(rows: Sequence[Row]) -> dict[str, tuple[Chart, ...]]:
    """Draws loss, accuracy and learning rate, for the page to switch between steps and seconds.

    Args:
        rows: of `metrics.csv`; one of `test_loss` and `test_accuracy` may be added at the end. What is missing,
            empty or not finite is left out.

    Returns:
        The charts under `steps` and under `seconds`; a measure without a value has none.
    """
    return {
        clock: tuple(chart for measure in _MEASURES if (chart := _curve_chart(rows, measure, clock)) is not None)
        for clock in _CLOCKS
    }


def _curve_chart(rows: Sequence[Row], measure: _Measure, clock: str) -> Chart | None:
    columns = {line: series(rows, line.column, _CLOCKS[clock]) for line in measure.lines}
    drawn = {line: _kept(*column) for line, column in columns.items() if column[0]}
    if not drawn:
        return None
    with drawing() as axes:
        for line, (times, values) in drawn.items():
            mark = "o" if line.marked or len(times) < _FEW_POINTS else ""
            axes.plot(times, values, color=_COLOURS[line.colour], linewidth=1.8, marker=mark, markersize=5)
        _finish_curve(axes, measure, clock)
        found = [
            hover(axes, line.name, line.colour, times, values, _texts(times, values, measure, clock))
            for line, (times, values) in drawn.items()
        ]
        return finished(axes, measure.title, _curve_words(measure, drawn, clock), found)


def _kept(times: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    places = thinned(values)
    return [times[place] for place in places], [values[place] for place in places]


def _texts(times: Sequence[float], values: Sequence[float], measure: _Measure, clock: str) -> list[str]:
    return [f"{measure.text(value)} at {_moment(time, clock)}" for time, value in zip(times, values, strict=True)]


def _moment(time: float, clock: str) -> str:
    return f"step {count(round(time))}" if clock == "steps" else duration(time)


def _curve_words(measure: _Measure, drawn: Mapping[_Line, tuple[list[float], list[float]]], clock: str) -> str:
    parts = [f"{line.name} {_course(values, measure)}" for line, (_, values) in drawn.items()]
    last = max(times[-1] for times, _ in drawn.values())
    return f"{measure.title} until {_moment(last, clock)}: {'; '.join(parts)}."


def _course(values: Sequence[float], measure: _Measure) -> str:
    if len(values) == 1:
        return measure.text(values[0])
    ends = f"from {measure.text(values[0])} to {measure.text(values[-1])}"
    return f"{ends}, lowest {measure.text(min(values))}, highest {measure.text(max(values))}"


def _finish_curve(axes: Axes, measure: _Measure, clock: str) -> None:
    axes.margins(x=0.02, y=0.08)
    axes.autoscale_view()
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=clock == "steps"))
    if clock == "steps":
        axes.set_xlabel("steps")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: count(round(step))))
    else:
        label_seconds(axes)
    if measure.title == "Accuracy":
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
        percent_ticks(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))


def reliability_chart(bins: Sequence[Bin], calibrated: Sequence[Bin] = ()) -> Chart:
    """Draws how often predictions of each confidence are right; on the diagonal, confidence is probability.

    Args:
        bins: of the network's own confidence; their pictures are the bars at the bottom.
        calibrated: of the confidence after temperature scaling, where it is known.
    """
    kinds = [("as trained", "blue", bins), ("calibrated", "green", calibrated)]
    with drawing() as axes:
        _draw_counts(axes, bins)
        axes.plot((0, 1), (0, 1), color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for _, colour, group in kinds:
            _draw_bins(axes, group, _COLOURS[colour])
        axes.set(xlim=(0, 1.015), ylim=(0, 1.02), xlabel="confidence")
        percent_ticks(axes.xaxis)
        percent_ticks(axes.yaxis)
        found = [
            hover(axes, name, colour, [b.confidence for b in group], [b.accuracy for b in group], _bin_texts(group))
            for name, colour, group in kinds
            if group
        ]
        words = "; ".join(f"{name}: {_bin_words(group)}" for name, _, group in kinds if group)
        return finished(
            axes, "Accuracy at each confidence", f"Accuracy at each confidence. {words or 'no pictures'}.", found
        )


def _draw_counts(axes: Axes, bins: Sequence[Bin]) -> None:
    fullest = max((b.count for b in bins), default=1)
    heights = [b.count / fullest * _COUNT_BARS for b in bins]
    widths = [(b.high - b.low) * 0.8 for b in bins]
    axes.bar([(b.low + b.high) / 2 for b in bins], heights, widths, color=GRID)


def _draw_bins(axes: Axes, bins: Sequence[Bin], colour: str) -> None:
    confidence, accuracy = [b.confidence for b in bins], [b.accuracy for b in bins]
    lows, highs = [b.interval[0] for b in bins], [b.interval[1] for b in bins]
    axes.vlines(confidence, lows, highs, color=colour, linewidth=1.5, alpha=0.6)
    axes.plot(confidence, accuracy, color=colour, linewidth=0, marker="o", markersize=6)


def _bin_texts(bins: Sequence[Bin]) -> list[str]:
    return [
        f"{percent(b.confidence)} sure, {percent(b.accuracy)} right ({interval(b.interval)}), {_pictures(b.count)}"
        for b in bins
    ]


def _bin_words(bins: Sequence[Bin]) -> str:
    total = sum(b.count for b in bins)
    sure = sum(b.confidence * b.count for b in bins) / total
    right = sum(b.accuracy * b.count for b in bins) / total
    return f"{percent(sure)} sure on average, {percent(right)} right, {_pictures(total)}"


def _pictures(number: int) -> str:
    return f"{count(number)} picture" + "s" * (number != 1)


def reject_chart(curve: RejectCurve, errors: float = 0.02) -> Chart:
    """Draws the share of errors among the pictures that are answered, when the least sure ones are not.

    Args:
        curve: of `evaluate.calibration.reject_curve`.
        errors: the share of errors that is marked, where any part of the pictures can be answered with no more.
    """
    columns = np.column_stack([curve.answered, curve.errors, curve.threshold])
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    answered, wrong, threshold = columns[thinned(columns[:, 1].tolist(), _REJECT_POINTS)].T.tolist()
    texts = [
        f"{percent(share)} answered, {percent(error)} of them wrong, confidence {sure:.2f} or more"
        for share, error, sure in zip(answered, wrong, threshold, strict=True)
    ]
    marked = answered_at(curve, errors)
    words = f"no threshold has {percent(errors)} wrong or less"
    with drawing() as axes:
        axes.plot(answered, wrong, color=BLUE, linewidth=1.8)
        axes.set(xlim=(0, 1.015), ylim=(0, max(1.12 * max(wrong), 1.6 * errors)))
        axes.set_xlabel("answered, the surest first")
        percent_ticks(axes.xaxis)
        percent_ticks(axes.yaxis)
        found = [hover(axes, "wrong among answered", "blue", answered, wrong, texts)]
        if marked is not None:
            sure, share = marked
            words = f"{percent(share)} answered, no more than {percent(errors)} wrong, confidence {sure:.2f} or more"
            place = (share, float(np.interp(share, columns[:, 0], columns[:, 1])))
            _mark(axes, *place)
            found.append(hover(axes, f"{percent(errors, 0)} wrong", "warm", [place[0]], [place[1]], [words]))
        description = f"Errors against the share answered: {percent(wrong[-1])} of all; {words}."
        return finished(axes, "Errors when the unsure are refused", description, found)


def _mark(axes: Axes, answered: float, wrong: float) -> None:
    axes.plot((0, answered, answered), (wrong, wrong, 0), color=WARM, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot([answered], [wrong], color=WARM, marker="o", markersize=7)


def label_seconds(axes: Axes) -> None:
    """Labels a horizontal axis of seconds in the unit that suits it."""
    last = axes.get_xlim()[1]
    unit, seconds = next((u for u in (("hours", 3600), ("minutes", 60)) if last > 3 * u[1]), ("seconds", 1))
    ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0.0, last / seconds))
    ticks = ticks[ticks * seconds <= last]
    axes.set_xticks(ticks * seconds, [_plain(tick) for tick in ticks])
    axes.set_xlabel(unit)


def percent_ticks(axis: Axis, steps: int = 5) -> None:
    """Labels an axis of shares in percent."""
    axis.set_major_locator(MaxNLocator(steps, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
