"""All times of a run in one place."""

from collections.abc import Callable
from time import perf_counter

import torch

from tenfold.core.clock import Stopwatch
from tenfold.data.loader import Loader


class RunTimes:
    """Measures how long the parts of a run take, in seconds.

    Args:
        device: where training runs.
        loader: counts the host's seconds spent on gathering and augmenting images.
        total_seconds: returns the seconds of the whole run so far, over all sessions.

    Attributes:
        compile_seconds: spent on compiling the step, and on measuring whether that pays.
    """

    def __init__(self, device: torch.device, loader: Loader, total_seconds: Callable[[], float]) -> None:
        self.compile_seconds = 0.0
        self._device = device
        self._loader = loader
        self.total_seconds = total_seconds
        self._training = Stopwatch(device)
        self._checkpoint_saved = perf_counter()
        self._agreed: tuple[float, float] | None = None

    def resume(self, training_seconds: float, loading_seconds: float) -> None:
        """Continues from the times of a checkpoint."""
        self._training = Stopwatch(self._device, training_seconds)
        self._loader.seconds = loading_seconds

    def start_training(self) -> None:
        """Starts or continues the training time."""
        self._training.start()

    def pause_training(self) -> None:
        """Pauses the training time, for an evaluation or a checkpoint."""
        self._training.stop()

    def training_seconds(self) -> float:
        """Returns the training time so far, steps only; waits for the device."""
        return self._training.seconds()

    def elapsed(self) -> float:
        """Returns the training time so far by the host's clock; does not wait for the device."""
        return self._training.elapsed() if self._agreed is None else self._agreed[0]

    def agree(self, elapsed: float, since_checkpoint: float) -> None:
        """Sets what `elapsed` and `since_checkpoint` return, where several processes follow one clock."""
        self._agreed = (elapsed, since_checkpoint)

    def measured(self) -> tuple[float, float]:
        """Returns what this process measures for `elapsed` and `since_checkpoint`."""
        return self._training.elapsed(), perf_counter() - self._checkpoint_saved

    @property
    def loading_seconds(self) -> float:
        """The part of the training time that the host spent on gathering and augmenting images."""
        return self._loader.seconds

    def checkpoint_saved(self) -> None:
        """Notes that a checkpoint has been written."""
        self._checkpoint_saved = perf_counter()

    def since_checkpoint(self) -> float:
        """Returns the seconds since the last checkpoint was written, or since the start."""
        return perf_counter() - self._checkpoint_saved if self._agreed is None else self._agreed[1]
