"""Sweeps end to end: real trials in worker processes, on tiny datasets."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import tenfold
from harness.command_line import environment
from harness.tiny import photo_folder
from tenfold.api.data import dataset_of
from tenfold.api.sweep_running import recipe_of
from tenfold.cli.main import main
from tenfold.core.errors import DataError, ModelError, RecipeError, RunError, TrainingError, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.experiments.sweep.search import Search
from tenfold.experiments.sweep.sweep_plan import SweepPlan, plan_sweep
from tenfold.experiments.sweep.trials import SilentSweepProgress
from tenfold.recipes.load import load_recipe
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

# Compiled steps are so fast that all trials take the same millisecond, which makes no chart.
SHORT = [
    "train.execution=eager",
    "train.duration=3 epochs",
    "train.batch_size=8",
    "train.device=cpu",
    "train.threads=1",
    "data.image_size=16",
]
OTHERS = ["train.duration=2 epochs", "train.batch_size=8", "train.device=cpu", "train.threads=1", "data.image_size=32"]
SET = [word for line in SHORT for word in ("--set", line)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def grid(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tenfold.Sweep:
    """Two sizes of network, two seeds of each."""
    vary = {"model.hidden": [[4], [16, 8]]}
    runs = tmp_path_factory.mktemp("runs")
    return tenfold.sweep("mlp", vary=vary, seeds=2, data=photos, overrides=SHORT, runs=runs, name="grid", jobs=1)


def weights(run: Path) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in load_file(run / "last.safetensors").items()}


def test_a_sweep_writes_every_file_of_its_contract(grid):
    names = {path.name for path in grid.path.iterdir()}
    assert names >= {"sweep.json", "base.toml", "env.json", "sweep.csv", "best.toml", "summary.json", "plots", "trials"}
    assert {"model.hidden.png", "parameters.png", "seconds.png"} <= {p.name for p in (grid.path / "plots").iterdir()}
    with (grid.path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["model.hidden"], row["seed"]) for row in rows] == [
        ("finished", "[4]", "0"), ("finished", "[4]", "1"), ("finished", "[16, 8]", "0"), ("finished", "[16, 8]", "1"),
    ]  # fmt: skip
    assert [int(row["parameters"]) for row in rows[::2]] == [768 * 4 + 4 + 4 * 2 + 2, 768 * 16 + 16 + 16 * 8 + 8 + 18]


def test_train_repeats_a_trial_bit_for_bit(grid, tmp_path):
    trial = grid.path / "trials" / grid.rows[3]["trial"]
    again = tenfold.train(trial / "recipe.toml", runs=tmp_path)
    assert weights(again.path) == weights(trial)
    assert again.accuracy == grid.rows[3]["test_accuracy"]


def test_jobs_and_threads_are_no_part_of_a_trials_recipe(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("tenfold.api.sweep.share_cores", lambda *_, **__: (2, 1))
    settings = [line for line in SHORT if not line.startswith("train.threads")]
    sweep = tenfold.sweep("mlp", seeds=2, data=photos, overrides=settings, runs=tmp_path, report=False)
    run = tenfold.train("mlp", data=photos, overrides=[*settings, "train.seed=2"], runs=tmp_path, report=False)
    comparison = tenfold.compare([sweep.path, run.path])
    assert list(comparison.differences) == ["train.seed"]
    assert [group.seeds for group in comparison.groups] == [(0, 1, 2)]
    trials = list((sweep.path / "trials").iterdir())
    assert [load_recipe(trial).train.threads for trial in trials] == [1, 1]  # as used, so that each can be repeated
    assert [json.loads((trial / "env.json").read_text())["threads"] for trial in trials] == [1, 1]


def test_the_best_recipe_is_complete_and_states_how_it_was_chosen(grid):
    text = (grid.path / "best.toml").read_text()
    recipe = load_recipe(grid.path / "best.toml")
    assert recipe.model.arguments["hidden"] == grid.best.settings["model.hidden"]
    assert "Chosen by test accuracy: expect a little less on new images" in text
    means = [sum(row["test_accuracy"] for row in grid.rows[i : i + 2]) / 2 for i in (0, 2)]
    assert grid.best.mean == pytest.approx(max(means))


def test_the_summary_says_how_the_best_was_chosen_and_compares_it_with_the_others(grid):
    summary = json.loads((grid.path / "summary.json").read_text(encoding="utf-8"))
    (pair,) = summary["comparisons"]
    assert summary["chosen_by"] == "test"
    assert summary["interval_covers"] == "new images and new seeds"
    assert pair["best"] == grid.best.settings != pair["other"]
    assert pair["difference"] <= 0
    assert pair["p"] == pair["p_holm"]
    assert pair["within_noise"]


def test_the_summary_has_what_trials_changed_and_their_near_duplicates(grid, tmp_path):
    sweep = SweepFolder(shutil.copytree(grid.path, tmp_path / "grid"))
    runs = [RunFolder(sweep.run_path(trial)) for trial in sweep.trials()]
    change = {"key": "train.batch_size", "asked": 8, "used": 4, "reason": "of a reason"}
    found = {"pictures": 9, "left": 6, "test_accuracy": 0.5}
    for run in runs[:2]:
        run.write_summary(run.read_summary() | {"changes": [change], "near_duplicates": found})
    for run in runs[2:]:
        run.write_summary(run.read_summary() | {"changes": [], "near_duplicates": None})
    tenfold.resume_sweep(sweep.path)
    summary = json.loads(sweep.summary.read_text(encoding="utf-8"))
    assert summary["changes"] == [change]
    assert summary["near_duplicates"] == {run.path.name: found for run in runs[:2]}


def test_the_summary_has_every_setting_with_its_spread(grid):
    summary = json.loads((grid.path / "summary.json").read_text())
    assert summary["trials"] == {"finished": 4}
    assert [outcome["settings"] for outcome in summary["outcomes"]] == [
        {"model.hidden": [4]},
        {"model.hidden": [16, 8]},
    ]
    assert [outcome["test_accuracy"]["count"] for outcome in summary["outcomes"]] == [2, 2]
    assert summary["best"] == grid.best.settings
    assert summary["seconds"] > 0


@pytest.mark.usefixtures("trials_in_this_process")
def test_recipes_can_be_varied_on_the_same_images(photos, tmp_path):
    result = tenfold.sweep(
        "mlp", vary=["recipe=mlp,tutorial"], data=photos, overrides=OTHERS, runs=tmp_path, report=False
    )
    assert [row["recipe"] for row in result.rows] == ["mlp", "tutorial"]
    recipes = [load_recipe(result.path / "trials" / row["trial"]) for row in result.rows]
    assert [recipe.model.name for recipe in recipes] == ["mlp", "tutorial"]
    assert {str(recipe.train.duration) for recipe in recipes} == {"2 epochs"}  # what the user asked for holds for all
    assert {recipe.data.image_size for recipe in recipes} == {(32, 32)}
    assert load_recipe(result.path / "best.toml").model.name == result.best.settings["recipe"]
    assert result.path.name.startswith("photos-recipes-sweep-")


def test_seeds_with_resplit_have_test_images_of_their_own(photos):
    base = load_recipe("quick", [f"data.source={photos}", "data.image_size=8"])
    plan, trials = plan_sweep(base, "quick", [], [], seeds=2, resplit=True)
    resumed = SweepPlan.from_json(json.loads(json.dumps(plan.to_json())))
    recipes = [recipe_of(resumed, base, trial) for trial in trials]
    assert [recipe.data.split_seed for recipe in recipes] == [recipe.train.seed for recipe in recipes] == [0, 1]
    tested = [set(dataset_of(recipe.data, SilentProgress()).test.paths or ()) for recipe in recipes]
    assert tested[0] != tested[1]
    assert len(tested[0]) == len(tested[1])
    shared, _ = plan_sweep(base, "quick", [], [], seeds=2)
    assert {recipe_of(shared, base, trial).data.split_seed for trial in trials} == {0}


def test_data_with_its_own_test_split_leaves_resplit_nothing_to_vary(tmp_path):
    with pytest.raises(UsageError, match="--resplit has nothing to vary: shapes has its own test split"):
        tenfold.sweep("quick", data="shapes", seeds=2, resplit=True, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("trials_in_this_process")
def test_several_seeds_are_reported_as_mean_and_std(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--recipe", "mlp", "--data", str(photos), "--seeds", "2", "--name", "s", "--no-report", *SET]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "over 2 seeds" in shown
    assert "everything is in runs/s" in shown
    summary = json.loads((tmp_path / "runs" / "s" / "summary.json").read_text())
    assert set(summary["per_class"]) == {"blue", "green"}
    assert summary["best"] is summary["chosen_by"] is None  # nothing is chosen among seeds
    rows = SweepFolder.open(tmp_path / "runs" / "s").rows()
    assert [(row["seed"], row["status"]) for row in rows] == [(0, "finished"), (1, "finished")]


KILLED = """
import os, signal, sys
from pathlib import Path
import tenfold
from tenfold.experiments.sweep.trials import SilentSweepProgress

