"""Finds the run of a launch, whose processes have been started again or have ended."""

from contextlib import suppress
from pathlib import Path

from tenfold.core.errors import TenfoldError
from tenfold.core.world import is_restarted, launch_id
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.run_list import newest_first


def launched_run(runs: Path, launch: str | None) -> Path | None:
    """Returns the newest run that a launch has begun, or None.

    Args:
        runs: folder of run folders.
        launch: see `launch_id`.

    Raises:
        StorageError: when the folder cannot be read.
    """
    for found in newest_first(runs) if launch is not None else ():
        with suppress(TenfoldError):  # a damaged run is not this one
            if found.kind == "run" and RunFolder(found.path).read_environment().get("launch") == launch:
                return found.path
    return None


def previous_attempt(runs: Path) -> Path | None:
    """Returns the run that these processes go on with, where the launcher has started them again; None otherwise."""
    return launched_run(runs, launch_id()) if is_restarted() else None
