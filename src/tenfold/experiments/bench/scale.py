"""How the throughput of training grows with the number of processes, and what the processes send each other."""

import logging
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tenfold.core.devices import num_cores
from tenfold.core.errors import Terminated, TrainingError
from tenfold.core.progress import Progress
from tenfold.core.spawn import environment
from tenfold.data.request import DataRequest
from tenfold.experiments.bench.scale_process import Kind, ScalePoint, measure_process
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe


@dataclass(frozen=True)
class ScaleBench:
    """How training scales.

    Args:
        recipe: its name.
        data: name of the dataset.
        points: the first has the fewest processes, with which the others are compared.
    """

    recipe: str
    data: str
    points: tuple[ScalePoint, ...]

    def protocol(self) -> list[str]:
        """Returns sentences that say what was measured."""
        return [
            f"training steps with loading and updates, {NUM_ROUNDS} rounds, medians, after a warm-up; the numbers of "
            "processes take turns",
            "strong scaling: a batch keeps its size; weak scaling: a batch has as many images per process. The cores "
            "are shared out, so that all of them work with any number of processes",
            'gradients are added up in one message, as with train.reduce = "flat"',
            "efficiency: images a second, relative to the first row; of weak scaling on one machine, whose cores are "
            "the same for all, it is that of the software alone",
            "communication: time in collective operations, waiting for the slowest process included, in a round of "
            "its own in which the device is waited for",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        first = self.points[0].images_per_second.median
        points = [{**one.to_json(), "efficiency": one.images_per_second.median / first} for one in self.points]
        return {
            "benchmark": "scale",
            "recipe": self.recipe,
            "data": self.data,
            "protocol": self.protocol(),
            "points": points,
        }


def measure_scale(
    recipe: Recipe, request: DataRequest, counts: Sequence[int], seconds: float, repeats: int, progress: Progress
) -> tuple[ScalePoint, ...]:
    """Measures training steps with each number of processes, in turns.

    Args:
        recipe: complete.
        request: of its images, which are prepared.
        counts: numbers of processes.
        seconds: measuring time for each point and turn, above 0.
        repeats: number of turns.
        progress: receives a line for each point.

    Raises:
        TrainingError: when a process fails.
        Terminated: on SIGTERM.
    """
    wanted: list[tuple[Kind, int]] = [("strong", count) for count in counts]
    wanted += [("weak", count) for count in counts if count > 1]
    turns: list[list[ScalePoint]] = []
    for turn in range(repeats):
        turns.append([])
        for kind, count in wanted:
            batch_size = recipe.train.batch_size * (count if kind == "weak" else 1)
            changed = resolve(recipe, {"train.batch_size": batch_size})
            with _own_signals():
                turns[-1].append(_launched(changed, request, kind, count, seconds))
            progress.message(_line(turns[-1][-1], turn))
    return tuple(_joined_turns(points) for points in zip(*turns, strict=True))


def _line(point: ScalePoint, turn: int) -> str:
    noun = "process" if point.processes == 1 else "processes"
    return f"turn {turn + 1}: {point.kind}, {point.processes} {noun}: {point.images_per_second.median:,.0f} images/s"


def _joined_turns(points: Sequence[ScalePoint]) -> ScalePoint:
    """Returns the point of all turns: every rate, medians of the fractions."""
    return replace(
        points[0],
        images_per_second=Samples(tuple(rate for one in points for rate in one.images_per_second.values)),
        communication=median(one.communication for one in points),
        loading=median(one.loading for one in points),
    )


def _launched(recipe: Recipe, request: DataRequest, kind: Kind, count: int, seconds: float) -> ScalePoint:
    """Returns what rank 0 of `count` new processes measures."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
    )
    with environment(OMP_NUM_THREADS=str(max(1, num_cores() // count)), TORCH_CPP_LOG_LEVEL="ERROR"):
        try:
            results = elastic_launch(config, measure_process)(recipe, request, kind, seconds)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            lines = str(failure.message).strip().splitlines() or ["it was killed"]
            raise TrainingError(f"process {rank} of {count} failed: {lines[-1]}") from error
    point: ScalePoint = results[0]
    return point


@contextmanager
def _own_signals() -> Iterator[None]:
    """Undoes what the launcher does with signals in the `with` block: its exception, log lines and handlers."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        yield
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            raise KeyboardInterrupt from stop
        raise Terminated("stopped; nothing was kept") from stop
    finally:
        logging.disable(disabled)
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
