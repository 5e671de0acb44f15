"""Errors that end training, and their messages."""

import re
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.runs import CLASSES, StopAfter, noise_dataset, tiny_run
from tenfold.core.errors import Terminated, TrainingError
from tenfold.engine import loop

SHORT = ("train.batch_size=4", "train.duration=2 epochs")


class ShrinkingNet(nn.Sequential):
    """A user's own network, whose batch norm gets one value per channel from an image of 8×8 pixels."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, len(CLASSES)))


@pytest.mark.parametrize(
    ("num_images", "keys", "message"),
    [
        (
            *(17, ()),
            "the batch norm of ShrinkingNet got a single value per channel: the last batch of an epoch is one image "
            "whose features have shrunk to 1×1, expected two values or more; set train.drop_last = true, or another "
            "train.batch_size (now 4), and start a new run",
        ),
        (
            *(16, ("train.batch_size=1",)),
            "the batch norm of ShrinkingNet got a single value per channel: a batch is one image whose features have "
            "shrunk to 1×1, expected two values or more; set a larger train.batch_size (now 1), and start a new run",
        ),
    ],
)
def test_batch_norm_of_a_single_value_ends_with_one_line(
    tmp_path: Path, num_images: int, keys: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$") as caught:
        tiny_run(tmp_path, data=noise_dataset(num_images), overrides=(*SHORT, *keys), model=ShrinkingNet())
    assert caught.value.is_everywhere, "one of several processes prints it, as their batch norms are synchronized"


@pytest.mark.parametrize("keys", [("train.drop_last=true",), ("train.batch_size=3",)])
def test_the_remedies_of_that_line_work(tmp_path: Path, keys: tuple[str, ...]) -> None:
    run = tiny_run(tmp_path, data=noise_dataset(17), overrides=(*SHORT, *keys), model=ShrinkingNet())
    assert (run / "summary.json").is_file()


def test_other_value_errors_of_a_users_network_pass_through(tmp_path: Path) -> None:
    class RefusingNet(ShrinkingNet):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name that PyTorch's modules use
            if self.training:
                raise ValueError("these images are refused")
            return super().forward(input)

    with pytest.raises(ValueError, match="these images are refused"):
        tiny_run(tmp_path, overrides=SHORT, model=RefusingNet())


def test_all_processes_meet_after_the_save_of_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher kills those that are left some time after the first one has ended."""
    calls = []
    for name in ("agree", "save_checkpoint"):
        function = getattr(loop, name)
        monkeypatch.setattr(loop, name, lambda *args, name=name, call=function: (calls.append(name), call(*args)))
    with StopAfter(2).installed(signal.SIGTERM), pytest.raises(Terminated):
        tiny_run(tmp_path)
    assert calls[-2:] == ["save_checkpoint", "agree"]
