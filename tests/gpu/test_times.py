"""Training time is measured on the device, and the training loop does not wait for it between its ends."""

from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch

from harness.gpu import DEVICE, GRAPH, gpu_tests, trained
from tenfold.core.clock import Stopwatch, synchronize
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.times import RunTimes

pytestmark = gpu_tests


def waiting_is(mode: str) -> None:
    if DEVICE.type == "cuda":
        torch.cuda.set_sync_debug_mode(mode)


@pytest.mark.parametrize("execution", ["eager", GRAPH])
def test_training_seconds_are_above_zero_and_within_the_time_of_the_run(tmp_path: Path, execution: str) -> None:
    began = perf_counter()
    run = trained(tmp_path, "quick", f"train.execution={execution}")
    assert 0 < run.summary["training_seconds"] <= run.summary["total_seconds"] <= perf_counter() - began + 0.001


def test_a_stopwatch_counts_the_work_of_the_device(device: torch.device) -> None:
    side = 4096 if device.type == "cuda" else 256
    matrix = torch.rand(side, side, device=device)
    matrix @ matrix  # loads the library
    synchronize(device)
    watch, began = Stopwatch(device), perf_counter()
    watch.start()
    for _ in range(20):
        matrix = matrix @ matrix / side
    watch.stop()
    seconds = watch.seconds()
    wall = perf_counter() - began
    assert 0 < seconds <= 1.01 * wall
    assert seconds > 0.2 * wall, "the work of the device is most of this time"


@pytest.mark.parametrize("execution", ["eager", GRAPH])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("quick", ("data.augment.cutout=8", "optim.ema=0.9")),
        ("quick", ("data.pruning=0.5", "train.precision=bfloat16")),
        ("resnet18", ("train.progressive=[[0.4, 0.5], [0.7, 0.75]]",)),
    ],
)
def test_steps_do_not_wait_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: tuple[str, ...], execution: str
) -> None:
    assert_no_step_waits(tmp_path, monkeypatch, name, *more, f"train.execution={execution}")


def test_steps_of_a_run_of_seconds_do_not_wait_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = f"train.execution={GRAPH}"  # prepared before the seconds begin
    assert_no_step_waits(tmp_path, monkeypatch, "tutorial", "train.duration=0.5 s", graph)


@pytest.mark.parametrize("setting", ["mixup=1", "cutmix=1", "trivial=true", "erase=0.5"])
def test_steps_on_augmented_images_do_not_wait_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    assert_no_step_waits(tmp_path, monkeypatch, "quick", f"data.augment.{setting}")


def assert_no_step_waits(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, *more: str) -> None:
    """Trains with each wait being an error, from the first step of an epoch to the evaluation at its end."""
    guarded = []
    update, compute, pause = RunningMetrics.update, RunningMetrics.compute, RunTimes.pause_training

    def update_and_forbid(metrics: RunningMetrics, *step: Any) -> None:
        update(metrics, *step)
        guarded.append(1)
        waiting_is("error")

    def allow_and_compute(metrics: RunningMetrics) -> Any:
        waiting_is("default")
        return compute(metrics)

    def allow_and_pause(times: RunTimes) -> None:
        waiting_is("default")
        pause(times)

    monkeypatch.setattr(RunningMetrics, "update", update_and_forbid)
    monkeypatch.setattr(RunningMetrics, "compute", allow_and_compute)
    monkeypatch.setattr(RunTimes, "pause_training", allow_and_pause)
    for block in ("_BLOCK", "_GPU_BLOCK"):  # each batch is gathered and augmented by itself
        monkeypatch.setattr(f"tenfold.data.loader.{block}", 1)
    augmented = ("data.augment.flip=random", "data.augment.shift=2", "data.augment.first_epoch=true")
    trained(folder, name, *augmented, "train.log_every=1000", "train.checkpoint_every=1000 steps", *more)
    assert len(guarded) >= 15
