"""Runs with mixup and cutmix resume to the same bits, as all runs do."""

import signal
from pathlib import Path

import pytest
import torch

from harness.runs import TINY, StopAfter, digests, tiny_run
from tenfold.core.errors import Interrupted

torch.set_num_threads(1)


@pytest.mark.parametrize("keys", [("mixup",), ("cutmix",), ("mixup", "cutmix")])
@pytest.mark.parametrize("k", [1, 4, 6])
def test_a_run_with_mixed_images_resumes_to_the_same_bits(tmp_path: Path, keys: tuple[str, ...], k: int) -> None:
    settings = (*TINY, "data.augment.flip=random", *(f"data.augment.{key}=1" for key in keys))
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings))
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Interrupted):
        tiny_run(tmp_path, overrides=settings)
    assert digests(tiny_run(tmp_path, resume=True)) == whole


def test_mixing_changes_the_trained_weights(tmp_path: Path) -> None:
    kinds = {
        key: digests(tiny_run(tmp_path, key, overrides=(*TINY, f"data.augment.{key}=1")))["model"]
        for key in ("mixup", "cutmix")
    }
    assert len({digests(tiny_run(tmp_path, "plain"))["model"], *kinds.values()}) == 3
