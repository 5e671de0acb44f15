"""Trials of a sweep: each has exactly one result, however often the sweep is killed."""

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
from harness.sweeps import (
    SUMMARY,
    make_sweep,
    run_trial_list,
    run_unfinished_trials,
    slow_starting_trial,
    uneven_trial,
)
from tenfold.experiments.sweep.trials import SilentSweepProgress, TrialList
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial

TRIALS = [Trial(f"{number:03}", {"model.width": number + 1}, 0, number) for number in range(40)]


def start(sweep: SweepFolder) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parents[2])
    return subprocess.Popen([sys.executable, "-m", "harness.sweeps", str(sweep.path)], cwd=tests, env=environment())


def num_finished(sweep: SweepFolder) -> int:
    return sum(row["status"] == "finished" for row in sweep.rows())


def test_a_sweep_killed_eight_times_loses_and_doubles_nothing(tmp_path):
    sweep, generator, counts = make_sweep(tmp_path, TRIALS), random.Random(7), [0]
    for _ in range(8):
        process = start(sweep)
        kill_at = counts[-1] + generator.randint(0, 4)  # a number of results, so that a slow machine gets as far
        while num_finished(sweep) < kill_at and process.poll() is None:
            time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(num_finished(sweep))
    assert counts == sorted(counts)
    assert 0 < counts[-1] < len(TRIALS)
    assert start(sweep).wait(60) == 0
    assert [row["status"] for row in sweep.rows()] == ["finished"] * len(TRIALS)
    assert not list(sweep.trials_folder.glob("*/ran-twice"))
    with sweep.table.open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [trial.name for trial in TRIALS]


class RecordedProgress(SilentSweepProgress):
    """Records its calls."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def trial_started(self, name, number, total):
        self.events.append(("started", name, number, total))

    def trial_progress(self, name, row):
        self.events.append(("progress", name, row["epoch"]))

    def trial_finished(self, name, row):
        self.events.append(("finished", name, row["status"], row["error"]))

    def warn(self, text):
        self.events.append(("warning", text))


class PruningTrialList(TrialList):
    """Prunes every trial with an accuracy below 0.2."""

    def should_prune(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        return accuracy < 0.2


def test_a_failing_trial_is_reported_and_the_others_go_on(tmp_path):
    sweep, progress = make_sweep(tmp_path, TRIALS[:3]), RecordedProgress()
    run_trial_list(sweep, PruningTrialList(TRIALS[:3]), uneven_trial, progress, num_trials=3)
    assert progress.events == [
        ("started", "000", 1, 3),
        ("finished", "000", "failed", "the loss is not finite"),
        ("started", "001", 2, 3),
        ("warning", "001: one image was left out"),
        ("progress", "001", 1),
        ("finished", "001", "pruned", None),
        ("started", "002", 3, 3),
        ("finished", "002", "finished", None),
    ]
    assert [row["status"] for row in sweep.rows()] == ["failed", "pruned", "finished"]


def test_a_trial_is_not_pruned_in_the_middle_of_an_epoch(tmp_path):
    sweep = make_sweep(tmp_path, TRIALS[:1])
    run_trial_list(sweep, PruningTrialList(TRIALS[:1]), slow_starting_trial, SilentSweepProgress(), num_trials=1)
    assert [row["status"] for row in sweep.rows()] == ["finished"]


def test_only_unfinished_trials_run_and_failed_ones_run_again(tmp_path):
    sweep = make_sweep(tmp_path, TRIALS[:3])
    sweep.run_path(TRIALS[1]).mkdir()
    RunFolder(sweep.run_path(TRIALS[1])).write_summary({**SUMMARY, "steps": 99})
    sweep.record_end(TRIALS[0], "failed", "its worker died twice")
    run_unfinished_trials(sweep, num_workers=1)
    assert [row["steps"] for row in sweep.rows()] == [3, 99, 3]
    assert not list(sweep.trials_folder.glob("*/ran-twice"))


def test_trials_start_in_the_order_of_the_list(tmp_path):
    sweep, progress = make_sweep(tmp_path, TRIALS[2:5]), RecordedProgress()
    order = [TRIALS[4], TRIALS[2], TRIALS[3]]
    run_trial_list(sweep, TrialList(order), uneven_trial, progress, num_trials=3)
    assert [name for event, name, *_ in progress.events if event == "started"] == ["004", "002", "003"]


@pytest.mark.parametrize("count", [0, 1])
def test_after_a_stop_no_further_trial_starts(tmp_path, count):
    sweep = make_sweep(tmp_path, TRIALS[2:6])
    trials, progress = TrialList(TRIALS[2:6]), SilentSweepProgress()
    run_trial_list(
        sweep, trials, uneven_trial, progress, num_trials=4, should_stop=lambda: num_finished(sweep) >= count
    )
    assert num_finished(sweep) == count
    assert len(sweep.unfinished_trials()) == 4 - count
