"""Several processes that train one network together, over PyTorch's process groups: NCCL on GPUs, gloo on CPUs.

Every method is a collective: all processes call it, in the same order. Every process gets the same bits of a sum.

Shapes: W processes, N rows in all.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from time import sleep
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from tenfold.core import world as worlds
from tenfold.core.errors import ProcessLost, TenfoldError, TrainingError
from tenfold.core.world import World

_RENDEZVOUS_SECONDS = 300.0
"""How long a process waits for the others at the start."""

_COLLECTIVE_TIMEOUT = timedelta(hours=6)
"""How long processes wait for one that is busy alone, such as with preparing data. A dead one is noticed at once."""

_SECONDS_TO_SAY_WHY = 1.0
"""How long a process that has lost another one waits: the launcher ends all of them when the first one ends."""

_meetings = count()  # the store of a launcher outlives a meeting, and so do the addresses in it

_PEER_LOST = (
    *("closed by peer", "reset by peer", "connect timeout", "broken pipe"),  # gloo
    *("closed by remote peer", "ncclremoteerror", "remote process exit", "nccl communicator was aborted"),
)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """The processes that train one network together, as one of them sees them.

    Args:
        world: place of this process among them.
    """

    world: World = worlds.ALONE

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, prints and asks."""
        return self.world.is_main

    @property
    def is_several(self) -> bool:
        """Whether there are other processes."""
        return self.world.is_several

    def gather(self, tensor: Tensor) -> Tensor:
        """Returns the tensors of all processes, [W, …]; they have the same shape everywhere."""
        if not self.is_several:
            return tensor.detach()[None]
        gathered = tensor.new_empty(self.world.size, *tensor.shape)
        dist.all_gather(list(gathered), tensor.detach().contiguous())
        return gathered

    def gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Returns the rows of all processes in the order of their ranks, [N, …].

        Args:
            rows: of this process, [n, …].
            counts: number of rows of each process.
        """
        if not self.is_several:
            return rows
        padded = rows.new_zeros(max(1, *counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = self.gather(padded)
        return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])

    def sum(self, tensor: Tensor) -> None:
        """Adds up a tensor over all processes, in place."""
        if self.is_several:
            dist.all_reduce(tensor)

    def exchange(self, values: Sequence[float]) -> list[list[float]]:
        """Returns the numbers of every process, by rank. They pass through the hosts alone: no GPU is waited for."""
        found: list[list[float]] = self.gather(torch.tensor(values, dtype=torch.float64)).tolist()
        return found

    def gather_objects(self, value: Value) -> list[Value]:
        """Returns the values of every process, by rank."""
        if not self.is_several:
            return [value]
        values: list[Value | None] = [None] * self.world.size
        dist.all_gather_object(values, value)
        return cast(list[Value], values)

    def broadcast_object(self, value: Value) -> Value:
        """Returns the value of rank 0; what other processes pass is ignored."""
        if not self.is_several:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def from_main(self, function: Callable[[], Value]) -> Value:
        """Returns what a function returns on rank 0, which alone calls it.

        Raises:
            TenfoldError: the function's, on every process.
        """
        if not self.is_several:
            return function()
        found: Value | TenfoldError | None = None
        if self.is_main:
            try:
                found = function()
            except TenfoldError as error:
                found = error
        found = self.broadcast_object(found)
        if isinstance(found, TenfoldError):
            raise found.everywhere()
        return cast(Value, found)

    def broadcast_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Gives every process the tensors of rank 0, in place."""
        for tensor in tensors if self.is_several else ():
            values = tensor.detach().contiguous()
            dist.broadcast(values, src=0)
            tensor.detach().copy_(values)

    def check_same(self, **values: str) -> None:
        """Checks that all processes have the same values.

        Args:
            **values: by name, such as the fingerprint of the data; underscores in a name become spaces.

        Raises:
            TrainingError: when a process has another one than rank 0; the message names both.
        """
        by_rank = self.gather_objects(values)
        for name in values:
            for rank, theirs in enumerate(by_rank):
                if theirs[name] != by_rank[0][name]:
                    raise TrainingError(
                        f"the {name.replace('_', ' ')} of process {rank} is {theirs[name]}, that of process 0 "
                        f"{by_rank[0][name]}; expected the same in all {self.world.size} processes"
                    ).everywhere()


ALONE = Processes()
"""A process that trains without others: nothing is sent, nothing waits."""


@contextmanager
def joined(world: World, device: torch.device) -> Iterator[Processes]:
    """Joins the processes of `world` inside a `with` block. Alone, nothing happens.

    Args:
        world: place of this process.
        device: of the training.

    Raises:
        TrainingError: when the others cannot be reached in time.
        ProcessLost: when one of them ends before this one.
    """
    if not world.is_several:
        yield ALONE
        return
    _rendezvous(world, device)
    with _clear_loss_of_peers():
        try:
            yield Processes(world)
        finally:
            dist.destroy_process_group()


def _rendezvous(world: World, device: torch.device) -> None:
    """Connects the processes, from the environment that the launcher sets."""
    address = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
    meeting = f"tenfold/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(_meetings)}"
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, size = next(
            rendezvous("env://", world.rank, world.size, timeout=timedelta(seconds=_RENDEZVOUS_SECONDS))
        )
        dist.init_process_group(
            backend,
            store=PrefixStore(meeting, store),
            rank=rank,
            world_size=size,
            timeout=_COLLECTIVE_TIMEOUT,
        )
    except (dist.DistError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"process {world.rank} of {world.size} processes did not find the others at {address} "
            f"({str(error).splitlines()[0]}); check that the launcher runs on every machine and that this address can "
            "be reached from it"
        ) from error


@contextmanager
def _clear_loss_of_peers() -> Iterator[None]:
    """Turns the error of a connection that another process has closed into one line."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _PEER_LOST):
            raise
        if worlds.launch_id() is not None:
            sleep(_SECONDS_TO_SAY_WHY)
        raise ProcessLost("another process of this training has ended; its own message says why") from error
