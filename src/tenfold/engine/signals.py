"""Stopping a run by signal: the first one is noted, the second one ends the process at once."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tenfold.core.errors import Interrupted, Stopped, Terminated
from tenfold.core.world import launch_id

_ERRORS: dict[int, type[Stopped]] = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class StopRequest:
    """Context manager that notes SIGINT and SIGTERM; the training loop checks `due` between two steps.

    Outside the main thread Python delivers no signals, and nothing changes.

    Example:
        >>> with StopRequest() as stop:
        ...     stop.due is None
        True
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._agreed: list[int | None] = []
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous_handlers = {number: signal.signal(number, self._note) for number in _ERRORS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and launch_id() is not None:
            return  # SLURM and the launcher both send it to each process; SIGKILL would end them at once
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number

    @property
    def due(self) -> int | None:
        """The signal that ends the run after this step; with several processes the one that all of them know of."""
        return self._agreed[-1] if self._agreed else self.received

    def agree(self, number: int | None) -> None:
        """Sets `due`, where several processes stop after the same step."""
        self._agreed = [number]

    def error(self, message: str) -> Stopped:
        """Returns the error that ends the run, with the exit code of the signal."""
        return _ERRORS[self.due or signal.SIGINT](message)
