"""All errors that a user can see, as one tree of exceptions.

    TenfoldError                 exit 1
    ├── UsageError               exit 2     invalid command line or argument
    ├── DataError                           images, class folders, archives, stores
    │   └── DownloadError                   the network, or the downloaded file
    ├── RecipeError                         a recipe file or one of its keys
    │   └── SettingError        exit 2      --set, --vary or --search without a key or a value
    ├── ModelError                          a model file, or a model that does not fit the data
    ├── RunError                            a run folder or a checkpoint
    ├── DeviceError                         a device that is not available
    ├── StorageError                        the disk is full, read-only or failing
    ├── TrainingError                       training: loss not finite, out of memory
    │   └── ProcessLost          exit 75    one of several processes has ended
    └── Stopped                             stopped by a signal, everything is saved
        ├── Interrupted          exit 130   SIGINT
        └── Terminated           exit 143   SIGTERM

Each message is one line: what was found, what was expected, what to do.
"""

from typing import ClassVar, Self


class TenfoldError(Exception):
    """Base class of all errors that a user can cause and fix; the message is one line."""

    exit_code: ClassVar[int] = 1

    is_everywhere = False
    """Whether each of several processes raises this error, so that one of them prints it."""

    def everywhere(self) -> Self:
        """Returns the error, marked as one that each of several processes raises."""
        self.is_everywhere = True
        return self


class UsageError(TenfoldError):
    """The command line or an argument is invalid."""

    exit_code = 2


class DataError(TenfoldError):
    """Images, class folders, archives or stores are missing, damaged or unsuitable."""


class DownloadError(DataError):
    """A download failed, or its content is not the expected one."""


class RecipeError(TenfoldError):
    """A recipe file cannot be read, or a key or value is invalid."""


class SettingError(RecipeError, UsageError):
    """A setting has not the form `section.key=value`; a mistake in the command line rather than in a recipe."""


class ModelError(TenfoldError):
    """A model file is damaged or not from Tenfold, or the model does not fit the data."""


class RunError(TenfoldError):
    """A run folder or checkpoint is missing or damaged, or the path is something else."""


class DeviceError(TenfoldError):
    """The requested device is not available."""


class StorageError(TenfoldError):
    """The disk is full, read-only or failing."""


class TrainingError(TenfoldError):
    """Training cannot continue: the loss is not finite, or memory ran out."""


class ProcessLost(TrainingError):
    """Another of several processes that train together has ended; they can be started again (EX_TEMPFAIL)."""

    exit_code = 75


class Stopped(TenfoldError):
    """A signal stopped the run; everything is saved."""


class Interrupted(Stopped):
    """SIGINT: the run saved and stopped after a step."""

    exit_code = 130


class Terminated(Stopped):
    """SIGTERM: the run saved and stopped after a step."""

    exit_code = 143
