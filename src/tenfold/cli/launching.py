"""The options of a training in several processes, and its start."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tenfold.cli.options import option
from tenfold.core.errors import ProcessLost, Stopped, UsageError
from tenfold.core.world import LAUNCH_ID, Launch, current_world, launch_id

ProcessesOption = Annotated[
    str | None,
    option(
        "--processes",
        metavar="N|gpu",
        help_text="Processes that train together, gpu for one per GPU; each takes its share of every batch",
        default="this one",
    ),
]
MaxRestartsOption = Annotated[
    int | None,
    option(
        "--max-restarts",
        metavar="N",
        help_text="How often the processes go on from the last checkpoint after one was killed",
        default=0,
        min=0,
    ),
]
NodesOption = Annotated[
    int | None,
    option("--nodes", metavar="N", help_text="Machines that train together, each with --processes", default=1, min=1),
]
NodeRankOption = Annotated[
    int | None,
    option("--node-rank", metavar="N", help_text="Number of this machine, from 0, which has the run folder", min=0),
]
RendezvousOption = Annotated[
    str | None,
    option("--rendezvous", metavar="HOST:PORT", help_text="Address of machine 0 and a free port there, same on all"),
]


def wanted_launch(
    processes: str | None,
    max_restarts: int | None,
    nodes: int | None,
    node_rank: int | None,
    rendezvous: str | None,
    **single: object,
) -> Launch | None:
    """Returns what the options ask to start; None in a process that has been started so, and without `--processes`.

    Args:
        processes: `--processes`.
        max_restarts: `--max-restarts`.
        nodes: `--nodes`.
        node_rank: `--node-rank`.
        rendezvous: `--rendezvous`.
        **single: values of options that make no sense in several processes, by name.

    Raises:
        UsageError: when the options do not go together.
    """
    about = {"--max-restarts": max_restarts, "--nodes": nodes, "--node-rank": node_rank, "--rendezvous": rendezvous}
    given = [name for name, value in about.items() if value is not None]
    if processes is None:
        if given:
            raise UsageError(f"{given[0]} was given without --processes; expected --processes N, or gpu")
        return None
    if processes != "gpu" and not (processes.isdecimal() and int(processes)):
        raise UsageError(f"--processes is '{processes}'; expected a number from 1, or gpu for one per GPU")
    for name, value in single.items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"--processes and {flag} were both given; {flag} is for one process: leave one of them out"
            )
    if launch_id() is not None:
        _check_started(processes)
        return None
    _check_nodes(nodes or 1, node_rank, rendezvous)

    return Launch(
        "gpu" if processes == "gpu" else int(processes), max_restarts or 0, nodes or 1, node_rank or 0, rendezvous or ""
    )


def start(wanted: Launch, run: Path | None, runs: Path) -> NoReturn:
    """Runs this command in several processes and exits with their exit code."""
    from tenfold.api.launch import launch
    from tenfold.cli.output import note

    raise typer.Exit(launch(sys.argv[1:], wanted, lambda line: note(f"tenfold: {line}"), run=run, runs=runs))


def is_follower() -> bool:
    """Returns whether another process of this training prints what there is to say."""
    return not current_world().is_main


def prefix_of(error: Exception) -> str | None:
    """Returns what stands before the message of an error; None if another process prints it.

    Of several processes, the first on each machine prints what ends all of them, rank 0 alone how they were stopped,
    and each what is wrong with itself alone.
    """
    prefix = "" if isinstance(error, Stopped) else "error: "
    try:
        world = current_world()
    except UsageError:
        return prefix
    if isinstance(error, ProcessLost) and LAUNCH_ID in os.environ:
        return None  # the command that has started these processes names the lost one
    if world.is_main:
        return prefix
    is_everywhere = getattr(error, "is_everywhere", False)
    is_repeated = world.local_rank > 0 and (is_everywhere or isinstance(error, UsageError))
    if is_repeated or isinstance(error, Stopped | ProcessLost):
        return None
    if is_everywhere:
        return prefix
    return f"{prefix}process {world.rank}: "


def refuse_in_several(command: str) -> None:
    """Raises UsageError if a launcher has started several processes of a command that each would do as a whole."""
    world = current_world()
    if world.is_several:
        raise UsageError(
            f"{world.size} processes were started of 'tenfold {command}'; only train shares its work: start one"
        )


def _check_started(processes: str) -> None:
    """Raises UsageError if another launcher has started another number of processes."""
    world = current_world()
    if processes not in ("gpu", str(world.local_size)):
        raise UsageError(
            f"torchrun has started {world.local_size} processes on this machine and --processes is {processes}; "
            "leave --processes out"
        )


def _check_nodes(nodes: int, node_rank: int | None, rendezvous: str | None) -> None:
    """Raises UsageError if several machines cannot meet, or one machine is to."""
    if nodes == 1:
        for flag, value in (("--node-rank", node_rank), ("--rendezvous", rendezvous)):
            if value is not None:
                raise UsageError(
                    f"{flag} {value} was given without --nodes; expected --nodes N from 2, or leave it out"
                )
        return
    if node_rank is None or node_rank >= nodes:
        found = "is missing" if node_rank is None else f"is {node_rank}"
        raise UsageError(f"--node-rank {found}; expected a number from 0 to {nodes - 1}, another one on each machine")
    host, _, port = (rendezvous or "").rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        found = "is missing" if rendezvous is None else f"is '{rendezvous}'"
        raise UsageError(f"--rendezvous {found}; expected HOST:PORT, the address of machine 0 and a free port there")
