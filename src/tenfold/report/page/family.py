"""`report.html` of several seeds or of a sweep: what the runs came to, and how far they can be told apart."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import RunError
from tenfold.core.text import duration, interval, percent, printable
from tenfold.evaluate.spread import Spread, spread
from tenfold.report.outcomes import Outcome, Study, identity, number_of, value_text
from tenfold.report.page.confusion import MOST_CLASSES, matrix
from tenfold.report.page.curves import overlay_charts
from tenfold.report.page.family_charts import key_charts, spread_chart
from tenfold.report.page.family_trials import (
    Cell,
    agreement,
    class_spreads,
    common_pairs,
    judged_rows,
    judgements,
    link,
    mean_text,
    pooled,
    setting_cells,
)
from tenfold.report.page.head import Head, head_of
from tenfold.report.page.predictions import Judgement
from tenfold.report.page.rendering import render
from tenfold.report.tables.sweep_tables import noise_warning
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import Row, SweepFolder

_PAIRS = 12


@dataclass(frozen=True)
class Result:
    """The figure at the top.

    Args:
        figure: mean ± standard deviation, or a single accuracy.
        sentence: what it is of.
        interval: its 95 % interval in words; empty where it has none.
        remarks: what must be known to read it rightly.
    """

    figure: str
    sentence: str
    interval: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A finished trial, or a setting, in a table.

    Args:
        name: of it.
        title: all of the name, where it is long.
        link: to a page of its own, where it has one.
        cells: beside the name.
        best: whether it is the best of several settings, or a trial of that.
    """

    name: str
    title: str
    link: str | None
    cells: tuple[Cell, ...]
    best: bool = False


def write_family_page(folder: SweepFolder) -> Path:
    """Writes the page of a sweep or of several seeds and returns where it is.

    Args:
        folder: of the sweep; one of its trials must have finished.

    Raises:
        RunError: when no trial has finished, or a file is damaged.
        StorageError: when the disk refuses.
    """
    durable.write_text(folder.report, family_page(folder))
    return folder.report


def family_page(folder: SweepFolder) -> str:
    """Returns the page of a sweep or of several seeds as HTML; see `write_family_page`."""
    plan, rows = folder.plan(), judged_rows(folder)
    study = Study(rows, (*plan["vary"], *plan["search"]), plan["kind"])
    if study.best is None:
        raise RunError(
            f"{shown(folder.path)} has no trial that finished, expected one at least; "
            f"go on with it: tenfold sweep --resume {shown(folder.path)}"
        )
    chosen = _rows_of(study, study.best)
    runs = judgements(folder, chosen) if len(chosen) > 1 else []
    return render(
        "family.html",
        head=_head(folder, plan, study),
        result=_result(study, chosen),
        study=study,
        settings=_settings(study),
        trials=_trials(folder, study, chosen),
        headings=["trial", *study.labels.values(), "seed", *_measures(study), "95 % interval", "training"],
        unfinished=[_fate(row) for row in rows if row["status"] != "finished"],
        spread_chart=spread_chart(study),
        key_charts=key_charts(study),
        curves=_curves(folder, study, chosen),
        runs=len(runs),
        best=printable(study.setting(study.best.settings)) if study.keys else "",
        classes=class_spreads(runs) if runs else [],
        confusions=_confusions(pooled(runs)) if runs else None,
        pairs=common_pairs(runs, _PAIRS) if runs else [],
        agreement=agreement(runs) if runs else None,
    )


def _rows_of(study: Study, outcome: Outcome) -> list[Row]:
    """Returns the finished trials of one setting."""
    wanted = [identity(outcome.settings[key]) for key in study.keys]
    return [
        dict(row)
        for row in study.rows
        if row["status"] == "finished" and [identity(row.get(key)) for key in study.keys] == wanted
    ]


def _head(folder: SweepFolder, plan: Mapping[str, Any], study: Study) -> Head:
    first = next(row["trial"] for row in study.rows if row["status"] == "finished")
    known: dict[str, str] = dict(head_of(RunFolder(folder.trials_folder / first)).facts)
    changes = "".join(f" · {change}" for change in plan["overrides"])
    facts: dict[str, str] = {
        "Runs": study.trials,
        "Data": known.get("Data", ""),
        "Recipe": f"{plan['recipe']}{changes}",
        "Varied": "; ".join(_varied(plan)) or "the seed",
        "Time": _times(folder, study),
        **{name: known[name] for name in ("Hardware", "Versions", "Started") if name in known},
    }
    return Head(
        printable(folder.path.absolute().name),
        tuple((name, printable(text)) for name, text in facts.items() if text),
        _commands(folder, study.keys),
    )


def _varied(plan: Mapping[str, Any]) -> list[str]:
    grid = [f"{key}: {', '.join(map(value_text, values))}" for key, values in plan["vary"].items()]
    return grid + [f"{key}: {text}" for key, text in plan["search"].items()]


def _times(folder: SweepFolder, study: Study) -> str:
    training = sum(number_of(row.get("training_seconds")) or 0.0 for row in study.rows)
    entries = read_log(folder.log) if folder.log.is_file() else []
    together = f" · from first to last {duration(entries[-1]['time_s'])}" if entries else ""
    return f"training {duration(training)}{together}"