class KillAfterFirstTrial(SilentSweepProgress):
    def trial_finished(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)

data, runs, *overrides = sys.argv[1:]
vary = {"model.hidden": [[4], [16, 8]]}
progress = KillAfterFirstTrial()
if __name__ == "__main__":
    tenfold.sweep("mlp", vary=vary, seeds=2, data=data, overrides=overrides, runs=Path(runs), name="killed", jobs=1,
                  report=False, sweep_progress=progress)
"""


def test_a_killed_sweep_resumes_to_the_same_bits(photos, grid, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(photos), str(tmp_path), *SHORT], env=environment(), capture_output=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    sweep = SweepFolder(tmp_path / "killed")
    before = {path: path.stat().st_mtime_ns for path in sweep.trials_folder.glob("*/summary.json")}
    assert len(before) == 1
    result = tenfold.resume_sweep(sweep.path)
    assert [row["status"] for row in result.rows] == ["finished"] * 4
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    for row in result.rows:
        assert weights(sweep.trials_folder / row["trial"]) == weights(grid.path / "trials" / row["trial"])


@pytest.mark.usefixtures("trials_in_this_process")
def test_a_sweep_resumes_with_moved_images_and_refuses_others(photos, grid, tmp_path):
    shutil.copytree(grid.path, tmp_path / "runs/grid")
    sweep = SweepFolder(tmp_path / "runs/grid")
    base = sweep.base.read_text().replace(str(photos), str(tmp_path / "gone"))
    sweep.base.write_text(base)
    last = sorted(sweep.trials_folder.iterdir())[-1]
    (last / "summary.json").unlink()
    (last / "recipe.toml").write_text((last / "recipe.toml").read_text().replace(str(photos), str(tmp_path / "gone")))
    with pytest.raises(DataError, match=r"gone, the data of .* is not there; name its new place with --data"):
        tenfold.resume_sweep(sweep.path)
    shutil.copytree(photos, tmp_path / "other")
    (tmp_path / "other/blue/0.png").unlink()
    with pytest.raises(RunError, match=r"other is not the data of .*: its images have changed"):
        tenfold.resume_sweep(sweep.path, data=tmp_path / "other")
    shutil.copytree(photos, tmp_path / "moved")
    assert len(tenfold.resume_sweep(sweep.path, data=tmp_path / "moved").rows) == 4
    assert load_recipe(last).data.source == str(tmp_path / "moved")


def test_ctrl_c_saves_every_trial_and_says_how_to_resume(photos, tmp_path):
    words = ["sweep", "--recipe", "mlp", "--vary", "optim.lr=0.001,0.01", "--data", str(photos), *SET]
    words += ["--set", "train.duration=100000 epochs", "--runs", str(tmp_path), "--name", "stopped", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tenfold", *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    sweep = SweepFolder(tmp_path / "stopped")
    try:
        while process.poll() is None and len({path.parent for path in sweep.trials_folder.glob("*/checkpoints/*")}) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert f"stopped with 0 of 2 trials ended, all saved; resume with: tenfold sweep --resume {sweep.path}" in errors
    assert "Traceback" not in errors
    for trial in sweep.trials():
        assert not RunFolder(sweep.run_path(trial)).is_finished
        assert list(RunFolder(sweep.run_path(trial)).checkpoints.iterdir())


@pytest.mark.usefixtures("trials_in_this_process")
def test_one_failing_trial_is_reported_and_not_fatal(photos, tmp_path):
    result = tenfold.sweep(
        "mlp",
        vary=["optim.lr=0.01,1e30"],
        data=photos,
        overrides=SHORT,
        runs=tmp_path,
        sweep_progress=SilentSweepProgress(),
        report=False,
    )
    good, bad = result.rows
    assert (good["status"], bad["status"]) == ("finished", "failed")
    assert "the loss is not finite at step" in bad["error"]
    assert result.best.settings == {"optim.lr": 0.01}


def test_a_sweep_without_results_reports_the_first_error(photos, tmp_path):
    with pytest.raises(
        TrainingError, match=r"none of the 1 trials has a result; the first error: the loss is not finite"
    ):
        tenfold.sweep("mlp", vary=["optim.lr=1e30"], data=photos, overrides=SHORT, runs=tmp_path)


@pytest.mark.parametrize(
    ("vary", "error", "message"),
    [
        ("model.hidden=[4],[0]", RecipeError, r"model\.hidden"),
        ("model.nam=mlp,tutorial", RecipeError, r"model\.nam is not an argument of 'mlp'"),
        ("model.name=mlp,tutoral", RecipeError, "did you mean 'tutorial'"),
        ("train.precision=float32,float16", RecipeError, "expected 'auto', 'float32' or 'bfloat16'"),
        ("train.early_stop=0,2", RecipeError, "needs a validation split"),
    ],
)
def test_a_bad_value_is_refused_before_any_trial_starts(photos, tmp_path, vary, error, message):
    with pytest.raises(error, match=message):
        tenfold.sweep("mlp", vary=[vary], data=photos, overrides=SHORT, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_impossible_network_is_refused_before_any_trial_starts(photos, tmp_path):
    with pytest.raises((ModelError, RecipeError), match=r"conv2 .*×"):
        tenfold.sweep("tutorial", vary=["model.kernels=3,9"], data=photos, overrides=SHORT, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["optim.lr=0.01..0.1", "model.hidden=[4],[8]"])
def test_a_search_with_an_impossible_network_leaves_no_folder(photos, tmp_path, key):
    overrides = [*SHORT, "model.kernels=9", "model.channels=[4, 4]"]
    with pytest.raises((ModelError, RecipeError), match=r"the image shrinks below 1×1"):
        tenfold.sweep("tutorial", search=[key], data=photos, overrides=overrides, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("trials_in_this_process")
def test_a_search_selects_on_validation_and_can_be_extended(photos, tmp_path):
    result = tenfold.sweep(
        "mlp",
        search=["optim.lr=log:1e-3..1e-1"],
        trials=2,
        data=photos,
        overrides=SHORT,
        runs=tmp_path,
        name="s",
        report=False,
    )
    assert result.study.split == "val"
    assert load_recipe(result.path / "base.toml").data.val_fraction == 0.1
    assert result.best.correct is not None  # of single validation images
    assert result.best.correct.mean() == pytest.approx(result.best.mean)
    assert (result.path / "study.db").is_file()
    longer = tenfold.resume_sweep(result.path, trials=3)
    assert [row["trial"] for row in longer.rows[:2]] == [row["trial"] for row in result.rows]
    assert [row["status"] for row in longer.rows] == ["finished"] * 3
    assert all(1e-3 <= row["optim.lr"] <= 1e-1 for row in longer.rows)


@pytest.mark.usefixtures("trials_in_this_process")
def test_a_search_compares_trials_at_the_ends_of_epochs(photos, tmp_path, monkeypatch):
    reported = {}
    report = Search.report

    def noted(search, number, epoch, accuracy):
        reported.setdefault(number, []).append((epoch, accuracy))
        return report(search, number, epoch, accuracy)

    monkeypatch.setattr(Search, "report", noted)
    overrides = [*SHORT, "train.evaluate_every=1 step"]
    search = ["train.batch_size=4,8"]
    result = tenfold.sweep(
        "mlp", search=search, trials=2, data=photos, overrides=overrides, runs=tmp_path, name="s", report=False
    )
    for number, row in enumerate(result.rows):
        metrics = RunFolder.open(result.path / "trials" / row["trial"]).read_metrics()
        assert sum(each["val_accuracy"] is not None for each in metrics) > 3
        assert reported[number] == list({each["epoch"]: each["val_accuracy"] for each in metrics}.items())


def test_a_grid_cannot_be_extended(grid):
    with pytest.raises(UsageError, match="is not a search: its grid has 4 trials"):
        tenfold.resume_sweep(grid.path, trials=9)
