"""Tables of sweeps and of several seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tenfold.core.text import interval, mean_text, percent, plural, shortened
from tenfold.evaluate.macro import NAMES, is_uneven
from tenfold.evaluate.spread import spread
from tenfold.report.study import Row, Study, as_number, fraction_of, value_text
from tenfold.report.tables.run_tables import class_table, listing

if TYPE_CHECKING:  # imports torch, which takes a second or two
    from tenfold.evaluate.metrics import Evaluation

_MAX_ERROR_WIDTH = 60
_MAX_SEEDS = 5


def sweep_table(study: Study) -> Table:
    """Returns one line for each trial, in the order of the sweep, with the best one marked."""
    rows, keys = study.rows, study.keys
    finished = [row for row in rows if row.get("status") == "finished"]
    best = max(finished, key=lambda row: study.accuracy(row) or 0.0, default=None)
    test, target = ["test accuracy"] if study.split == "val" else [], _target_headings(study)
    text_headings = ["trial", *study.labels.values(), "seed", "status"]
    headings = [*text_headings, study.metric, "95 % interval", *test, "parameters", "seconds", *target, ""]
    cells = [
        [
            str(row.get("trial", "")),
            *(used_text(row, key) for key in keys),
            value_text(row.get("seed")),
            str(row.get("status", "")),
            percent(study.accuracy(row)),
            interval(study.wilson(row)),
            *(percent(fraction_of(row, "test_accuracy")) for _ in test),
            _number_text(row.get("parameters")),
            _number_text(row.get("training_seconds"), decimals=1),
            *(target_text(row) for _ in target),
            "best" if row is best else shortened(str(row.get("error") or ""), _MAX_ERROR_WIDTH),
        ]
        for row in rows
    ]
    return _table(headings, cells, text_columns=len(text_headings))


def settings_table(study: Study) -> Table:
    """Returns mean and spread over seeds of each setting, with the best one marked."""
    labels = list(study.labels.values())
    headings = [*labels, "seeds", study.metric, "95 % interval", "lowest", "highest", "parameters", "seconds", ""]
    cells = [
        [
            *(value_text(result.settings[key]) for key in study.keys),
            str(result.spread.count),
            mean_text(result.mean, result.spread.std),
            interval(result.spread.interval),
            percent(result.spread.lowest),
            percent(result.spread.highest),
            _number_text(result.parameters),
            _number_text(result.seconds, decimals=1),
            "best" if result is study.best and len(study.results) > 1 else "",
        ]
        for result in study.results
    ]
    return _table(headings, cells, text_columns=len(labels))


def seeds_table(study: Study, evaluations: "Sequence[Evaluation]") -> Group:
    """Returns the output of `train --seeds N`: each seed, their mean and spread, and the spread within each class.

    Args:
        study: trials that differ only in the seed, at least one of them finished.
        evaluations: one for each finished trial, in order, of the same classes.
    """
    finished = [row for row in study.rows if row.get("status") == "finished"]
    target = _target_headings(study)
    runs = [
        [str(row["seed"]), percent(one.accuracy), interval(one.interval), *(target_text(row) for _ in target), ""]
        for row, one in zip(finished, evaluations, strict=True)
    ]
    classes = [
        _class_cells(results[0].name, [result.recall for result in results if result.recall is not None])
        for results in zip(*(evaluation.per_class for evaluation in evaluations), strict=True)
    ]
    return Group(
        _table(["seed", "test accuracy", "95 % interval", *target, ""], runs),
        seeds_line(study),
        *(line for line in (duplicates_line(finished), target_line(study)) if line),
        _table(["class", "test accuracy", "lowest", "highest", ""], classes),
    )


def folds_table(study: Study) -> Group:
    """Returns the output of `train --folds K`: each fold, the accuracy over all images, and that of each class.

    Args:
        study: a cross-validation whose folds have all finished.
    """
    assert study.out_of_fold is not None
    runs = [
        [
            str(row["data.fold"]),
            f"{row['test_images']:,}",
            percent(study.accuracy(row)),
            interval(study.wilson(row)),
            "",
        ]
        for row in study.rows
    ]
    figures = " · ".join(f"{NAMES[name]} {percent(value)}" for name, value in study.out_of_fold.means.items())
    lines = [folds_line(study), Text(figures)]
    if is_uneven(result.support for result in study.out_of_fold.per_class):
        lines.reverse()
    table = _table(["fold", "images", "accuracy", "95 % interval", ""], runs)
    return Group(table, *lines, class_table(study.out_of_fold.per_class))


def folds_line(study: Study) -> Text:
    """Returns the sentence with the accuracy of a cross-validation over all images."""
    total = study.tested([row for row in study.rows if row.get("status") == "finished"])
    assert study.out_of_fold is not None
    return Text.assemble(
        "accuracy ",
        (percent(total.mean), "bold"),
        f" out of fold: {len(study.out_of_fold.predictions):,} images, each predicted by the one of {total.count} "
        f"networks that was not trained on it; folds from {percent(total.lowest)} to {percent(total.highest)}; "
        f"95 % interval {interval(total.interval)}, for {study.covers}",
    )


def _class_cells(name: str, recalls: Sequence[float]) -> list[str]:
    if not recalls:
        return [name, "–", "–", "–", ""]
    total = spread(recalls)
    return [name, mean_text(total.mean, total.std), percent(total.lowest), percent(total.highest), ""]


def seeds_line(study: Study) -> Text:
    """Returns the sentence with the mean and the spread over seeds.

    Args:
        study: trials that differ only in the seed, at least one of them finished.

    Example:
        >>> values = {"status": "finished", "test_images": 10_000}
        >>> seeds_line(Study([values | {"test_accuracy": one} for one in (0.70, 0.71, 0.72)], [])).plain
        'accuracy 71.0 ± 1.0 % over 3 seeds on one split, from 70.0 % to 72.0 %; 95 % interval 68.4–73.6 %, for new images and new seeds'
    """  # noqa: E501
    total = study.tested([row for row in study.rows if row.get("status") == "finished"])
    if total.std is None:
        rest = " of one seed; --seeds 5 shows how much it varies"
        return Text.assemble("accuracy ", (percent(total.mean), "bold"), rest)
    return Text.assemble(
        "accuracy ",
        (mean_text(total.mean, total.std), "bold"),
        f" over {total.count} seeds{study.splits_text}, "
        f"from {percent(total.lowest)} to {percent(total.highest)}; "
        f"95 % interval {interval(total.interval)}, for {study.covers}",
    )


def used_text(row: Row, key: str) -> str:
    """Returns a trial's value of a varied key, with the batch size that was used where it is another."""
    text, used = value_text(row.get(key)), row.get("batch_size")
    return f"{text} (used {used})" if key == "train.batch_size" and used not in (None, row.get(key)) else text


