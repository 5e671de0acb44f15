"""Several processes of one training, as rank 0 sees them: it prepares everything, and the others wait for it."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import torch

from tenfold.core.devices import choose_device, num_cores
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import Progress
from tenfold.core.text import plural
from tenfold.data.types import Dataset
from tenfold.engine.distributed import ALONE, Processes
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.run_folder import RunFolder

_FEW_IMAGES = 8
"""Of a batch, per process: with fewer, a CPU spends more time on messages than it saves."""


class Job(NamedTuple):
    """What rank 0 asks the others to train.

    Args:
        recipe: complete.
        checkpoint: to resume from.
        folder: of the run, for messages; rank 0 alone touches it.
        lists: content of the recipe's image lists, by key of `[data]`.
        settings: what the command line asked for, which all processes must share; None for a resumed run.
    """

    recipe: Recipe
    checkpoint: Checkpoint | None
    folder: RunFolder
    lists: Mapping[str, bytes]
    settings: str | None


class Followers:
    """The other processes of a training. A context manager: an error of rank 0 ends those that still wait.

    Args:
        processes: that train together.
        settings: see `Job`.
    """

    def __init__(self, processes: Processes = ALONE, settings: str | None = None) -> None:
        self.processes = processes
        self._settings = settings
        self._are_waiting = processes.is_several

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._are_waiting and isinstance(error, TenfoldError):
            self.processes.broadcast_object(error)

    def start(
        self, recipe: Recipe, dataset: Dataset, folder: RunFolder, checkpoint: Checkpoint | None, progress: Progress
    ) -> None:
        """Lets the others train, from the data on their own machines. Alone, nothing happens.

        Raises:
            TrainingError: when another process has other data, settings or versions.
        """
        if not self._are_waiting:
            return
        named = {key: getattr(recipe.data, key) for key in ("exclude", "relabel")}
        lists = {key: Path(path).read_bytes() for key, path in named.items() if path}
        self.processes.broadcast_object(Job(recipe, checkpoint, folder, lists, self._settings))
        self._are_waiting = False
        for line in check_agreement(self.processes, recipe, dataset, self._settings):
            progress.message(line)

    def dismiss(self, run: object) -> None:
        """Gives the others the finished run, which ends them."""
        if self.processes.is_several:
            self.processes.broadcast_object(run)
            self._are_waiting = False


def check_agreement(processes: Processes, recipe: Recipe, dataset: Dataset, settings: str | None) -> list[str]:
    """Makes sure that all processes train the same, and returns what is unusual about them.

    Args:
        processes: each of them calls this function.
        recipe: of rank 0.
        dataset: of this process.
        settings: see `Job`.

    Raises:
        TrainingError: when two processes differ; the message names both.
    """
    device = choose_device(recipe.train.device).type
    processes.check_same(
        data=f"{plural(len(dataset.train), 'training image')} ({dataset.fingerprint[:12]})",
        command_line=settings or "",
        device=device,
        version_of_tenfold=version("tenfold"),
        version_of_torch=torch.__version__,
    )
    on_gpus = device == "cuda"
    gpus = processes.gather_objects(torch.cuda.get_device_name() if on_gpus else "")
    lines, local_size, cores = [], processes.world.local_size, num_cores()
    if len(kinds := Counter(gpus)) > 1:
        found = ", ".join(f"{count} × {name}" for name, count in kinds.items())
        lines.append(f"the GPUs differ ({found}): in each step, all of them wait for the slowest one")
    if not on_gpus and local_size > cores:
        lines.append(f"{local_size} processes share {cores} core{'s' * (cores != 1)}: fewer are faster")
    size, batch_size = processes.world.size, recipe.train.batch_size
    if not on_gpus and batch_size < size * _FEW_IMAGES:
        lines.append(
            f"{size} processes share batches of {batch_size} images: each step costs messages, so that larger batches "
            "or fewer processes are faster"
        )
    return lines
