"""On a GPU too, the same seed gives the same bits, and a run that was killed or stopped resumes to them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tenfold
from harness.command_line import environment
from harness.gpu import GRAPH, easy_images, gpu_tests, trained
from harness.runs import StopAfter, digests
from tenfold.core.errors import Interrupted
from tenfold.runs.checkpoint import load_checkpoint

pytestmark = gpu_tests

AUGMENTED = ("data.augment.flip=random", "data.augment.shift=2", "data.augment.first_epoch=true")
SELDOM = ("train.log_every=3", "train.checkpoint_every=2 steps")
TRAININGS = {
    "eager": ("quick", ("train.execution=eager",)),
    "graph": ("quick", (f"train.execution={GRAPH}",)),
    "bfloat16": ("quick", (f"train.execution={GRAPH}", "train.precision=bfloat16")),
    "growing": ("resnet18", (f"train.execution={GRAPH}", "train.progressive=[[0.5, 0.5]]", "optim.ema=0.9")),
    "pruned": ("quick", (f"train.execution={GRAPH}", "data.pruning=0.5")),
    "dropout": ("mlp", (f"train.execution={GRAPH}", "model.dropout=0.5", "train.batch_size=16", "optim.lr=0.01")),
    "adam": ("tutorial", ("train.execution=eager", "optim.name=adam")),
}
each_training = pytest.mark.parametrize("kind", TRAININGS)

KILLED = """
import signal, sys
from pathlib import Path
from harness.gpu import trained
from harness.runs import StopAfter

with StopAfter(8).installed(signal.SIGKILL):
    trained(Path(sys.argv[1]), *sys.argv[2:])
"""


def resumed(run: Path) -> Path:
    return tenfold.train(data=easy_images(), resume=run, report=False).path


@each_training
def test_the_same_seed_gives_the_same_bits_also_after_a_stop(tmp_path: Path, kind: str) -> None:
    name, more = TRAININGS[kind]
    more = (*AUGMENTED, *SELDOM, *more)
    whole = digests(trained(tmp_path, name, *more).path)
    assert digests(trained(tmp_path, name, *more).path) == whole, "again"
    with StopAfter(8).installed(signal.SIGINT), pytest.raises(Interrupted):
        trained(tmp_path, name, *more)
    assert digests(resumed(tmp_path / "run2")) == whole, "resumed"


def test_another_seed_gives_other_bits(tmp_path: Path) -> None:
    first, second = (digests(trained(tmp_path, "quick", f"train.seed={seed}").path) for seed in (0, 1))
    assert first["model"] != second["model"]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    more = (*AUGMENTED, *SELDOM, f"train.execution={GRAPH}")
    whole = digests(trained(tmp_path, "quick", *more).path)
    tests = str(Path(__file__).parents[1])
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "quick", *more],
        env=environment({"PYTHONPATH": f"{environment()['PYTHONPATH']}:{tests}"}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert load_checkpoint(tmp_path / "run1" / "checkpoints").step == 6, "in the middle of the second epoch"
    assert digests(resumed(tmp_path / "run1")) == whole
