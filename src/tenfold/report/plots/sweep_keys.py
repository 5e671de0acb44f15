"""Accuracy against the values of one key: dots with bars, and beside them columns that start at 0 %.

A dot is a setting. With one run its bar is the 95 % interval of the accuracy; with several seeds it is mean ±
standard deviation over faint dots, one for each run. Columns show the same on the whole scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from tenfold.report.outcomes import Outcome, Study, identity, number_of, value_text
from tenfold.report.plots import axes as ax
from tenfold.report.plots.canvas import BLUE, GREEN, INK, QUIET, WARM, chart

_SERIES = ((BLUE, "o"), (WARM, "s"), (GREEN, "D"), ("#A3538A", "^"), ("#7A6A00", "v"))
_MOST_COLUMNS = 12
_MOST_NAMES = 60
_CAPTION = 0.2  # inches
_WIDTH = 9.0
_LEFT, _BELOW, _ABOVE, _BETWEEN, _COLUMNS, _ROW_GAP = 0.7, 0.5, 0.8, 0.75, 3.4, 0.5  # inches

Reference = Mapping[Any, float]


@dataclass(frozen=True)
class _Dot:
    """One dot: where it lies along the key, its series, and the outcomes that it stands for, at least one."""

    place: float
    series: int
    outcomes: Sequence[Outcome]

    @property
    def share(self) -> float:
        return fmean(outcome.mean for outcome in self.outcomes)

    @property
    def bar(self) -> tuple[float, float] | None:
        """Ends of its bar; an average over other settings has none."""
        return self.outcomes[0].bar if len(self.outcomes) == 1 else None

    @property
    def parts(self) -> list[float]:
        """What it is the mean of; nothing for a single run."""
        if len(self.outcomes) > 1:
            return [outcome.mean for outcome in self.outcomes]
        runs = self.outcomes[0].accuracies
        return list(runs) if len(runs) > 1 else []


def draw_numbers(study: Study, key: str, path: Path, reference: Reference, logarithmic: bool) -> None:
    """Draws accuracy against a key with some numbers as values.

    Args:
        study: the sweep, with at least one outcome.
        key: to draw against; another one with few values is told apart by colour, further ones are averaged.
        path: of the PNG.
        reference: accuracies that others report, by value; drawn as hollow diamonds.
        logarithmic: whether the axis of the key is.

    Raises:
        StorageError: when the disk refuses.
    """
    other, values = _second_key(study, key)
    settings = {identity(outcome.settings[key]): outcome.settings[key] for outcome in study.outcomes}
    dots = _dots(study, key, other, values, {name: float(value) for name, value in settings.items()})
    told = {float(value): share for value, share in reference.items() if number_of(value) is not None}
    labels = [*map(value_text, values), *(["reported"] if told else [])]
    columns = other is None and _fit(dots)
    left, right = _LEFT + (_COLUMNS + _BETWEEN if columns else 0), ax.legend_room(labels)
    above = _ABOVE + (_CAPTION if columns else 0)
    with chart(path, _WIDTH, 4.1) as figure:
        ax.heading(figure, _title(study, key), _subtitle(study, key, other, dots), _LEFT)
        axes = ax.panel(figure, left, _BELOW, right, above)
        numbers = [*(dot.place for dot in dots), *told]
        ax.number_axis(axes, numbers, logarithmic=logarithmic, inches=_WIDTH - left - right, marked=True)
        _draw_dots(axes, _dodged(axes, dots, logarithmic), len(values), upright=True)
        _draw_reference(axes, told, upright=True)
        _finish(axes, dots, told, key, upright=True)
        if labels:
            _add_legend(axes, labels, len(values), study.labels[other] if other else None)
        if columns:
            bars = ax.panel(figure, _LEFT, _BELOW, _WIDTH - _LEFT - _COLUMNS, above)
            _draw_columns(bars, dots, key)
            ax.caption(bars, "from 0 %")
            ax.caption(axes, "closer up")


def draw_names(study: Study, key: str, path: Path, reference: Reference) -> None:
    """Draws accuracy against a key whose values are names, one below the other.

    Args:
        study: the sweep; may have no outcome.
        key: to draw against; another one with few values is told apart by colour, further ones are averaged.
        path: of the PNG.
        reference: accuracies that others report, by value; drawn as hollow diamonds.

    Raises:
        StorageError: when the disk refuses.
    """
    other, values = _second_key(study, key)
    settings = {identity(outcome.settings[key]): outcome.settings[key] for outcome in study.outcomes}
    order = {name: float(place) for place, name in enumerate(list(settings)[:_MOST_NAMES])}
    dots = _dots(study, key, other, values, order)
    names = [value_text(settings[name]) for name in order]
    told = {order[identity(value)]: share for value, share in reference.items() if identity(value) in order}
    labels = [*map(value_text, values), *(["reported"] if told else [])]
    left = max(_LEFT, 0.3 + max(map(len, names), default=0) * 9 * ax.SIGN)
    right, inches = ax.legend_room(labels), max(0.34 * len(names), 1.0)
    above = _ABOVE + (_CAPTION if other is None and dots else 0)
    with chart(path, _WIDTH, inches + above + _BELOW + 0.05) as figure:
        ax.heading(figure, _title(study, key), _subtitle(study, key, other, dots), left)
        start = left + (_COLUMNS + _ROW_GAP if other is None and dots else 0)
        axes = ax.panel(figure, start, _BELOW, right, above)
        if not dots:
            ax.nothing_measured(axes)
            return
        panels = [axes]
        if other is None:
            panels.insert(0, ax.panel(figure, left, _BELOW, _WIDTH - start + _ROW_GAP, above))
            _draw_rows(panels[0], dots)
            ax.caption(panels[0], "from 0 %")
            ax.caption(axes, "closer up")
            axes.tick_params(labelleft=False)
        for some in panels:
            some.set_yticks(range(len(names)), names, color=INK)
            some.set_ylim(len(names) - 0.4, -0.6)
        _draw_dots(axes, _dodged_rows(dots), len(values), upright=False)
        _draw_reference(axes, told, upright=False)
        _finish(axes, dots, told, study.measure, upright=False)
        if labels:
            _add_legend(axes, labels, len(values), study.labels[other] if other else None)


def _second_key(study: Study, key: str) -> tuple[str | None, list[Any]]:
    """Returns the other key that colours tell apart, and its values: the first with few enough, if there is one."""
    for other in study.keys:
        values = {identity(outcome.settings[other]): outcome.settings[other] for outcome in study.outcomes}
        if other != key and 1 < len(values) <= len(_SERIES):
            return other, sorted(values.values()) if study.numbers(other) else list(values.values())
    return None, []


def _dots(study: Study, key: str, other: str | None, values: Sequence[Any], places: Mapping[str, float]) -> list[_Dot]:
    """Returns one dot for each value and series, along the axis."""
    order = [identity(value) for value in values]
    groups: dict[tuple[float, int], list[Outcome]] = {}
    for outcome in study.outcomes:
        if (name := identity(outcome.settings[key])) in places:
            series = order.index(identity(outcome.settings[other])) if other else 0
            groups.setdefault((places[name], series), []).append(outcome)
    return [_Dot(place, series, group) for (place, series), group in sorted(groups.items(), key=lambda item: item[0])]


def _title(study: Study, key: str) -> str:
    return f"{study.measure.capitalize()} against {study.labels[key]}"


def _subtitle(study: Study, key: str, other: str | None, dots: Sequence[_Dot]) -> str:
    rest = [study.labels[name] for name in study.keys if name not in (key, other)]
    averaged = any(len(dot.outcomes) > 1 for dot in dots)
    how = f"mean over {' and '.join(rest)}; faint dots are single settings · {study.trials}"
    faint = "; faint dots are single runs · " if study.seeds > 1 else " · "
    return how if averaged else study.subtitle.replace(" · ", faint, 1)


def _dodged(axes: Axes, dots: Sequence[_Dot], logarithmic: bool) -> list[_Dot]:
    """Returns the dots with those of several series a little apart, so that all bars can be seen."""
    middle = max((dot.series for dot in dots), default=0) / 2
    low, high = axes.get_xlim()
    moved = []
    for dot in dots:
        shift = (dot.series - middle) * 0.009
        place = dot.place * (high / low) ** shift if logarithmic else dot.place + (high - low) * shift
        moved.append(_Dot(place, dot.series, dot.outcomes))
    return moved


def _dodged_rows(dots: Sequence[_Dot]) -> list[_Dot]:
    middle = max(dot.series for dot in dots) / 2
    return [_Dot(dot.place + (dot.series - middle) * 0.16, dot.series, dot.outcomes) for dot in dots]


def _draw_dots(axes: Axes, dots: Sequence[_Dot], series: int, *, upright: bool) -> None:
    lines = axes.vlines if upright else axes.hlines
    for number in range(max(series, 1)):
        colour, marker = _SERIES[number]
        own = [dot for dot in dots if dot.series == number]
        faint = [(dot.place, share) for dot in own for share in dot.parts]
        bars = [(dot.place, *dot.bar) for dot in own if dot.bar]
        if faint:
            axes.scatter(*_turned(faint, upright), s=14, color=colour, alpha=0.35, linewidths=0)
        if bars:
            lines(*zip(*bars, strict=True), color=colour, linewidth=1.4)
        points = _turned([(dot.place, dot.share) for dot in own], upright)
        link = "-" if upright else ""
        axes.plot(*points, color=colour, linewidth=0.8, linestyle=link, alpha=0.45)
        axes.plot(*points, color=colour, marker=marker, markersize=5.5, linestyle="")


def _turned(pairs: Sequence[tuple[float, float]], upright: bool) -> tuple[list[float], list[float]]:
    along, shares = [place for place, _ in pairs], [share for _, share in pairs]
    return (along, shares) if upright else (shares, along)


def _draw_reference(axes: Axes, told: Mapping[float, float], *, upright: bool) -> None:
    if told:
        points = _turned(list(told.items()), upright)
        axes.plot(*points, linestyle="", marker="D", markersize=5, markerfacecolor="none", color=QUIET)


def _finish(axes: Axes, dots: Sequence[_Dot], told: Mapping[float, float], label: str, *, upright: bool) -> None:
    """Sets limits, ticks and names of the closer view."""
    shares = [*told.values(), *(share for dot in dots for share in (dot.share, *dot.parts, *(dot.bar or ())))]
    limits = ax.accuracy_limits(shares)
    if upright:
        axes.set(ylim=limits, xlabel=label)
    else:
        axes.set(xlim=limits, xlabel=label)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    ax.accuracy_ticks(axes, upright=upright)


def _add_legend(axes: Axes, labels: Sequence[str], series: int, title: str | None) -> None:
    marks = [
        axes.plot([], [], color=colour, marker=marker, markersize=5.5, linestyle="")[0]
        for colour, marker in _SERIES[:series]
    ]
    if len(labels) > series:
        marks += axes.plot([], [], linestyle="", marker="D", markersize=5, markerfacecolor="none", color=QUIET)
    ax.legend_beside(axes, marks, labels, title)


def _fit(dots: Sequence[_Dot]) -> bool:
    """Returns whether columns for these dots can be told apart, and the numbers below them do not touch."""
    widest = max(len(ax.compact(dot.place)) + 1 for dot in dots) * 9 * ax.SIGN
    return len(dots) <= _MOST_COLUMNS and widest * (len(dots) + 0.4) <= _COLUMNS


def _draw_columns(axes: Axes, dots: Sequence[_Dot], label: str) -> None:
    """Draws the bar chart: every accuracy on the whole scale, with its value."""
    axes.bar(range(len(dots)), [dot.share for dot in dots], 0.72, color=BLUE, alpha=0.8)
    size = min(8.5, 74 / len(dots))
    for place, dot in enumerate(dots):
        top = max(dot.share, *(dot.bar or (0.0,)))
        axes.text(place, top + 0.025, f"{dot.share * 100:.1f}", ha="center", size=size)
        if dot.bar:
            axes.vlines(place, *dot.bar, color=INK, linewidth=1.2)
    names = [ax.compact(dot.place) for dot in dots]
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0, pad=6.5)
    axes.set(ylim=(0, 1.08), xlim=(-0.7, max(len(names), 4) - 0.3), xlabel=label)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ax.accuracy_ticks(axes, upright=True, most=None)


def _draw_rows(axes: Axes, dots: Sequence[_Dot]) -> None:
    """Draws the bar chart for names: every accuracy on the whole scale, with its value."""
    axes.barh([dot.place for dot in dots], [dot.share for dot in dots], 0.66, color=BLUE, alpha=0.8)
    for dot in dots:
        top = max(dot.share, *(dot.bar or (0.0,)))
        inside = top > 0.8
        place, side, colour = (
            (min(dot.share, *(dot.bar or (1.0,))) - 0.02, "right", "#ffffff") if inside else (top + 0.02, "left", INK)
        )
        axes.text(place, dot.place, f"{dot.share * 100:.1f} %", ha=side, va="center_baseline", size=8, color=colour)
        if dot.bar:
            axes.hlines(dot.place, *dot.bar, color=INK, linewidth=1.2)
    axes.set(xlim=(0, 1.0), xticks=[0, 0.25, 0.5, 0.75, 1.0])
    ax.accuracy_ticks(axes, upright=False, most=None)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
