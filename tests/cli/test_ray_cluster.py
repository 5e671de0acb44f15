"""Real Ray clusters on this machine: a lost node, a stopped sweep, and results that are those without Ray."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.command_line import environment, run_tenfold
from harness.images import png, write_tree
from harness.tiny import dataset, recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]
SHORT = ["shapes", "--recipe", "mlp", "--set", "train.execution=eager", "--no-report", "--runs", "runs", "--name", "s"]


def test_a_node_that_is_lost_during_a_sweep_loses_and_doubles_no_trial() -> None:
    program = [sys.executable, str(ROOT / "benchmarks/ray_two_nodes.py"), "--trials", "10"]
    done = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert [found[name] for name in ("listed", "finished", "ended_once", "rows")] == [10] * 4
    assert len(found["retried"]) == 1
    assert "its machine was lost" in found["retried"][0] or "its worker died" in found["retried"][0]


def test_ctrl_c_stops_a_sweep_and_says_how_to_resume_it(tmp_path: Path) -> None:
    command = ["sweep", *SHORT, "--vary", "optim.lr=0.01,0.02", "--set", "train.duration=100000 steps", "--ray"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tenfold", *command],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    logs = tmp_path / "runs/s/trials"
    while not list(logs.glob("*/log.jsonl")) and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith(
        "stopped with 0 of 2 trials ended, all saved; resume with: tenfold sweep --resume runs/s --ray"
    )
    assert len(list(logs.iterdir())) in (1, 2)


def test_predictions_and_features_are_those_without_ray(tmp_path: Path) -> None:
    run = tenfold.train(recipe("mlp"), data=dataset(), runs=tmp_path / "runs", name="r")
    files = {f"new/{number:03}.png": png(number) for number in range(300)}
    write_tree(tmp_path, {**files, "new/broken.png": b"no image"})
    caches = {name: {"TENFOLD_CACHE": str(tmp_path / name)} for name in ("here", "ray")}  # each computes its features
    for words in (["predict", "runs/r", "new", "--csv", "{}.csv"], ["embed", "new", "runs/r", "--output", "{}.npz"]):
        for name, flags in (("here", []), ("ray", ["--ray"])):
            done = run_tenfold(*[word.format(name) for word in words], *flags, cwd=tmp_path, env=caches[name])
            assert done.returncode == (words[0] == "predict"), done.stderr
            assert "broken.png" in done.stderr
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    here, ray = np.load(tmp_path / "here.npz"), np.load(tmp_path / "ray.npz")
    assert all(np.array_equal(here[name], ray[name]) for name in here.files)
    assert run.path.is_dir()
