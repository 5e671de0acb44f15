"""Lists the runs and sweeps in a folder."""

from pathlib import Path

from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.runs.overview import Overview, overviews
from tenfold.runs.run_list import DEFAULT_FOLDER


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
