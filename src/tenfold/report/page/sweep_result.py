"""The accuracy at the top of the page of a sweep, of several seeds or of a cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.text import count, interval, mean_text, percent, plural, printable
from tenfold.evaluate.spread import Spread
from tenfold.report.ranking import ranking_lines
from tenfold.report.study import Study
from tenfold.report.tables.sweep_tables import duplicates_line, target_line
from tenfold.runs.sweep_folder import Row


@dataclass(frozen=True)
class MainResult:
    """The accuracy at the top of the page.

    Args:
        accuracy: mean ± standard deviation, or a single accuracy.
        description: runs and setting that it belongs to.
        interval: its 95 % interval, as text.
        notes: sentences on how the setting was chosen and how significant that is.
    """

    accuracy: str
    description: str
    interval: str
    notes: tuple[str, ...]


def main_result(study: Study, chosen: Sequence[Row]) -> MainResult:
    """Returns the accuracy of the best setting, of all seeds, or out of fold.

    Args:
        study: with at least one finished trial.
        chosen: rows of the finished trials of its best setting.
    """
    best = study.best
    assert best is not None
    tested = study.tested(chosen)
    if study.out_of_fold is not None:
        text = (
            f"accuracy out of fold: {count(len(study.out_of_fold.predictions))} images, each predicted by the one of "
            f"{tested.count} networks that was not trained on it; "
            f"folds from {percent(tested.lowest)} to {percent(tested.highest)}"
        )
        return MainResult(percent(tested.mean), text, _interval_text(study, tested), tuple(_notes(study, chosen)))
    kind = "test accuracy" if tested.count == 1 else "mean test accuracy ± standard deviation"
    description = f"{kind} of {'one run' if tested.count == 1 else plural(tested.count, 'run')}"
    if study.keys:
        description += f" with {printable(study.setting_text(best.settings))}, the best of "
        description += plural(len(study.results), "setting")
    elif tested.count > 1:
        description += study.splits_text
    return MainResult(
        mean_text(tested.mean, tested.std), description, _interval_text(study, tested), tuple(_notes(study, chosen))
    )


def _interval_text(study: Study, tested: Spread) -> str:
    covers = f", for {study.covers}" if tested.count > 1 else ""
    return f"95 % interval {interval(tested.interval)}{covers}"


def _notes(study: Study, chosen: Sequence[Row]) -> list[str]:
    """Returns how the best setting was chosen, how significant that is, its accuracy without duplicates, and times."""
    lines = [
        f"{line[0].upper()}{line[1:]}."
        for line in (*ranking_lines(study), duplicates_line(chosen), target_line(study))
        if line
    ]
    return [printable(line) for line in lines]
