"""The processes that train one network together, as PyTorch's elastic launcher (`torchrun`) describes them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tenfold.core.errors import UsageError

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_LAUNCHERS = ("TORCHELASTIC_", "TENFOLD_LAUNCH")
"""Starts of the names of the launchers' own variables, such as the number of restarts."""

LAUNCH_ID = "TENFOLD_LAUNCH_ID"
"""The variable that `tenfold train --processes` sets in the processes that it starts."""


@dataclass(frozen=True)
class World:
    """The place of this process among those that train one network together.

    Args:
        rank: index of this process, in [0, size).
        size: number of processes on all machines.
        local_rank: index of this process on its machine, in [0, local_size); also that of its GPU.
        local_size: number of processes on this machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, prints and asks: rank 0."""
        return self.rank == 0

    @property
    def is_several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1


ALONE = World(rank=0, size=1, local_rank=0, local_size=1)
"""A process that trains without others."""


def current_world(environment: Mapping[str, str] | None = None) -> World:
    """Returns the place of this process among others, or `ALONE` without a launcher.

    Args:
        environment: variables that a launcher sets; those of this process by default. Without LOCAL_RANK and
            LOCAL_WORLD_SIZE, each machine has one process.

    Raises:
        UsageError: when a variable is missing or makes no sense.

    Example:
        >>> current_world({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
        World(rank=3, size=4, local_rank=1, local_size=2)
    """
    environment = os.environ if environment is None else environment
    size = _number(environment, "WORLD_SIZE", "1")
    if size <= 1:
        return ALONE
    local_size = _number(environment, "LOCAL_WORLD_SIZE", "1")
    world = World(_number(environment, "RANK"), size, _number(environment, "LOCAL_RANK", "0"), local_size)
    if world.rank >= size or world.local_rank >= local_size or local_size > size:
        found = ", ".join(f"{name}={environment[name]}" for name in _VARIABLES if name in environment)
        raise UsageError(
            f"the environment says {found}; expected RANK below WORLD_SIZE and LOCAL_RANK below LOCAL_WORLD_SIZE, "
            "as torchrun sets them"
        )
    return world


@dataclass(frozen=True)
class Launch:
    """How many processes train together, and where.

    Args:
        processes: number on this machine; `gpu` is one for each of its GPUs.
        max_restarts: how often all processes are started again, from the last checkpoint, after one was killed.
        nodes: number of machines.
        node_rank: index of this machine, in [0, nodes).
        rendezvous: `HOST:PORT` of the first machine; only for several machines.
    """

    processes: int | Literal["gpu"]
    max_restarts: int = 0
    nodes: int = 1
    node_rank: int = 0
    rendezvous: str = ""


def launch_id(environment: Mapping[str, str] | None = None) -> str | None:
    """Returns what all processes of one launch have in common, also after a restart; None without a launcher."""
    environment = os.environ if environment is None else environment
    elastic = environment.get("TORCHELASTIC_RUN_ID")
    if elastic is not None:  # may be used again, or be torchrun's default: its process tells launches apart
        elastic = f"{elastic}, process {os.getppid()}"
    return environment.get(LAUNCH_ID, elastic)


_num_trainings = 0


def count_training() -> None:
    """Counts a training of this process, which may be one of several in a script."""
    global _num_trainings
    _num_trainings += 1


def training_number() -> int:
    """Returns how many trainings this process has begun: after a restart, the same number stands for the same one."""
    return _num_trainings


def is_restarted(environment: Mapping[str, str] | None = None) -> bool:
    """Returns whether the launcher has started these processes again, after one was killed."""
    environment = os.environ if environment is None else environment
    return environment.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def without_world(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment of a child that is no part of this process's world, such as a benchmark's run.

    Args:
        environment: of the parent; that of this process by default.
    """
    environment = os.environ if environment is None else environment
    return {
        name: value for name, value in environment.items() if name not in _VARIABLES and not name.startswith(_LAUNCHERS)
    }


def leave_world() -> None:
    """Takes this process, which has just been spawned, out of the world that it inherited from its parent."""
    kept = without_world()
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]


def _number(environment: Mapping[str, str], name: str, default: str | None = None) -> int:
    text = environment.get(name, default)
    if text is None or not text.isdecimal():
        found = "is missing" if text is None else f"is '{text}'"
        raise UsageError(f"the environment variable {name} {found}; expected a whole number, as torchrun sets it")
    return int(text)
