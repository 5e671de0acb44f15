"""Names runs and sweeps, and lists those in a folder."""

from pathlib import Path
from typing import Protocol

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError, UsageError
from tenfold.data.arrays import described
from tenfold.runs.overview import Overview, overviews
from tenfold.runs.run_list import DEFAULT_FOLDER, Kind, named


class HasPath(Protocol):
    """What `train` and `sweep` return: it knows its folder."""

    @property
    def path(self) -> Path:
        """The run folder or sweep folder."""


RunSource = str | Path | HasPath
"""A path, or what `train` or `sweep` returned, which stands for its folder."""


def path_of(source: RunSource, *kinds: Kind) -> Path:
    """Returns the path of a run, sweep or model file; `last` is the newest one.

    Args:
        source: see `RunSource`.
        kinds: of the folders that `last` may stand for.

    Raises:
        UsageError: when it is something else.
        RunError: when it is `last` and there is no run.

    Example:
        >>> path_of("runs/mine", "run").name
        'mine'
    """
    path = getattr(source, "path", source)
    if not isinstance(path, str | Path):
        raise UsageError(f"found {described(source)}; expected the path of a run folder, or what train returned")
    return named(Path(path), *kinds)


def list_runs(folder: str | Path = DEFAULT_FOLDER) -> list[Overview]:
    """Returns the runs and sweeps in a folder, newest first; only their small files are read.

    Args:
        folder: as for `runs` of `train`.

    Raises:
        RunError: when there is no such folder.
        StorageError: when it cannot be read.

    Example:
        >>> from tenfold.api.runs import list_runs
        >>> [(run.name, run.accuracy) for run in list_runs()]  # doctest: +SKIP
        [('shapes-quick-20260101-120000', 0.97)]
    """
    if not Path(folder).is_dir():
        raise RunError(
            f"no folder {display_path(Path(folder))}; expected a folder of runs, which `tenfold train` makes in runs/"
        )
    return overviews(Path(folder))
