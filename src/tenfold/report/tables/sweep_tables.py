"""What the screen shows of a sweep and of several seeds, as renderables; nothing is printed here."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tenfold.core.text import shortened
from tenfold.evaluate.spread import Estimate, Spread, difference_margin, spread
from tenfold.report.outcomes import Outcome, Row, Study, number_of, share_of, value_text
from tenfold.report.tables.run_tables import listing, percent

if TYPE_CHECKING:  # it would bring torch, which takes a second or two
    from tenfold.evaluate.metrics import Evaluation

_LONGEST_ERROR = 60
_FEW_SEEDS = 5


def sweep_table(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """Returns one line for each trial, in the order of the sweep, the best one marked.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: those that vary, dotted.
    """
    study = Study(rows, keys)
    finished = [row for row in rows if row.get("status") == "finished"]
    best = max(finished, key=lambda row: study.accuracy(row) or 0.0, default=None)
    test = ["test"] if study.split == "val" else []
    words = ["trial", *study.labels.values(), "seed", "status"]
    headings = [*words, study.measure, "95 % interval", *test, "parameters", "seconds", ""]
    cells = [
        [
            str(row.get("trial", "")),
            *(value_text(row.get(key)) for key in keys),
            value_text(row.get("seed")),
            str(row.get("status", "")),
            percent(study.accuracy(row)),
            interval_text(study.wilson(row)),
            *(percent(share_of(row, "test_accuracy")) for _ in test),
            _number(row.get("parameters")),
            _number(row.get("training_seconds"), digits=1),
            "best" if row is best else shortened(str(row.get("error") or ""), _LONGEST_ERROR),
        ]
        for row in rows
    ]
    return _table(headings, cells, words=len(words))


def settings_table(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """Returns one line for each setting with mean and scatter over its seeds, the best one marked.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: those that vary, dotted.
    """
    study = Study(rows, keys)
    words = [*study.labels.values()]
    figures = [study.measure, "95 % interval", "lowest", "highest", "parameters", "seconds", ""]
    cells = [
        [
            *(value_text(outcome.settings[key]) for key in keys),
            str(outcome.spread.count),
            mean_text(outcome.spread),
            interval_text(outcome.spread.interval or outcome.wilson),
            percent(outcome.spread.lowest),
            percent(outcome.spread.highest),
            _number(outcome.parameters),
            _number(outcome.seconds, digits=1),
            "best" if outcome is study.best and len(study.outcomes) > 1 else "",
        ]
        for outcome in study.outcomes
    ]
    return _table([*words, "seeds", *figures], cells, words=len(words))


def seeds_table(evaluations: "Sequence[Evaluation]", seeds: Sequence[int] | None = None) -> Group:
    """Returns what `train --seeds N` shows: each seed, their mean and scatter, and the scatter within each class.

    Args:
        evaluations: one for each seed, at least one, of the same classes.
        seeds: their seeds; 0, 1, 2 … by default.
    """
    numbers = range(len(evaluations)) if seeds is None else seeds
    runs = [
        [str(seed), percent(one.accuracy), interval_text(one.interval), ""]
        for seed, one in zip(numbers, evaluations, strict=True)
    ]
    classes = [
        _class_cells(results[0].name, [result.recall for result in results if result.recall is not None])
        for results in zip(*(evaluation.per_class for evaluation in evaluations), strict=True)
    ]
    return Group(
        _table(["seed", "accuracy", "95 % interval", ""], runs),
        seeds_line(spread([evaluation.accuracy for evaluation in evaluations])),
        _table(["class", "accuracy", "lowest", "highest", ""], classes),
    )


def _class_cells(name: str, recalls: Sequence[float]) -> list[str]:
    if not recalls:
        return [name, "–", "–", "–", ""]
    total = spread(recalls)
    return [name, mean_text(total), percent(total.lowest), percent(total.highest), ""]


def seeds_line(total: Spread) -> Text:
    """Returns the sentence that sums up several seeds.

    Example:
        >>> seeds_line(spread([0.70, 0.71, 0.72])).plain
        'accuracy 71.0 ± 1.0 % (95 % interval of the mean 68.5–73.5 %), from 70.0 % to 72.0 %, over 3 seeds'
    """
    if total.interval is None:
        return Text.assemble(
            "accuracy ", (percent(total.mean), "bold"), " of one seed; --seeds 5 tells how far it scatters"
        )
    return Text.assemble(
        "accuracy ",
        (mean_text(total), "bold"),
        f" (95 % interval of the mean {interval_text(total.interval)}), "
        f"from {percent(total.lowest)} to {percent(total.highest)}, over {total.count} seeds",
    )


def noise_warning(rows: Sequence[Row], keys: Sequence[str]) -> str | None:
    """Returns what to say when the best setting is not clearly the best, else None.

    Single runs are compared by their binomial errors, several seeds by Welch's test, both at 95 %.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: those that vary, dotted.
    """
    study = Study(rows, keys)
    best = study.best
    if best is None or best.estimate is None:
        return None
    others = list(_margins(study, best, best.estimate))
    level = [(other, margin) for other, margin in others if best.mean - other.mean <= margin]
    if not level:
        return None
    nearest, margin = max(level, key=lambda pair: pair[0].mean)
    rival = _named(study, nearest)
    if len(level) > 1:
        rival = f"{len(level)} of the {len(others)} other settings, first of all {rival}"
    runs = min(best.spread.count, nearest.spread.count)
    return (
        f"{_named(study, best)} came out best, but within chance of {rival}. "
        f"With {'one run' if runs == 1 else f'{runs} seeds'} each, a difference must exceed {margin * 100:.1f} points "
        f"to count; more seeds tell more: --seeds {_FEW_SEEDS if runs < _FEW_SEEDS else 2 * runs}"
    )


def _margins(study: Study, best: Outcome, estimate: Estimate) -> Iterator[tuple[Outcome, float]]:
    """Yields every other outcome with the difference from the best that chance alone explains."""
    for other in study.outcomes:
        if other is not best and other.estimate is not None:
            yield other, difference_margin(estimate, other.estimate)


def _named(study: Study, outcome: Outcome) -> str:
    return f"{study.setting(outcome.settings)} ({percent(outcome.mean)})"


def mean_text(total: Spread) -> str:
    """Returns mean and standard deviation as percent: `71.0 ± 1.0 %`."""
    scatter = "" if total.deviation is None else f" ± {total.deviation * 100:.1f}"
    return f"{total.mean * 100:.1f}{scatter} %"


def interval_text(ends: tuple[float, float] | None) -> str:
    """Returns the ends of an interval as percent, within 0 and 100 %, or a dash for none.

    Example:
        >>> interval_text((0.6953, 0.713)), interval_text((0.9, 1.2)), interval_text(None)
        ('69.5–71.3 %', '90.0–100.0 %', '–')
    """
    return "–" if ends is None else f"{max(ends[0], 0.0) * 100:.1f}–{min(ends[1], 1.0) * 100:.1f} %"


def _number(value: object, digits: int = 0) -> str:
    number = number_of(value)
    return "–" if number is None else f"{number:,.{digits}f}"


def _table(headings: Sequence[str], cells: Sequence[Sequence[str]], words: int = 1) -> Table:
    """Returns a list whose first columns are words and the last one a remark, with numbers between; best in bold."""
    table = listing(headings, cells)
    for column in table.columns[words:-1]:
        column.justify, column.no_wrap = "right", True
    for row, line in zip(table.rows, cells, strict=True):
        row.style = "bold" if line[-1] == "best" else None
    return table
