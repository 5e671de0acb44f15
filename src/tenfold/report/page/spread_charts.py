"""The accuracy charts of a sweep: every run or setting, and accuracy against each varied key."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from tenfold.core.text import interval, mean_text, percent, plural, printable, shortened
from tenfold.report.page.svg_charts import WIDTH, Chart, Series, chart_axes, finished_chart, hover_series
from tenfold.report.plots.axes import accuracy_limits, needs_log_scale, set_accuracy_axis, set_number_axis
from tenfold.report.plots.canvas import BLUE, DARK, GRID, ORANGE
from tenfold.report.study import SettingResult, Study, as_number, value_text

MAX_ROWS = 24  # of the spread chart

_ROW_HEIGHT, _CHARACTER_WIDTH = 19.0, 6.6  # points
_MAX_LABEL = 22  # characters


class _SpreadRow(NamedTuple):
    """A row of the spread chart: dots, and a bar for their interval or standard deviation."""

    name: str
    label: str
    dots: Sequence[float]
    tooltips: Sequence[str]
    bar: tuple[float, float] | None
    best: bool


def spread_chart(study: Study) -> Chart:
    """Draws the accuracy of each run, or of each setting's runs, one per row, the best setting first.

    For several seeds, each seed is a row with its 95 % interval, and a band shows mean ± standard deviation.

    Args:
        study: study with at least one finished trial.
    """
    only_seeds = not study.keys
    rows = _seed_rows(study) if only_seeds else _setting_rows(study)
    left = min(max(len(row.label) for row in rows), _MAX_LABEL) * _CHARACTER_WIDTH + 10
    with chart_axes(WIDTH, 50 + _ROW_HEIGHT * max(len(rows), 3), left=left) as axes:
        values = [value for row in rows for value in (*row.dots, *(row.bar or ()))]
        axes.set(xlim=_at_most_one(accuracy_limits(values)), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticks(range(len(rows)), [shortened(row.label, _MAX_LABEL) for row in rows])
        set_accuracy_axis(axes, vertical=False, max_ticks=4)
        axes.set_xlabel(study.metric)
        if only_seeds:
            _draw_mean(axes, study.results[0])
        for y, row in enumerate(rows):
            _draw_row(axes, y, row)
        series = [_series(axes, y, row) for y, row in enumerate(rows)]
        return finished_chart(axes, _title(study, len(rows)), _description(study), series, legend=False)


def _title(study: Study, num_shown: int) -> str:
    if not study.keys:
        return "All runs"
    complete = num_shown >= len(study.results)
    which = "All settings" if complete else f"Best {num_shown} of {len(study.results)} settings"
    return f"{which}: {' · '.join(study.labels.values())}"


def _at_most_one(limits: tuple[float, float]) -> tuple[float, float]:
    """Returns axis limits that end at 100 %, with room for half a dot."""
    return limits[0], min(limits[1], 1 + 0.02 * (1 - limits[0]))


def _seed_rows(study: Study) -> list[_SpreadRow]:
    return [
        _SpreadRow(
            study.run_label(row),
            study.run_label(row),
            [accuracy],
            [f"{percent(accuracy)} ({interval(study.wilson(row))})"],
            study.wilson(row),
            False,
        )
        for row in study.rows
        if row.get("status") == "finished" and (accuracy := study.accuracy(row)) is not None
    ]


def _setting_rows(study: Study) -> list[_SpreadRow]:
    ranked = sorted(study.results, key=lambda result: result.mean, reverse=True)[:MAX_ROWS]
    return [
        _SpreadRow(
            study.setting_text(result.settings),
            " · ".join(map(value_text, result.settings.values())),
            sorted(result.accuracies),
            [_tooltip(accuracy, result) for accuracy in sorted(result.accuracies)],
            result.bar,
            result is study.best,
        )
        for result in ranked
    ]


def _tooltip(accuracy: float, result: SettingResult) -> str:
    if result.spread.count == 1:
        return percent(accuracy) + (f" ({interval(result.spread.interval)})" if result.spread.interval else "")
    return f"{percent(accuracy)}; {_mean_of_runs(result)}"


def _mean_of_runs(result: SettingResult) -> str:
    """Returns the mean over the runs of a setting: `71.0 ± 1.0 % (3 runs)`."""
    total = result.spread
    return f"{mean_text(total.mean, total.std)} ({plural(total.count, 'run')})"


def _draw_mean(axes: Axes, result: SettingResult) -> None:
    if result.spread.std is not None and result.bar is not None:
        axes.axvspan(*result.bar, color=GRID, linewidth=0)
        axes.axvline(result.mean, color=DARK, linewidth=1)


def _draw_row(axes: Axes, y: int, row: _SpreadRow) -> None:
    color = ORANGE if row.best else BLUE
    if row.bar is not None:
        axes.hlines(y, *row.bar, color=color, linewidth=1.6, alpha=0.55)
    axes.plot(row.dots, [y] * len(row.dots), color=color, linewidth=0, marker="o", markersize=6)


def _series(axes: Axes, y: int, row: _SpreadRow) -> Series:
    color = "orange" if row.best else "blue"
    return hover_series(axes, printable(row.name), color, row.dots, [y] * len(row.dots), row.tooltips)


def _description(study: Study) -> str:
    best = study.best
    assert best is not None
    metric, setting = study.metric.capitalize(), study.setting_text(best.settings)
    if not study.keys:
        return f"{metric}: {_mean_of_runs(best)}."
    return f"{metric} of {len(study.results)} settings: best {setting} with {_mean_of_runs(best)}."


def key_charts(study: Study) -> tuple[Chart, ...]:
    """Draws the accuracy of each finished run against each varied key with at least three different numbers."""
    return tuple(_key_chart(study, key) for key in study.keys if len(set(study.numbers(key))) > 2)


def _key_chart(study: Study, key: str) -> Chart:
    points = sorted(
        (
            (number, accuracy, result)
            for result in study.results
            for accuracy in result.accuracies
            if (number := as_number(result.settings[key])) is not None
        ),
        key=lambda point: point[:2],
    )
    numbers, accuracies, _ = (list(column) for column in zip(*points, strict=True))
    metric, label = study.metric.capitalize(), study.labels[key]
    with chart_axes() as axes:
        set_number_axis(axes, numbers, log_scale=needs_log_scale(numbers), inches=4.0, ticks_at_values=False)
        axes.set_ylim(_at_most_one(accuracy_limits(accuracies)))
        set_accuracy_axis(axes, vertical=True, max_ticks=5)
        for number, accuracy, result in points:
            color = ORANGE if result is study.best else BLUE
            axes.plot([number], [accuracy], color=color, linewidth=0, marker="o", markersize=6)
        axes.set_xlabel(label)
        tooltips = [f"{percent(accuracy)}, {study.setting_text(result.settings)}" for _, accuracy, result in points]
        series = [hover_series(axes, study.metric, "blue", numbers, accuracies, tooltips)]
        best = value_text(study.best.settings[key]) if study.best else "–"
        return finished_chart(axes, f"{metric} by {label}", f"{metric} against {label}; best at {best}.", series)