def _commands(folder: SweepFolder, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    commands = []
    environment = RunFolder(folder.path).env
    if environment.is_file():
        words = RunFolder(folder.path).read_environment().get("command") or ()
        commands.append(("The same runs again, as they were started", shlex.join(map(str, words))))
    if folder.best.is_file() and keys:  # of seeds none is better than another but by luck
        commands.append(("The best of them again", shlex.join(["tenfold", "train", "--recipe", str(folder.best)])))
    return tuple((sentence, printable(command)) for sentence, command in commands)


def _result(study: Study, chosen: Sequence[Row]) -> Result:
    tested = spread([row["test_accuracy"] for row in chosen])
    runs = "one run" if tested.count == 1 else f"{tested.count} runs"
    sentence = f"test accuracy of {runs}" if tested.count == 1 else f"mean test accuracy ± standard deviation of {runs}"
    if study.keys and study.best is not None:
        sentence += f" with {printable(study.setting(study.best.settings))}, the best of {len(study.outcomes)} settings"
    return Result(mean_text(tested), sentence, _interval_words(tested, chosen), tuple(_remarks(study)))


def _interval_words(tested: Spread, chosen: Sequence[Row]) -> str:
    if tested.interval is None:
        return f"95 % interval {interval((chosen[0]['test_low'], chosen[0]['test_high']))}"
    return f"95 % interval of the mean {interval(_within(tested.interval))}"


def _within(ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], 0.0), min(ends[1], 1.0)


def _remarks(study: Study) -> list[str]:
    if not study.keys or study.best is None:
        return []
    chosen_by = (
        f"Chosen by validation accuracy, {mean_text(study.best.spread)}; the test pictures had no say."
        if study.split == "val"
        else "Chosen by the test pictures: on new ones expect a little less (data.val_fraction sets some apart)."
    )
    warning = noise_warning(study.rows, study.keys) if len(study.outcomes) > 1 else None
    return [chosen_by, *([printable(warning)] if warning else [])]


def _settings(study: Study) -> list[Line]:
    """Returns a line for each setting, the best first; none where each has a single run, which are lines anyway."""
    if not study.keys or study.seeds < 2:
        return []
    ranked = sorted(study.outcomes, key=lambda outcome: outcome.mean, reverse=True)
    return [Line(printable(study.setting(o.settings)), "", None, _outcome_cells(o), o is study.best) for o in ranked]


def _outcome_cells(outcome: Outcome) -> tuple[Cell, ...]:
    total, ends = outcome.spread, outcome.spread.interval or outcome.wilson
    return (
        Cell(str(total.count), total.count),
        Cell(mean_text(total), total.mean),
        Cell(interval(_within(ends)) if ends else "–", ends[0] if ends else -1),
        Cell(percent(total.lowest), total.lowest),
        Cell(percent(total.highest), total.highest),
        Cell(duration(outcome.seconds), outcome.seconds or -1),
    )


def _trials(folder: SweepFolder, study: Study, chosen: Sequence[Row]) -> list[Line]:
    finished = [row for row in study.rows if row["status"] == "finished"]
    columns = [setting_cells(finished, key) for key in study.keys]
    best = {row["trial"] for row in chosen} if study.keys else set()
    return [
        Line(
            printable(row["trial"]).partition("-")[0],  # its number; the settings have columns of their own
            printable(row["trial"]),
            link(folder, row["trial"]),
            (*(column[place] for column in columns), *_trial_cells(study, row)),
            row["trial"] in best,
        )
        for place, row in enumerate(finished)
    ]


def _measures(study: Study) -> list[str]:
    return ["validation accuracy", "test accuracy"] if study.split == "val" else ["test accuracy"]


def _trial_cells(study: Study, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    measured = [row[name.replace("validation", "val").replace(" ", "_")] for name in _measures(study)]
    seconds = number_of(row.get("training_seconds"))
    return (
        Cell(str(row["seed"]), row["seed"]),
        *(Cell(percent(share), share) for share in measured),
        Cell(interval((row["test_low"], row["test_high"])), row["test_low"]),
        Cell(duration(seconds), seconds or -1),
    )


def _fate(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: printable(str(row.get(name) or "")) for name in ("trial", "status", "error")}


def _curves(folder: SweepFolder, study: Study, chosen: Sequence[Row]) -> dict[str, Any]:
    finished = [row["trial"] for row in study.rows if row["status"] == "finished"]
    rows = {name: RunFolder(folder.trials_folder / name).read_metrics() for name in finished}
    best = max(chosen, key=lambda row: study.accuracy(row) or 0.0)["trial"] if study.keys else None
    return overlay_charts(rows, best)


def _confusions(judgement: Judgement) -> dict[str, Any] | None:
    """Returns what the matrix of `confusion.html` shows, summed over the runs; None for too many classes."""
    if len(judgement.classes) > MOST_CLASSES:
        return None
    return {"classes": [printable(name) for name in judgement.classes], "rows": matrix(judgement.confusion)}
