"""One of the processes whose training steps `bench scale` times, and what it measures.

Shapes: W processes, B images in a batch of all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

from tenfold.core.clock import synchronize
from tenfold.core.devices import meeting_device
from tenfold.core.world import current_world
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.engine.distributed import Processes, joined
from tenfold.engine.precision import own_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import share_of, training_loader
from tenfold.engine.step_timing import endless, timed_step
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
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


def measure_process(recipe: Recipe, request: DataRequest, kind: Kind, seconds: float) -> ScalePoint:
    """Measures the steps of this process, one of several or the only one."""
    world = current_world()
    with joined(world, meeting_device(world)) as plain:
        hardware = own_hardware(recipe.train, plain)
        processes = CountedProcesses(world, hardware.device)
        dataset = build_dataset(request)
        with hardware.active():
            classifier = make_classifier(recipe, dataset, None)
            loader = training_loader(recipe, dataset, hardware, share_of(recipe, processes))
            prepared = timed_step(
                recipe, classifier.model, classifier.preprocessing, hardware, next(loader.epoch(0)), processes
            )
            batches = endless(loader)

            def spent(steps: int) -> float:
                """Returns the seconds of some steps, which all processes begin together."""
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
            steps = plain.broadcast_object(
                max(1, round(seconds / NUM_ROUNDS / (spent(_WARM_UP_STEPS) / _WARM_UP_STEPS)))
            )
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
