"""Sweeps: every trial has its result once, whatever is killed in between."""

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.command_line import environment
from harness.sweeps import SUMMARY, make_sweep, run_listed, run_to_the_end, slow_starting_work, uneven_work
from tenfold.experiments.sweep.trials import Listed, Quiet
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial

TRIALS = [Trial(f"{number:03}", {"model.width": number + 1}, 0, number) for number in range(90)]


def start(sweep: SweepFolder) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[1])
    return subprocess.Popen([sys.executable, "-m", "harness.sweeps", str(sweep.path)], cwd=tests, env=environment())


def finished(sweep: SweepFolder) -> int:
    return sum(row["status"] == "finished" for row in sweep.rows())


def test_a_sweep_killed_at_twenty_moments_loses_and_doubles_nothing(tmp_path):
    sweep, moments, counts = make_sweep(tmp_path, TRIALS), random.Random(7), [0]
    for _ in range(20):
        process = start(sweep)
        wanted = counts[-1] + moments.randint(0, 4)  # results after which to kill, so that a slow machine gets as far
        while finished(sweep) < wanted and process.poll() is None:
            time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(finished(sweep))
    assert counts == sorted(counts)
    assert 0 < counts[-1] < len(TRIALS)
    assert start(sweep).wait(60) == 0
    assert [row["status"] for row in sweep.rows()] == ["finished"] * len(TRIALS)
    assert not list(sweep.trials_folder.glob("*/ran-twice"))
    with sweep.table.open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [trial.name for trial in TRIALS]


class Heard(Quiet):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def started(self, name, number, total):
        self.told.append(("started", name, number, total))

    def heard(self, name, row):
        self.told.append(("heard", name, row["epoch"]))

    def ended(self, name, row):
        self.told.append(("ended", name, row["status"], row["error"]))

    def warn(self, text):
        self.told.append(("warned", text))


class Picky(Listed):
    """Gives every trial up."""

    def hopeless(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        return accuracy < 0.2


def test_a_failing_trial_is_reported_and_the_others_go_on(tmp_path):
    sweep, watcher = make_sweep(tmp_path, TRIALS[:3]), Heard()
    run_listed(sweep, Picky(TRIALS[:3]), uneven_work, watcher, total=3)
    assert watcher.told == [
        ("started", "000", 1, 3),
        ("ended", "000", "failed", "the loss is not finite"),
        ("started", "001", 2, 3),
        ("warned", "001: one picture was left out"),
        ("heard", "001", 1),
        ("ended", "001", "pruned", None),
        ("started", "002", 3, 3),
        ("ended", "002", "finished", None),
    ]
    assert [row["status"] for row in sweep.rows()] == ["failed", "pruned", "finished"]


def test_a_trial_is_not_given_up_in_the_middle_of_an_epoch(tmp_path):
    sweep = make_sweep(tmp_path, TRIALS[:1])
    run_listed(sweep, Picky(TRIALS[:1]), slow_starting_work, Quiet(), total=1)
    assert [row["status"] for row in sweep.rows()] == ["finished"]


def test_only_what_is_missing_runs_and_a_failed_trial_counts_as_missing(tmp_path):
    sweep = make_sweep(tmp_path, TRIALS[:3])
    sweep.run_path(TRIALS[1]).mkdir()
    RunFolder(sweep.run_path(TRIALS[1])).write_summary({**SUMMARY, "steps": 99})
    sweep.note_end(TRIALS[0], "failed", "its worker died twice")
    run_to_the_end(sweep, jobs=1)
    assert [row["steps"] for row in sweep.rows()] == [3, 99, 3]
    assert not list(sweep.trials_folder.glob("*/ran-twice"))


def test_trials_begin_in_the_order_of_the_list(tmp_path):
    sweep, watcher = make_sweep(tmp_path, TRIALS[2:5]), Heard()
    order = [TRIALS[4], TRIALS[2], TRIALS[3]]
    run_listed(sweep, Listed(order), uneven_work, watcher, total=3)
    assert [name for event, name, *_ in watcher.told if event == "started"] == ["004", "002", "003"]


@pytest.mark.parametrize("when", [0, 1])
def test_a_stop_lets_no_further_trial_begin(tmp_path, when):
    sweep, watcher = make_sweep(tmp_path, TRIALS[2:6]), Heard()
    run_listed(sweep, Listed(TRIALS[2:6]), uneven_work, watcher, total=4, stopping=lambda: finished(sweep) >= when)
    assert finished(sweep) == when
    assert len(sweep.missing()) == 4 - when
