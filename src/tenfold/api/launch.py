"""Starts the processes of one training with PyTorch's elastic launcher, the one behind `torchrun`."""

import os
import shlex
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tenfold.core.disk import display_path
from tenfold.core.errors import DeviceError, ProcessLost, TrainingError
from tenfold.core.world import LAUNCH_ID, Launch


def launch(
    arguments: Sequence[str], wanted: Launch, report: Callable[[str], None], *, run: Path | None, runs: Path
) -> int:
    """Runs a command of `tenfold` in several processes that train together, and waits for them.

    Args:
        arguments: the words after `tenfold`.
        wanted: see `Launch`.
        report: see `run_agent`.
        run: that is resumed.
        runs: folder of run folders, where a new run is.

    Returns:
        The exit code: 0, that of the process that failed, 130 after SIGINT, 143 after SIGTERM.

    Raises:
        DeviceError: when there is to be one process per GPU, and there is no GPU.
        TrainingError: when a process was killed, with the command that goes on, or the other machines cannot be
            reached in time, or the port of `wanted` is in use.
    """
    identity = os.environ[LAUNCH_ID] = uuid.uuid4().hex
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a connection that ends is reported in a line of our own

    from tenfold.api.launch_agent import run_agent  # torch takes a second
    from tenfold.core.devices import num_cores

    count = _count(wanted)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cores() // count)))
    try:
        return run_agent(("-m", "tenfold", *arguments), wanted, count, report)
    except ProcessLost as error:
        from tenfold.runs.launched import launched_run

        run = run or launched_run(runs, identity)
        again = f"; go on with: {_command(run, wanted)}" if run is not None else ""
        raise TrainingError(f"{error}, which ended the others{again}") from error


def _command(run: Path, wanted: Launch) -> str:
    words = ["tenfold", "train", "--resume", display_path(run), "--processes", str(wanted.processes)]
    if wanted.nodes > 1:
        words += ["--nodes", str(wanted.nodes), "--node-rank", str(wanted.node_rank)]
        words += ["--rendezvous", wanted.rendezvous]
    return shlex.join(words)


def _count(wanted: Launch) -> int:
    """Returns the number of processes on this machine."""
    if wanted.processes != "gpu":
        return wanted.processes
    import torch

    if not (count := torch.cuda.device_count()):
        raise DeviceError("--processes gpu starts one process per GPU, and PyTorch finds no GPU; give a number instead")
    return count
