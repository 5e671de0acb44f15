"""The table of the runs in a folder."""

from collections.abc import Collection, Sequence

from rich.table import Table

from tenfold.core.text import duration, interval, mean_text, percent, plural, printable
from tenfold.report.tables.run_tables import Cell, listing
from tenfold.runs.overview import Overview

_BY_TEST = " *"
_BY_TEST_MEANING = "best, by test: chosen on the test images, so expect less on new ones"


def overview_table(runs: Sequence[Overview], left_out: Collection[str] = ()) -> Table:
    """Returns a line for each run or sweep.

    Args:
        runs: in the order of the lines.
        left_out: headings of columns that are left out.
    """
    columns: dict[str, list[Cell]] = {
        "run": [run.name for run in runs],
        "data": [run.data for run in runs],
        "recipe": [run.recipe for run in runs],
        "accuracy": [_accuracy_text(run) for run in runs],
        "95 % interval": [interval(run.interval) for run in runs],
        "length": [_length_text(run) for run in runs],
        "training": [duration(run.training_seconds) for run in runs],
    }
    shown = {heading: cells for heading, cells in columns.items() if heading not in left_out}
    table = listing(list(shown), list(zip(*shown.values(), strict=True)), text_columns=len(shown))
    for column, heading in zip(table.columns, shown, strict=True):
        column.justify = "right" if heading in ("accuracy", "95 % interval", "length", "training") else "left"
    return table


def _accuracy_text(run: Overview) -> str:
    """Returns the accuracy, or the state of a run that has none."""
    if run.accuracy is None:
        return run.state
    if run.std is not None:
        return mean_text(run.accuracy, run.std)
    return f"{percent(run.accuracy)}{_BY_TEST * run.chosen_on_test}"


def _length_text(run: Overview) -> str:
    if run.trials is not None:
        return plural(run.trials, "run")
    return "–" if run.steps is None else plural(run.steps, "step")


def notes(runs: Sequence[Overview]) -> list[str]:
    """Returns the lines below the table: what the mark of an accuracy means, and how to go on with unfinished runs."""
    mark = [f"{_BY_TEST.strip()} {_BY_TEST_MEANING}"] * any(run.chosen_on_test for run in runs)
    return mark + unfinished_lines(runs)


def unfinished_lines(runs: Sequence[Overview]) -> list[str]:
    """Returns for each run that did not finish what happened, and how to go on."""
    lines = []
    for run in runs:
        if run.state in ("finished", "running"):
            continue
        what = f"{printable(run.name)}: {run.state}"
        if run.state == "stopped" and run.steps is not None:
            what += f" at step {run.steps:,}"
        reason = f" ({printable(run.error)})" if run.error else ""
        lines.append(f"{what}{reason}" + (f"; resume: {run.resume}" if run.resume else ""))
    return lines
