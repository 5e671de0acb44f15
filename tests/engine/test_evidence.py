"""What a run records about its images, its times and its end."""

import signal
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.runs import TINY, StopAfter, noise_dataset, tiny_run
from tenfold.core.errors import Interrupted, TrainingError
from tenfold.data.augment import Augmentation
from tenfold.data.types import Split
from tenfold.engine import state
from tenfold.engine.conclude import clipped_fraction
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> float:
    """Makes augmenting a block, in these runs an epoch or the rest of it, take at least so many seconds."""
    plain = Augmentation.apply

    def apply(*arguments: Any) -> Any:
        sleep(0.05)
        return plain(*arguments)

    monkeypatch.setattr(Augmentation, "apply", apply)
    return 0.05


def test_the_summary_counts_the_images_of_each_class(tmp_path: Path) -> None:
    summary = RunFolder(tiny_run(tmp_path, data=noise_dataset(17))).read_summary()
    assert summary["dataset"]["train_counts"] == {"circle": 6, "ring": 6, "square": 5}
    assert summary["batch_size"] == 4


def test_loading_seconds_add_up_over_the_sessions_of_a_run(tmp_path: Path, slow: float) -> None:
    whole = RunFolder(tiny_run(tmp_path, "whole")).read_summary()
    assert 2 * slow <= whole["loading_seconds"] <= whole["training_seconds"]
    with pytest.raises(Interrupted), StopAfter(6).installed(signal.SIGINT):  # in the middle of the second of two epochs
        tiny_run(tmp_path, "parts")
    before = load_checkpoint(tmp_path / "parts" / "checkpoints").state["loading_seconds"]
    assert before >= 2 * slow
    resumed = RunFolder(tiny_run(tmp_path, "parts", resume=True)).read_summary()
    assert resumed["loading_seconds"] >= before + slow - 0.001  # written in whole milliseconds


@pytest.mark.usefixtures("slow")
def test_a_checkpoint_of_version_0_1_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def without_loading_seconds(folder: Path, step: int, tensors: Any, saved: dict[str, Any]) -> Path:
        return plain(folder, step, tensors, {k: v for k, v in saved.items() if k != "loading_seconds"})

    plain = state.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(state, "save_checkpoint", without_loading_seconds)
        with pytest.raises(Interrupted), StopAfter(6).installed(signal.SIGINT):
            tiny_run(tmp_path)
    assert "loading_seconds" not in load_checkpoint(tmp_path / "run" / "checkpoints").state
    summary = RunFolder(tiny_run(tmp_path, resume=True)).read_summary()
    assert 0 < summary["loading_seconds"] < summary["training_seconds"]


def test_a_loss_that_is_not_finite_is_logged_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step (2|3)"):
        tiny_run(tmp_path, overrides=[*TINY, "optim.lr=1e30"])
    *_, last = read_log(tmp_path / "run" / "log.jsonl")
    assert last["event"] == "loss not finite"
    assert last["step"] in (2, 3)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**16), st.sampled_from([2, 16, 255]))
def test_the_clipped_fraction_of_few_images_is_exact(count: int, seed: int, values: int) -> None:
    images = np.random.default_rng(seed).integers(0, values + 1, (count, 4, 6, 3)).astype(np.uint8)
    split = Split(images, np.zeros(count, np.int64))
    assert clipped_fraction(split) == pytest.approx(np.isin(images, (0, 255)).mean())


def test_the_clipped_fraction_covers_all_parts_of_the_split() -> None:
    images = np.full((4000, 4, 4, 3), 100, np.uint8)
    images[3000:] = 255  # stored class by class, the last one on white
    split = Split(images, np.zeros(4000, np.int64))
    assert clipped_fraction(split) == pytest.approx(0.25, abs=0.002)
    assert clipped_fraction(split) == clipped_fraction(split)


def test_only_a_few_large_images_are_read() -> None:
    images = np.broadcast_to(np.uint8(255), (500, 1024, 1024, 3))  # 1.5 GB, were they copied
    assert clipped_fraction(Split(images, np.zeros(500, np.int64))) == 1.0
