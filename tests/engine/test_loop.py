"""What stops a training in its tracks, and what its user is told."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.runs import CLASSES, noise_set, tiny_run
from tenfold.core.errors import TrainingError

torch.set_num_threads(1)

SHORT = ("train.batch_size=4", "train.duration=2 epochs")


class Shrinking(nn.Sequential):
    """A user's own network, which leaves a single place of 8×8 pixels to its normalisation."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, len(CLASSES)))


@pytest.mark.parametrize(
    ("pictures", "keys", "message"),
    [
        (
            *(17, ()),
            "Shrinking cannot normalise over the last batch of an epoch: it is a single picture, which has shrunk to "
            "1×1, and one value has no deviation; set train.drop_last = true, or another train.batch_size (now 4), "
            "and start a new run",
        ),
        (
            *(16, ("train.batch_size=1",)),
            "Shrinking cannot normalise over a batch: it is a single picture, which has shrunk to 1×1, "
            "and one value has no deviation; set a larger train.batch_size (now 1), and start a new run",
        ),
    ],
)
def test_a_normalisation_of_a_single_value_is_told_in_one_line(
    tmp_path: Path, pictures: int, keys: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$"):
        tiny_run(tmp_path, data=noise_set(pictures), overrides=(*SHORT, *keys), model=Shrinking())


@pytest.mark.parametrize("keys", [("train.drop_last=true",), ("train.batch_size=3",)])
def test_what_the_line_says_helps(tmp_path: Path, keys: tuple[str, ...]) -> None:
    run = tiny_run(tmp_path, data=noise_set(17), overrides=(*SHORT, *keys), model=Shrinking())
    assert (run / "summary.json").is_file()


def test_another_value_error_of_a_users_network_keeps_its_own_words(tmp_path: Path) -> None:
    class Refusing(Shrinking):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name that PyTorch's modules use
            if self.training:
                raise ValueError("these pictures are not for me")
            return super().forward(input)

    with pytest.raises(ValueError, match="these pictures are not for me"):
        tiny_run(tmp_path, overrides=SHORT, model=Refusing())
