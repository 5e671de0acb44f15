"""A GPU whose memory is used up: the last of these files, because a later test may suffer from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.gpu import cuda_only, easy_images, gpu_tests, trained
from tenfold.core.errors import TrainingError

pytestmark = [*gpu_tests, cuda_only]

LARGE = ("model.hidden=[8192]", "train.batch_size=2048", "train.duration=2 steps")  # 64 MB for each layer's activations
_FREE = 32 * 1024**2


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leaves this process 32 MB more of the device than it holds."""
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + _FREE) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("execution", ["eager", "compiled", "auto"])
@pytest.mark.usefixtures("little_memory")
def test_too_large_a_batch_is_one_clear_line(tmp_path: Path, execution: str) -> None:
    with pytest.raises(TrainingError, match="out of memory on cuda with batches of 2048 at step 1; ") as caught:
        trained(tmp_path, "mlp", *LARGE, f"train.execution={execution}", data=easy_images(8192, 16, side=8))
    message = str(caught.value)
    assert message.endswith("no checkpoint has been saved yet; try --batch-size 1024")
    assert "\n" not in message


def test_the_process_trains_on_afterwards(tmp_path: Path) -> None:
    assert trained(tmp_path, "mlp", *LARGE, data=easy_images(8192, 16, side=8)).summary["steps"] == 2
