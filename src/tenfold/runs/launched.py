"""Finds the run of a launch, whose processes have been started again or have ended."""

from contextlib import suppress
from pathlib import Path

from tenfold.core.errors import TenfoldError
from tenfold.core.world import is_restarted, launch_id, training_number
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.run_list import newest_first


def launched_run(runs: Path, launch: str | None, training: int | None = None) -> Path | None:
    """Returns the newest run that a launch has begun, or None.

    Args:
        runs: folder of run folders.
        launch: see `launch_id`.
        training: number of the training in its process, see `training_number`; any by default.

    Raises:
        StorageError: when the folder cannot be read.
    """
    for found in newest_first(runs) if launch is not None else ():
        with suppress(TenfoldError):  # a damaged run is not this one
            recorded = RunFolder(found.path).read_environment() if found.kind == "run" else {}
            if recorded.get("launch") == launch and training in (None, recorded.get("launch_training")):
                return found.path
    return None


def previous_attempt(runs: Path) -> Path | None:
    """Returns the run that these processes go on with, where the launcher has started them again; None otherwise."""
    return launched_run(runs, launch_id(), training_number()) if is_restarted() else None