def duplicates_line(rows: Sequence[Row]) -> str | None:
    """Returns the sentence with the accuracy without near duplicates; None where no test image has one in train.

    Args:
        rows: of finished trials of one setting.

    Example:
        >>> row = {"seed": 0, "test_images": 36, "near_duplicates": 6, "test_accuracy_without": 0.8}
        >>> duplicates_line([row])
        'without the test images that have a near duplicate in train (6 of 36): 80.0 %'
    """
    having = [row for row in rows if row.get("near_duplicates")]
    if not having:
        return None
    numbers = [f"{row['near_duplicates']:,} of {row['test_images']:,}" for row in having]
    found = numbers[0]
    if len(set(numbers)) > 1 or len(having) < len(rows):
        named = [f"{text} with seed {row['seed']}" for text, row in zip(numbers, having, strict=True)]
        found = ", ".join(named[:_MAX_SEEDS]) + (f" and {len(named) - _MAX_SEEDS} more" * (len(named) > _MAX_SEEDS))
    start = f"without the test images that have a near duplicate in train ({found})"
    known = [accuracy for row in rows if (accuracy := fraction_of(row, "test_accuracy_without")) is not None]
    if not known:
        return f"{start} none is left"
    total = spread(known)
    some = "" if len(known) == len(rows) else f" over the {plural(len(known), 'seed')} with others"
    return f"{start}: {mean_text(total.mean, total.std)}{some}"


def target_line(study: Study) -> str | None:
    """Returns the sentence with the times to the target over the seeds; None for a sweep without a target."""
    times = study.target_times
    if times is None:
        return None
    rows = [row for row in study.rows if row.get("status") == "finished"]
    target = f"target {percent(fraction_of(rows[0], 'target'))}"
    if times.seconds is None:
        return f"{target} was reached by none of the {times.total} seeds"
    mean, std = times.seconds.mean, times.seconds.std
    spread_text = f"{mean:.1f} s" if std is None else f"{mean:.1f} ± {std:.1f} s"
    return f"{target} reached by {times.seconds.count} of {plural(times.total, 'seed')}, after {spread_text}"


def target_text(row: Row) -> str:
    """Returns the time of a trial to its target."""
    seconds = as_number(row.get("target_seconds"))
    if row.get("status") != "finished":
        return "–"
    return "not reached" if seconds is None else f"{seconds:.1f} s"


def _target_headings(study: Study) -> list[str]:
    """Returns the heading of the column with the times to the target; none for a sweep without one."""
    return [] if study.target_times is None else ["to target"]


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
