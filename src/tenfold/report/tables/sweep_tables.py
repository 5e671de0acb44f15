"""Tables of sweeps and of several seeds, and a warning if the best setting is not significantly better."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tenfold.core.text import interval, mean_text, percent, shortened
from tenfold.evaluate.spread import Estimate, Spread, difference_margin, spread
from tenfold.report.study import Row, SettingResult, Study, as_number, fraction_of, value_text
from tenfold.report.tables.run_tables import listing

if TYPE_CHECKING:  # imports torch, which takes a second or two
    from tenfold.evaluate.metrics import Evaluation

_MAX_ERROR_WIDTH = 60
_USUAL_SEEDS = 5


def sweep_table(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """Returns one line for each trial, in the order of the sweep, with the best one marked.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: varied recipe keys, dotted.
    """
    study = Study(rows, keys)
    finished = [row for row in rows if row.get("status") == "finished"]
    best = max(finished, key=lambda row: study.accuracy(row) or 0.0, default=None)
    test = ["test accuracy"] if study.split == "val" else []
    text_headings = ["trial", *study.labels.values(), "seed", "status"]
    headings = [*text_headings, study.metric, "95 % interval", *test, "parameters", "seconds", ""]
    cells = [
        [
            str(row.get("trial", "")),
            *(value_text(row.get(key)) for key in keys),
            value_text(row.get("seed")),
            str(row.get("status", "")),
            percent(study.accuracy(row)),
            interval(study.wilson(row)),
            *(percent(fraction_of(row, "test_accuracy")) for _ in test),
            _number_text(row.get("parameters")),
            _number_text(row.get("training_seconds"), decimals=1),
            "best" if row is best else shortened(str(row.get("error") or ""), _MAX_ERROR_WIDTH),
        ]
        for row in rows
    ]
    return _table(headings, cells, text_columns=len(text_headings))


def settings_table(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """Returns mean and spread over seeds of each setting, with the best one marked.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: varied recipe keys, dotted.
    """
    study = Study(rows, keys)
    labels = list(study.labels.values())
    headings = [*labels, "seeds", study.metric, "95 % interval", "lowest", "highest", "parameters", "seconds", ""]
    cells = [
        [
            *(value_text(result.settings[key]) for key in keys),
            str(result.spread.count),
            mean_text(result.mean, result.spread.std),
            interval(result.spread.interval or result.wilson),
            percent(result.spread.lowest),
            percent(result.spread.highest),
            _number_text(result.parameters),
            _number_text(result.seconds, decimals=1),
            "best" if result is study.best and len(study.results) > 1 else "",
        ]
        for result in study.results
    ]
    return _table(headings, cells, text_columns=len(labels))


def seeds_table(evaluations: "Sequence[Evaluation]", seeds: Sequence[int] | None = None) -> Group:
    """Returns the output of `train --seeds N`: each seed, their mean and spread, and the spread within each class.

    Args:
        evaluations: one for each seed, at least one, of the same classes.
        seeds: their seeds; 0, 1, 2 … by default.
    """
    numbers = range(len(evaluations)) if seeds is None else seeds
    runs = [
        [str(seed), percent(evaluation.accuracy), interval(evaluation.interval), ""]
        for seed, evaluation in zip(numbers, evaluations, strict=True)
    ]
    classes = [
        _class_cells(results[0].name, [result.recall for result in results if result.recall is not None])
        for results in zip(*(evaluation.per_class for evaluation in evaluations), strict=True)
    ]
    return Group(
        _table(["seed", "test accuracy", "95 % interval", ""], runs),
        seeds_line(spread([evaluation.accuracy for evaluation in evaluations])),
        _table(["class", "test accuracy", "lowest", "highest", ""], classes),
    )


def _class_cells(name: str, recalls: Sequence[float]) -> list[str]:
    if not recalls:
        return [name, "–", "–", "–", ""]
    total = spread(recalls)
    return [name, mean_text(total.mean, total.std), percent(total.lowest), percent(total.highest), ""]


def seeds_line(total: Spread) -> Text:
    """Returns the sentence with the mean and the spread over seeds.

    Example:
        >>> seeds_line(spread([0.70, 0.71, 0.72])).plain
        'accuracy 71.0 ± 1.0 % (95 % interval of the mean 68.5–73.5 %), from 70.0 % to 72.0 %, over 3 seeds'
    """
    if total.interval is None:
        rest = " of one seed; --seeds 5 shows how much it varies"
        return Text.assemble("accuracy ", (percent(total.mean), "bold"), rest)
    return Text.assemble(
        "accuracy ",
        (mean_text(total.mean, total.std), "bold"),
        f" (95 % interval of the mean {interval(total.interval)}), "
        f"from {percent(total.lowest)} to {percent(total.highest)}, over {total.count} seeds",
    )


def ranking_warning(rows: Sequence[Row], keys: Sequence[str]) -> str | None:
    """Returns a warning if the best setting is not significantly better than the others, else None.

    Single runs are compared by their binomial errors, several seeds by Welch's test, both at 95 %.

    Args:
        rows: as `SweepFolder.rows` returns them.
        keys: varied recipe keys, dotted.
    """
    study = Study(rows, keys)
    best = study.best
    if best is None or best.estimate is None:
        return None
    others = list(_margins(study, best, best.estimate))
    tied = [(other, margin) for other, margin in others if best.mean - other.mean <= margin]
    if not tied:
        return None
    second, margin = max(tied, key=lambda pair: pair[0].mean)
    rivals = _result_text(study, second)
    if len(tied) > 1:
        rivals = f"{len(tied)} of the {len(others)} other settings, the next best being {rivals}"
    seeds = min(best.spread.count, second.spread.count)
    return (
        f"the best setting, {_result_text(study, best)}, is within noise of {rivals}. "
        f"With {'one run' if seeds == 1 else f'{seeds} seeds'} each, only differences above {margin * 100:.1f} points "
        f"are significant; use more seeds: --seeds {_USUAL_SEEDS if seeds < _USUAL_SEEDS else 2 * seeds}"
    )


def _margins(study: Study, best: SettingResult, estimate: Estimate) -> Iterator[tuple[SettingResult, float]]:
    """Yields every other result with the margin within which its difference from the best is noise."""
    for other in study.results:
        if other is not best and other.estimate is not None:
            yield other, difference_margin(estimate, other.estimate)


def _result_text(study: Study, result: SettingResult) -> str:
    return f"{study.setting_text(result.settings)} ({percent(result.mean)})"


def _number_text(value: object, decimals: int = 0) -> str:
    number = as_number(value)
    return "–" if number is None else f"{number:,.{decimals}f}"


def _table(headings: Sequence[str], cells: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    """Returns a listing with numbers between text columns and a last column of remarks; the best line is bold."""
    table = listing(headings, cells)
    for column in table.columns[text_columns:-1]:
        column.justify, column.no_wrap = "right", True
    for row, line in zip(table.rows, cells, strict=True):
        row.style = "bold" if line[-1] == "best" else None
    return table
