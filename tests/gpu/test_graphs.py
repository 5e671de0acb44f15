"""A training step that is replayed as a CUDA graph, or fused by a compiler, against the eager step."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import tenfold
from harness.gpu import DEVICE, GRAPH, cuda_only, distance, first_weights, gpu_tests, losses, trained, weights
from harness.runs import digests

pytestmark = gpu_tests

GROWING = "train.progressive=[[0.5, 0.5]]"
"""Half of the steps on 16×16 pixels, the other half on 32×32."""


def assert_same_training(one: tenfold.Run, other: tenfold.Run, start: dict[str, Tensor], *, tolerance: float) -> None:
    """Compares the losses of all steps and, in float32, the last weights.

    Rounding in bfloat16 grows within 20 steps: in the weights to a fifth of their way, in the losses to hundredths.
    """
    assert len(losses(one)) == len(losses(other)) == 20
    assert losses(one)[-5:].mean() < losses(one)[0], "it must learn something, or the comparison shows nothing"
    torch.testing.assert_close(losses(one), losses(other), rtol=0, atol=tolerance)
    if "float32" in one.summary["hardware"]:
        assert distance(weights(one), weights(other), start) < 0.05


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.005), ("bfloat16", 0.08)])
@pytest.mark.parametrize(
    ("name", "more"),
    [("quick", ()), ("quick", (GROWING,)), ("tutorial", ()), ("resnet18", ()), ("resnet18", (GROWING,))],
)
def test_a_graph_trains_like_eager_steps(
    tmp_path: Path, name: str, more: tuple[str, ...], precision: str, tolerance: float
) -> None:
    more = (*more, f"train.precision={precision}")
    eager = trained(tmp_path, name, *more)
    graph = trained(tmp_path, name, *more, f"train.execution={GRAPH}")
    assert graph.summary["hardware"].startswith(DEVICE.type)
    assert ("compiled" in graph.summary["hardware"]) == (GRAPH == "compiled")
    assert_same_training(eager, graph, first_weights(name, *more), tolerance=tolerance)


@pytest.mark.parametrize("schedule", ["linear", "one-cycle"])
def test_a_graph_follows_the_schedule_of_the_learning_rate(tmp_path: Path, schedule: str) -> None:
    more = (f"optim.schedule={schedule}", "optim.lr=0.05")
    eager = trained(tmp_path, "tutorial", *more)
    graph = trained(tmp_path, "tutorial", *more, f"train.execution={GRAPH}")
    constant = trained(tmp_path, "tutorial", "optim.lr=0.05")
    start = first_weights("tutorial", *more)
    assert distance(weights(eager), weights(graph), start) < 0.05
    assert distance(weights(constant), weights(graph), start) > 0.1


FAST94 = (
    *("model.widths=[16, 32]", "train.batch_size=16", "optim.lr=0.1", "train.precision=bfloat16"),
    "train.progressive=[]",  # the compiler takes its time for each size
)


def fused_run(folder: Path) -> tenfold.Run:
    return trained(folder, "fast94", *FAST94, "train.fuse=true", "train.execution=compiled")


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> tenfold.Run:
    return fused_run(tmp_path_factory.mktemp("fused"))


@cuda_only
def test_steps_fused_by_the_compiler_train_like_eager_steps(tmp_path: Path, fused: tenfold.Run) -> None:
    eager = trained(tmp_path, "fast94", *FAST94, "train.fuse=false")
    assert "compiled steps, fused layers" in fused.summary["hardware"]
    assert abs(losses(eager)[0] - losses(fused)[0]) < 0.02, "the first step differs by rounding alone"
    assert_same_training(eager, fused, {}, tolerance=0.15)


@cuda_only
def test_fused_steps_repeat_their_bits(tmp_path: Path, fused: tenfold.Run) -> None:
    assert digests(fused_run(tmp_path).path) == digests(fused.path)


@pytest.mark.parametrize("execution", ["eager", GRAPH])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("quick", ("data.pruning=0.5",)),
        ("quick", ("optim.ema=0.9", "optim.label_smoothing=0")),
        ("mlp", ("optim.name=muon", "optim.muon_matrices=true", "model.dropout=0.3", "model.hidden=[32, 16]")),
    ],
)
def test_every_kind_of_training_learns(tmp_path: Path, name: str, more: tuple[str, ...], execution: str) -> None:
    longer = ("train.batch_size=16", "train.duration=6 epochs", "train.log_every=0", f"train.execution={execution}")
    run = trained(tmp_path, name, *more, *longer)
    assert run.accuracy > 0.6, "of three easy classes"


@pytest.mark.parametrize("setting", ["mixup=1", "cutmix=1"])
def test_mixed_batches_are_trained_on_by_eager_steps(tmp_path: Path, setting: str) -> None:
    augment = (f"data.augment.{setting}", "data.augment.first_epoch=true")
    run = trained(tmp_path, "quick", *augment, "train.execution=auto", "train.duration=6 epochs")
    assert run.accuracy > 0.6
    assert losses(run).isfinite().all()
    if DEVICE.type == "cuda":
        assert "compiled" not in run.summary["hardware"]


@cuda_only
def test_the_faster_of_eager_and_graph_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    runs.mkdir()
    first, second = (trained(runs, "tutorial", "train.execution=auto") for _ in range(2))
    assert len(list((tmp_path / "cache" / "programs").glob("*.json"))) == 1
    assert digests(first.path) == digests(second.path)
