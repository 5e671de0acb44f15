"""The charts of a family of runs: how far they lie apart."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from tenfold.core.text import interval, percent, printable, shortened
from tenfold.report.outcomes import Outcome, Study, number_of, value_text
from tenfold.report.page.drawing import WIDTH, Chart, Series, drawing, finished, hover
from tenfold.report.page.family_trials import mean_text
from tenfold.report.plots.axes import accuracy_limits, accuracy_ticks, number_axis, suits_logarithm
from tenfold.report.plots.canvas import BLUE, GRID, INK, WARM

MOST_ROWS = 24  # of the spread chart; more would not be read

_ROW, _LETTER = 19.0, 6.6  # points
_LONGEST_LABEL = 22


class _Entry(NamedTuple):
    """A row of the spread chart: dots, and a bar that says how well they are known."""

    name: str
    label: str
    dots: Sequence[float]
    texts: Sequence[str]
    bar: tuple[float, float] | None
    best: bool


def spread_chart(study: Study) -> Chart:
    """Draws the accuracy of each run, or of each setting's runs, below one another, the best first.

    Of several seeds each is a row with its 95 % interval, and behind them lies their mean ± standard deviation.

    Args:
        study: with one finished trial at least.
    """
    seeds = not study.keys
    entries = _seed_entries(study) if seeds else _setting_entries(study)
    left = min(max(len(entry.label) for entry in entries), _LONGEST_LABEL) * _LETTER + 10
    with drawing(WIDTH, 50 + _ROW * max(len(entries), 3), left=left) as axes:
        ends = [end for entry in entries for end in (*entry.dots, *(entry.bar or ()))]
        axes.set(xlim=_within_one(accuracy_limits(ends)), ylim=(len(entries) - 0.4, -0.6))
        axes.set_yticks(range(len(entries)), [shortened(entry.label, _LONGEST_LABEL) for entry in entries])
        accuracy_ticks(axes, upright=False, most=4)
        axes.set_xlabel(study.measure)
        if seeds:
            _draw_mean(axes, study.outcomes[0])
        for place, entry in enumerate(entries):
            _draw_entry(axes, place, entry)
        found = [_found(axes, place, entry) for place, entry in enumerate(entries)]
        return finished(axes, _title(study, len(entries)), _spread_words(study), found, legend=False)


def _title(study: Study, shown: int) -> str:
    if not study.keys:
        return "Every run"
    which = "Every setting" if shown >= len(study.outcomes) else f"The best {shown} of {len(study.outcomes)} settings"
    return f"{which}: {' · '.join(study.labels.values())}"


def _within_one(limits: tuple[float, float]) -> tuple[float, float]:
    """Returns the ends of an axis without room for more than 100 %, but for half a dot."""
    return limits[0], min(limits[1], 1 + 0.02 * (1 - limits[0]))


def _seed_entries(study: Study) -> list[_Entry]:
    rows = [row for row in study.rows if row.get("status") == "finished"]
    return [
        _Entry(
            f"seed {row['seed']}",
            f"seed {row['seed']}",
            [share],
            [f"{percent(share)} ({interval(study.wilson(row))})"],
            study.wilson(row),
            False,
        )
        for row in rows
        if (share := study.accuracy(row)) is not None
    ]


def _setting_entries(study: Study) -> list[_Entry]:
    ranked = sorted(study.outcomes, key=lambda outcome: outcome.mean, reverse=True)[:MOST_ROWS]
    return [
        _Entry(
            study.setting(outcome.settings),
            " · ".join(map(value_text, outcome.settings.values())),
            sorted(outcome.accuracies),
            [_run_text(share, outcome) for share in sorted(outcome.accuracies)],
            outcome.bar,
            outcome is study.best,
        )
        for outcome in ranked
    ]


def _run_text(share: float, outcome: Outcome) -> str:
    if outcome.spread.count == 1:
        return percent(share) + (f" ({interval(outcome.wilson)})" if outcome.wilson else "")
    return f"{percent(share)}; {outcome.spread.count} runs {mean_text(outcome.spread)}"


def _draw_mean(axes: Axes, outcome: Outcome) -> None:
    if outcome.spread.deviation is not None and outcome.bar is not None:
        axes.axvspan(*outcome.bar, color=GRID, linewidth=0)
        axes.axvline(outcome.mean, color=INK, linewidth=1)


def _draw_entry(axes: Axes, place: int, entry: _Entry) -> None:
    colour = WARM if entry.best else BLUE
    if entry.bar is not None:
        axes.hlines(place, *entry.bar, color=colour, linewidth=1.6, alpha=0.55)
    axes.plot(entry.dots, [place] * len(entry.dots), color=colour, linewidth=0, marker="o", markersize=6)


def _found(axes: Axes, place: int, entry: _Entry) -> Series:
    colour = "warm" if entry.best else "blue"
    return hover(axes, printable(entry.name), colour, entry.dots, [place] * len(entry.dots), entry.texts)


def _spread_words(study: Study) -> str:
    best = study.best
    assert best is not None
    if not study.keys:
        return f"{study.measure.capitalize()} of {best.spread.count} runs: {mean_text(best.spread)}."
    return (
        f"{study.measure.capitalize()} of {len(study.outcomes)} settings: "
        f"best {study.setting(best.settings)} with {mean_text(best.spread)}."
    )


def key_charts(study: Study) -> tuple[Chart, ...]:
    """Draws the accuracy of each finished run against each varied key that has three numbers or more."""
    return tuple(_key_chart(study, key) for key in study.keys if len(set(study.numbers(key))) > 2)


def _key_chart(study: Study, key: str) -> Chart:
    pairs = sorted(
        (
            (number, share, outcome)
            for outcome in study.outcomes
            for share in outcome.accuracies
            if (number := number_of(outcome.settings[key])) is not None
        ),
        key=lambda pair: pair[:2],
    )
    numbers, shares, outcomes = (list(column) for column in zip(*pairs, strict=True))
    colours = [WARM if outcome is study.best else BLUE for outcome in outcomes]
    with drawing() as axes:
        number_axis(axes, numbers, logarithmic=suits_logarithm(numbers), inches=4.0, marked=False)
        axes.set_ylim(_within_one(accuracy_limits(shares)))
        accuracy_ticks(axes, upright=True, most=5)
        for number, share, colour in zip(numbers, shares, colours, strict=True):
            axes.plot([number], [share], color=colour, linewidth=0, marker="o", markersize=6)
        axes.set_xlabel(study.labels[key])
        said = [f"{percent(share)}, {study.setting(outcome.settings)}" for _, share, outcome in pairs]
        found = [hover(axes, study.measure, "blue", numbers, shares, said)]
        best = value_text(study.best.settings[key]) if study.best else "–"
        words = f"{study.measure.capitalize()} against {study.labels[key]}; best at {best}."
        return finished(axes, f"{study.measure.capitalize()} by {study.labels[key]}", words, found)
