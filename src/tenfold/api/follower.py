"""A process that trains beside rank 0: it waits for recipe and checkpoint, and neither prints nor writes."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from tenfold.api.data import DATA_PLACES, DataSource, dataset_of, given_dataset, moved_data
from tenfold.api.followers import Job, check_agreement
from tenfold.api.training_run import Run
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import SilentProgress
from tenfold.data.types import Dataset
from tenfold.engine.distributed import Processes
from tenfold.engine.run import run
from tenfold.recipes.load import key_of, resolve
from tenfold.recipes.schema import Recipe

_OWN = (*DATA_PLACES, "data.exclude", "data.relabel", "train.device")
"""Recipe keys of a command line that may differ between machines."""


class QuietProgress(SilentProgress):
    """Shows nothing: rank 0 says it."""

    def warn(self, text: str) -> None:
        """Does nothing."""


def follow(
    processes: Processes,
    data: DataSource | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    settings: str | None,
) -> Run:
    """Trains beside rank 0.

    Args:
        processes: that train together; this one is not rank 0.
        data: as for `train`; a path says where the images are on this machine.
        model: your own network, as on rank 0.
        overrides: as for `train`.
        settings: see `settings_text`.

    Returns:
        The run, as rank 0 has it.

    Raises:
        TenfoldError: rank 0's where it fails before the training, or what is wrong on this machine.
    """
    job: Any = processes.broadcast_object(None)
    if isinstance(job, TenfoldError):
        raise job.everywhere()
    if isinstance(job, Job):
        dataset = _own_dataset(job, data, overrides)
        check_agreement(processes, job.recipe, dataset, job.settings and settings)
        run(
            job.recipe,
            dataset,
            job.folder,
            QuietProgress(),
            model=model,
            checkpoint=job.checkpoint,
            processes=processes,
        )
        job = processes.broadcast_object(None)
    found: Run = job
    return found


def settings_text(recipe: str | Path | Recipe, overrides: Sequence[str]) -> str:
    """Returns what a command line asks for and all processes must share, without what may differ between machines."""
    name = "" if isinstance(recipe, Recipe) else Path(recipe).name
    return ", ".join([f"recipe {name}", *sorted(line for line in overrides if key_of(line) not in _OWN)])


def _own_dataset(job: Job, data: DataSource | None, overrides: Sequence[str]) -> Dataset:
    """Returns the images of the job on this machine: where its own command line says, or else the recipe."""
    is_elsewhere = isinstance(data, str | Path) and not Path(data).exists()
    moved, _ = moved_data(job.recipe, None if is_elsewhere else data, overrides)
    with TemporaryDirectory() as folder:
        lists: dict[str, object] = {}
        for key, content in job.lists.items():
            path = Path(folder) / f"{key}.csv"
            path.write_bytes(content)
            lists[f"data.{key}"] = str(path)
        section = resolve(moved, lists).data
        return given_dataset(data, section) or dataset_of(section, QuietProgress())
