"""Runs on mixed pictures keep the promises of all runs."""

import signal
from pathlib import Path

import pytest
import torch

from harness.runs import TINY, StopAfter, digests, tiny_run
from tenfold.core.errors import Interrupted

torch.set_num_threads(1)


@pytest.mark.parametrize("keys", [("mixup",), ("cutmix",), ("mixup", "cutmix")])
@pytest.mark.parametrize("k", [1, 4, 6])
def test_a_stopped_run_on_mixed_pictures_goes_on_to_the_bit(tmp_path: Path, keys: tuple[str, ...], k: int) -> None:
    settings = (*TINY, "data.augment.flip=random", *(f"data.augment.{key}=1" for key in keys))
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings))
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Interrupted):
        tiny_run(tmp_path, overrides=settings)
    assert digests(tiny_run(tmp_path, resume=True)) == whole


def test_mixing_is_learnt_from(tmp_path: Path) -> None:
    kinds = {
        key: digests(tiny_run(tmp_path, key, overrides=(*TINY, f"data.augment.{key}=1")))["model"]
        for key in ("mixup", "cutmix")
    }
    assert len({digests(tiny_run(tmp_path, "plain"))["model"], *kinds.values()}) == 3
