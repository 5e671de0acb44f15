"""Sweep folders: creation, and rows from the run folders."""

import csv
import json
from pathlib import Path

import pytest

from harness.sweeps import SUMMARY
from harness.sweeps import make_sweep as make_with
from tenfold.core.errors import RunError
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial

TRIALS = [Trial(f"{i:03}-width={width}", {"model.width": width}, 0, i) for i, width in enumerate((30, 50, 70))]


def make_sweep(root: Path, name: str | None = "s") -> SweepFolder:
    return make_with(root, TRIALS, name)


def finish(sweep: SweepFolder, trial: Trial, **changes: object) -> None:
    run = RunFolder.create(sweep.trials_folder, "", "", trial.name)
    run.write_summary({**SUMMARY, **changes})


def test_the_default_name_has_parts_and_time(tmp_path):
    assert make_sweep(tmp_path, None).path.name.startswith("shapes-wide-sweep-2")


def test_a_sweep_is_read_back(tmp_path):
    make_sweep(tmp_path)
    sweep = SweepFolder.open(tmp_path / "s")
    assert sweep.trials() == TRIALS
    assert sweep.plan()["kind"] == "grid"
    assert sweep.unfinished_trials() == TRIALS


def test_an_existing_name_is_an_error(tmp_path):
    make_sweep(tmp_path)
    with pytest.raises(RunError, match=r"already exists, .*tenfold sweep --resume .*s$"):
        make_sweep(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match=r"choose another --name$"):
        make_sweep(tmp_path, "mine")


def test_rows_come_from_the_run_folders(tmp_path):
    sweep = make_sweep(tmp_path)
    finish(sweep, TRIALS[0])
    sweep.record_end(TRIALS[1], "failed", "out of memory")
    finished, failed, waiting = sweep.rows()
    assert (finished["status"], finished["test_low"]) == ("finished", 0.69)
    assert (finished["model.width"], finished["test_accuracy"], finished["error"]) == (30, 0.7, None)
    assert (failed["status"], failed["error"], failed["test_accuracy"]) == ("failed", "out of memory", None)
    assert (waiting["status"], waiting["error"]) == ("waiting", None)
    assert sweep.unfinished_trials() == TRIALS[1:]


def test_rows_hold_the_time_to_a_target_and_the_numbers_of_images(tmp_path):
    sweep = make_sweep(tmp_path)
    images = {"pictures": {"train": 60, "test": 20}}
    finish(sweep, TRIALS[0], target={"accuracy": 0.5, "run_seconds": 4.5}, dataset=images)
    finish(sweep, TRIALS[1], target={"accuracy": 0.5, "run_seconds": None}, dataset=images)
    finish(sweep, TRIALS[2])
    assert [(row["target"], row["target_seconds"]) for row in sweep.rows()] == [(0.5, 4.5), (0.5, None), (None, None)]
    assert [(row["train_images"], row["test_images"], row["val_images"]) for row in sweep.rows()[:1]] == [
        (60, 20, None)
    ]


def test_a_result_replaces_an_earlier_failure(tmp_path):
    sweep = make_sweep(tmp_path)
    sweep.record_end(TRIALS[0], "failed", "its worker died")
    finish(sweep, TRIALS[0])
    sweep.record_end(TRIALS[1], "pruned", None, val_accuracy=0.4)
    assert [row["status"] for row in sweep.rows()] == ["finished", "pruned", "waiting"]
    assert sweep.rows()[1]["val_accuracy"] == 0.4
    assert sweep.unfinished_trials() == TRIALS[2:]


def test_a_trial_is_added_once(tmp_path):
    sweep = make_sweep(tmp_path)
    more = Trial("003-lr=0.1", {"optim.lr": 0.1}, 0, 3)
    sweep.add(more)
    sweep.add(more)
    assert sweep.trials() == [*TRIALS, more]


def test_the_table_has_the_varied_keys_before_the_results(tmp_path):
    sweep = make_sweep(tmp_path)
    finish(sweep, TRIALS[0])
    sweep.add(Trial("003-lr=0.1", {"optim.lr": 0.1}, 0, 3))
    sweep.write_table(sweep.rows())
    with sweep.table.open(newline="") as file:
        header, first, *rest = csv.reader(file)
    assert header[:6] == ["trial", "status", "seed", "model.width", "optim.lr", "test_accuracy"]
    assert first[:6] == ["000-width=30", "finished", "0", "30", "", "0.7"]
    assert len(rest) == 3


@pytest.mark.parametrize("write", ["{", "[]", json.dumps({"format_version": 99})])
def test_a_damaged_or_newer_plan_is_an_error(tmp_path, write):
    sweep = make_sweep(tmp_path)
    sweep.plan_file.write_text(write)
    with pytest.raises(RunError, match=r"sweep\.json (is damaged|has format version 99)"):
        sweep.plan()


def test_other_folders_are_not_sweeps_and_sweeps_are_not_runs(tmp_path):
    with pytest.raises(RunError, match=r"no sweep .*missing; no runs in "):
        SweepFolder.open(tmp_path / "missing")
    with pytest.raises(RunError, match=r"sweep\.json is missing"):
        SweepFolder.open(tmp_path)
    sweep = make_sweep(tmp_path)
    with pytest.raises(RunError, match=r"is a sweep of several runs; choose one .*tenfold sweep --resume"):
        RunFolder.open(sweep.path)


def test_two_processes_cannot_lock_one_sweep(tmp_path):
    sweep = make_sweep(tmp_path)
    with sweep.lock(), pytest.raises(RunError, match="another process"), SweepFolder(sweep.path).lock():
        pass
