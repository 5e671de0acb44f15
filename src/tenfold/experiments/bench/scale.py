"""How the throughput of training grows with the number of processes, and what the processes send each other.

Shapes: W processes, B images in a batch of all of them.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tenfold.core.clock import synchronize
from tenfold.core.devices import num_cores
from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress
from tenfold.core.world import current_world
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.share import Share
from tenfold.engine.distributed import Processes, joined
from tenfold.engine.precision import choose_hardware, own_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, timed_step
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

Kind = Literal["strong", "weak"]
"""Whether a batch keeps its size, or grows with the number of processes."""

_WARM_UP_STEPS = 3
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ScalePoint:
    """Training steps with one number of processes.

    Args:
        kind: see `Kind`.
        processes: W.
        threads: CPU threads of each.
        batch_size: images of a step, B.
        images_per_second: of all processes together.
        bytes_per_step: what each process hands to PyTorch's collective operations in a step.
        messages_per_step: number of these operations.
        communication: fraction of the time in them, waiting for slower processes included, in [0, 1].
        loading: fraction of the time in which images are gathered and augmented, in [0, 1].
        hardware: of rank 0.
    """

    kind: Kind
    processes: int
    threads: int
    batch_size: int
    images_per_second: Samples
    bytes_per_step: int
    messages_per_step: float
    communication: float
    loading: float
    hardware: str

    @property
    def step_seconds(self) -> float:
        """Median seconds of a step."""
        return self.batch_size / self.images_per_second.median

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {
            **asdict(self),
            "images_per_second": self.images_per_second.to_json(),
            "step_seconds": self.step_seconds,
        }


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
    """
    wanted: list[tuple[Kind, int]] = [("strong", count) for count in counts]
    wanted += [("weak", count) for count in counts if count > 1]
    turns: list[list[ScalePoint]] = []
    for turn in range(repeats):
        turns.append([])
        for kind, count in wanted:
            batch_size = recipe.train.batch_size * (count if kind == "weak" else 1)
            changed = resolve(recipe, {"train.batch_size": batch_size})
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
    with _environment(OMP_NUM_THREADS=str(max(1, num_cores() // count)), TORCH_CPP_LOG_LEVEL="ERROR"):
        try:
            results = elastic_launch(config, _measure)(recipe, request, kind, seconds)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            lines = str(failure.message).strip().splitlines() or ["it was killed"]
            raise TrainingError(f"process {rank} of {count} failed: {lines[-1]}") from error
    point: ScalePoint = results[0]
    return point


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Sets environment variables, for processes that start in the `with` block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class CountedProcesses(Processes):
    """Processes whose messages are counted and, where asked for, timed.

    Args:
        device: which is waited for when messages are timed.
        count: `messages`, `bytes` and `seconds` so far.
        timed: whether to time messages; the device is waited for then.
    """

    device: torch.device = _CPU
    count: dict[str, float] = field(default_factory=lambda: {"messages": 0.0, "bytes": 0.0, "seconds": 0.0})
    timed: list[bool] = field(default_factory=lambda: [False])

    def gather(self, tensor: Tensor) -> Tensor:
        """Returns the tensors of all processes; see `Processes.gather`."""
        with self._counted(tensor):
            return super().gather(tensor)

    def sum(self, tensor: Tensor) -> None:
        """Adds up a tensor; see `Processes.sum`."""
        with self._counted(tensor):
            super().sum(tensor)

    @contextmanager
    def _counted(self, tensor: Tensor) -> Iterator[None]:
        self.count["messages"] += 1
        self.count["bytes"] += tensor.nbytes
        if self.timed[0]:
            synchronize(self.device)
        started = perf_counter()
        yield
        if self.timed[0]:
            synchronize(self.device)
        self.count["seconds"] += perf_counter() - started


def _measure(recipe: Recipe, request: DataRequest, kind: Kind, seconds: float) -> ScalePoint:
    """Measures the steps of this process, one of several or the only one."""
    world = current_world()
    with joined(world, choose_hardware(recipe.train).device) as plain:
        hardware = own_hardware(choose_hardware(recipe.train), plain)
        processes = CountedProcesses(world, hardware.device)
        dataset = build_dataset(request)
        with hardware.active():
            classifier = make_classifier(recipe, dataset, None)
            share = Share(world.rank, world.size, recipe.train.micro_batch)
            loader = training_loader(recipe, dataset, hardware, share)
            prepared = timed_step(
                recipe, classifier.model, classifier.preprocessing, hardware, next(loader.epoch(0)), processes
            )
            batches = endless(loader)

            def spent(steps: int) -> float:
                """Returns the seconds of some steps, which all processes begin together."""
                if processes.is_several:
                    plain.exchange([0.0])
                synchronize(hardware.device)
                started = perf_counter()
                for _ in range(steps):
                    prepared.step(next(batches))
                    if processes.is_several:
                        processes.exchange([0.0, 0.0, 0.0])  # what the training loop agrees on
                synchronize(hardware.device)
                return perf_counter() - started

            spent(_WARM_UP_STEPS)
            steps = plain.broadcast_object(max(1, round(seconds / NUM_ROUNDS / (spent(_WARM_UP_STEPS) / 3))))
            rates = tuple(steps * loader.order.batch_size / spent(steps) for _ in range(NUM_ROUNDS))
            processes.count.update(messages=0.0, bytes=0.0, seconds=0.0)
            processes.timed[0], loading = True, loader.seconds
            total = spent(steps)
            return ScalePoint(
                kind,
                world.size,
                hardware.threads,
                loader.order.batch_size,
                Samples(rates),
                round(processes.count["bytes"] / steps),
                processes.count["messages"] / steps,
                processes.count["seconds"] / total,
                (loader.seconds - loading) / total,
                str(prepared.hardware),
            )
