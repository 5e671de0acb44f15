"""What goes wrong on a GPU ends in one line that says what to do."""

from pathlib import Path

import pytest

import tenfold
from harness.gpu import GRAPH, easy_images, gpu_tests, trained
from tenfold.core.errors import TrainingError
from tenfold.runs.checkpoint import load_checkpoint

pytestmark = gpu_tests


@pytest.mark.parametrize("execution", ["eager", GRAPH])
@pytest.mark.parametrize("found_by", ["train.log_every=4", "train.checkpoint_every=4 steps"])
def test_a_loss_that_is_not_finite_is_found_at_the_next_row_or_checkpoint(
    tmp_path: Path, execution: str, found_by: str
) -> None:
    seldom = ("train.batch_size=8", "train.log_every=1000", "train.checkpoint_every=1000 steps")
    with pytest.raises(TrainingError, match=r"the loss is not finite at step \d+ .*go on with a lower") as caught:
        trained(
            tmp_path, "mlp", "train.batch_size=8", *seldom, found_by, f"train.execution={execution}", "optim.lr=1e30"
        )
    assert "\n" not in str(caught.value)
    assert int(str(caught.value).split("at step ")[1].split()[0]) <= 4


def test_a_run_that_diverged_goes_on_with_a_lower_rate(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        trained(tmp_path, "mlp", "train.batch_size=8", "optim.lr=1e30", f"train.execution={GRAPH}")
    run = tenfold.train(data=easy_images(), resume=tmp_path / "run0", overrides=["optim.lr=0.001"], report=False)
    assert load_checkpoint(run.path / "checkpoints").step == 20
    assert run.summary["steps"] == 20
