"""`report.html` of a sweep or of several seeds: accuracy of all runs, its spread, and common errors."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.core.text import duration, interval, mean_text, percent, printable
from tenfold.report.page.confusion import MAX_MATRIX_CLASSES, confusion_cells
from tenfold.report.page.curves import overlay_charts
from tenfold.report.page.header import Header, run_header
from tenfold.report.page.predictions import Predictions
from tenfold.report.page.rendering import render
from tenfold.report.page.spread_charts import key_charts, spread_chart
from tenfold.report.page.sweep_result import main_result
from tenfold.report.page.sweep_trials import (
    TrialCell,
    class_spreads,
    common_pairs,
    comparable_predictions,
    setting_cells,
    shared_errors,
    trial_link,
)
from tenfold.report.read_study import read_study
from tenfold.report.study import SettingResult, Study, as_number, value_key, value_text
from tenfold.report.tables.sweep_tables import target_text
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import Row, SweepFolder

_MAX_PAIRS = 12


@dataclass(frozen=True)
class TableRow:
    """A row of the table of settings or trials.

    Args:
        name: name of the setting or trial.
        title: full name of the trial, as a tooltip.
        link: URL of the trial's own page, where it has one.
        cells: cells beside the name.
        best: whether it is the best of several settings, or a trial of it.
    """

    name: str
    title: str
    link: str | None
    cells: tuple[TrialCell, ...]
    best: bool = False


def write_sweep_page(folder: SweepFolder, study: Study | None = None) -> Path:
    """Writes the page of a sweep or of several seeds and returns its path.

    Args:
        folder: folder of the sweep; at least one of its trials must have finished.
        study: what `read_study` returned for it; read by default.

    Raises:
        RunError: when no trial has finished, or a file is damaged.
        StorageError: when the file cannot be written.
    """
    durable.write_text(folder.report, sweep_page(folder, study or read_study(folder)))
    return folder.report


def sweep_page(folder: SweepFolder, study: Study) -> str:
    """Returns the page of a sweep or of several seeds as HTML; see `write_sweep_page`."""
    plan = folder.plan()
    if study.best is None:
        raise RunError(
            f"{display_path(folder.path)} has no finished trial, expected at least one; "
            f"continue it: tenfold sweep --resume {display_path(folder.path)}"
        )
    chosen = _finished_rows(study, study.best)
    runs = comparable_predictions(study, chosen) if len(chosen) > 1 else []
    if study.out_of_fold is not None:
        runs = [study.out_of_fold.predictions]
    return render(
        "sweep.html",
        header=_header(folder, plan, study),
        result=main_result(study, chosen),
        study=study,
        settings=_setting_rows(study),
        trials=_trial_rows(folder, study, chosen),
        headings=[
            *("trial", *study.labels.values(), "fold" if study.kind == "folds" else "seed"),
            *(*_metrics(study), "95 % interval", "training"),
            *_target_heading(study),
        ],
        unfinished=[_status(row) for row in study.rows if row["status"] != "finished"],
        spread_chart=spread_chart(study),
        key_charts=key_charts(study),
        curves=_curves(folder, study, chosen),
        num_runs=len(runs),
        best=printable(study.setting_text(study.best.settings)) if study.keys else "",
        classes=class_spreads(runs) if runs else [],
        confusions=_confusions(runs) if runs else None,
        pairs=common_pairs(runs, _MAX_PAIRS) if runs else [],
        shared_errors=shared_errors(runs) if runs else None,
    )


def _finished_rows(study: Study, result: SettingResult) -> list[Row]:
    """Returns the finished trials of one setting."""
    setting = [value_key(result.settings[key]) for key in study.keys]
    return [
        dict(row)
        for row in study.rows
        if row["status"] == "finished" and [value_key(row.get(key)) for key in study.keys] == setting
    ]


def _header(folder: SweepFolder, plan: Mapping[str, Any], study: Study) -> Header:
    first = next(row["trial"] for row in study.rows if row["status"] == "finished")
    known: dict[str, str] = dict(run_header(RunFolder(folder.trials_folder / first)).facts)
    overrides = "".join(f" · {override}" for override in plan["overrides"])
    facts: dict[str, str] = {
        "Runs": study.trials_text,
        "Data": known.get("Data", ""),
        "Recipe": f"{plan['recipe']}{overrides}",
        "Varied": "; ".join(_varied(plan)) or ("fold" if study.kind == "folds" else "seed"),
        "Time": _times(folder, study),
        **{label: known[label] for label in ("Hardware", "Versions", "Started") if label in known},
    }
    return Header(
        printable(folder.path.absolute().name),
        tuple((label, printable(text)) for label, text in facts.items() if text),
        _commands(folder, study.keys),
    )


def _varied(plan: Mapping[str, Any]) -> list[str]:
    grid = [f"{key}: {', '.join(map(value_text, values))}" for key, values in plan["vary"].items()]
    return grid + [f"{key}: {text}" for key, text in plan["search"].items()]


def _times(folder: SweepFolder, study: Study) -> str:
    training = sum(as_number(row.get("training_seconds")) or 0.0 for row in study.rows)
    entries = read_log(folder.log) if folder.log.is_file() else []
    total = f" · total {duration(entries[-1]['time_s'])}" if entries else ""
    return f"training {duration(training)}{total}"


def _commands(folder: SweepFolder, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    commands = []
    environment = RunFolder(folder.path).env
    if environment.is_file():
        arguments = RunFolder(folder.path).read_environment().get("command") or ()
        commands.append(("Original command", shlex.join(map(str, arguments))))
    if folder.best.is_file() and keys:  # the best of several seeds is only luck
        commands.append(("Repeat the best run", shlex.join(["tenfold", "train", "--recipe", str(folder.best)])))
    return tuple((label, printable(command)) for label, command in commands)


def _setting_rows(study: Study) -> list[TableRow]:
    """Returns a row per setting, the best first; none where each setting has one run, as the trials show the same."""
    if not study.keys or study.num_seeds < 2:
        return []
    ranked = sorted(study.results, key=lambda result: result.mean, reverse=True)
    return [
        TableRow(printable(study.setting_text(result.settings)), "", None, _result_cells(result), result is study.best)
        for result in ranked
    ]


def _result_cells(result: SettingResult) -> tuple[TrialCell, ...]:
    total, bounds = result.spread, result.spread.interval
    return (
        TrialCell(str(total.count), total.count),
        TrialCell(mean_text(total.mean, total.std), total.mean),
        TrialCell(interval(bounds), bounds[0] if bounds else -1),
        TrialCell(percent(total.lowest), total.lowest),
        TrialCell(percent(total.highest), total.highest),
        TrialCell(duration(result.seconds), result.seconds or -1),
    )


def _trial_rows(folder: SweepFolder, study: Study, chosen: Sequence[Row]) -> list[TableRow]:
    finished = [row for row in study.rows if row["status"] == "finished"]
    columns = [setting_cells(finished, key) for key in study.keys]
    best = {row["trial"] for row in chosen} if study.keys else set()
    return [
        TableRow(
            printable(row["trial"]).partition("-")[0],  # the number only, as the settings have columns of their own
            printable(row["trial"]),
            trial_link(folder, row["trial"]),
            (*(column[index] for column in columns), *_trial_cells(study, row)),
            row["trial"] in best,
        )
        for index, row in enumerate(finished)
    ]


def _metrics(study: Study) -> list[str]:
    return ["validation accuracy", "test accuracy"] if study.split == "val" else ["test accuracy"]


def _trial_cells(study: Study, row: Mapping[str, Any]) -> tuple[TrialCell, ...]:
    accuracies = [row[name.replace("validation", "val").replace(" ", "_")] for name in _metrics(study)]
    seconds = as_number(row.get("training_seconds"))
    return (
        TrialCell(study.run_label(row).split()[1], as_number(row.get("data.fold", row["seed"])) or 0),
        *(TrialCell(percent(accuracy), accuracy) for accuracy in accuracies),
        TrialCell(interval((row["test_low"], row["test_high"])), row["test_low"]),
        TrialCell(duration(seconds), seconds or -1),
        *(TrialCell(target_text(row), as_number(row.get("target_seconds")) or -1) for _ in _target_heading(study)),
    )


def _target_heading(study: Study) -> list[str]:
    return [] if study.target_times is None else ["to target"]


def _status(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: printable(str(row.get(name) or "")) for name in ("trial", "status", "error")}


def _curves(folder: SweepFolder, study: Study, chosen: Sequence[Row]) -> dict[str, Any]:
    finished = [row["trial"] for row in study.rows if row["status"] == "finished"]
    rows = {name: RunFolder(folder.trials_folder / name).read_metrics() for name in finished}
    best = max(chosen, key=lambda row: study.accuracy(row) or 0.0)["trial"] if study.keys else None
    return overlay_charts(rows, best)


def _confusions(runs: Sequence[Predictions]) -> dict[str, Any] | None:
    """Returns the matrix of `confusion.html`, summed over the runs; None for too many classes."""
    classes = runs[0].classes
    if len(classes) > MAX_MATRIX_CLASSES:
        return None
    confusion = np.sum([run.confusion for run in runs], axis=0)
    return {"classes": [printable(name) for name in classes], "rows": confusion_cells(confusion)}
