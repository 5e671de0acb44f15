"""Everything that can go wrong for a user, as one tree.

    TenfoldError                 exit 1
    ├── UsageError               exit 2     the command line or an argument makes no sense
    ├── DataError                           pictures, class folders, archives, stores
    │   └── DownloadError                   the network or what it delivered
    ├── RecipeError                         a recipe file or one of its keys
    ├── ModelError                          a model file, or a model that does not fit its data
    ├── RunError                            a run folder or a checkpoint
    ├── DeviceError                         a device that is not there
    ├── StorageError                        the disk is full, read-only or failing
    ├── TrainingError                       the training itself: loss not finite, out of memory
    └── Stopped                             a signal asked for an end, and all is saved
        ├── Interrupted          exit 130   SIGINT
        └── Terminated           exit 143   SIGTERM

A message is one line that says what was found, what was expected and what to do.
"""

from typing import ClassVar


class TenfoldError(Exception):
    """A failure that a user can cause and mend; its message is one plain line."""

    exit_code: ClassVar[int] = 1


class UsageError(TenfoldError):
    """The command line or an argument makes no sense."""

    exit_code = 2


class DataError(TenfoldError):
    """Pictures, class folders, archives or stores are not as they must be."""


class DownloadError(DataError):
    """A download failed or delivered something else than promised."""


class RecipeError(TenfoldError):
    """A recipe file cannot be read, or a key or value in it is refused."""


class ModelError(TenfoldError):
    """A model file is damaged or foreign, or does not fit the data."""


class RunError(TenfoldError):
    """A run folder or checkpoint is missing, damaged or not what it was taken for."""


class DeviceError(TenfoldError):
    """The device that was asked for is not there."""


class StorageError(TenfoldError):
    """The disk is full, read-only or failing."""


class TrainingError(TenfoldError):
    """Training cannot go on: the loss is not finite, or memory ran out."""


class Stopped(TenfoldError):
    """A signal asked the run to stop, and everything is saved."""


class Interrupted(Stopped):
    """SIGINT: stopped at a step boundary after saving."""

    exit_code = 130


class Terminated(Stopped):
    """SIGTERM: stopped at a step boundary after saving."""

    exit_code = 143
