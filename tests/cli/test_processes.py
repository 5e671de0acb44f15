"""`tenfold train --processes 2` as users start it: killed, started again, stopped, resumed."""

import os
import re
import signal
from pathlib import Path

import pytest

from harness.processes import SETTINGS, Started, weights, write_images

EPOCHS = 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds child processes in /proc")


def test_killed_stopped_and_resumed_processes_end_with_the_bits_of_undisturbed_ones(tmp_path: Path) -> None:
    folder = write_images(tmp_path)
    new = ("d.npz", *SETTINGS, "--epochs", str(EPOCHS), "--processes", "2")
    undisturbed, run = folder / "runs" / "undisturbed", folder / "runs" / "disturbed"
    code, output = Started(folder, *new, "--name", "undisturbed").end()
    assert code == 0, output
    assert output.count("processes: 2, each trains 25 of the 50 images of a batch") == 1
    assert output.count("everything is in runs/undisturbed") == 1

    # Killed twice: the first time all start again, the second time all end.
    started = Started(folder, *new, "--name", "disturbed", "--max-restarts", "1")
    for _ in range(2):
        started.wait_for_steps(run)
        workers = started.workers()
        os.kill(workers[1], signal.SIGKILL)
    code, output = started.end()
    assert code == 1, output
    assert [line for line in output.splitlines() if line.startswith(("tenfold: ", "resuming"))] == [
        "tenfold: process 1 was killed by SIGKILL; starting again from the last checkpoint (1 of 1)",
        next(line for line in output.splitlines() if line.startswith("resuming from step ")),
        "tenfold: error: process 1 was killed by SIGKILL, which ended the others; "
        "go on with: tenfold train --resume runs/disturbed --processes 2",
    ]
    assert "Traceback" not in output
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers.values())

    # Stopped: SLURM sends the signal to each process, and the launcher passes it on once more.
    started = Started(folder, "--resume", "runs/disturbed", "--processes", "2")
    started.wait_for_steps(run)
    for pid in (*started.workers().values(), started.process.pid):
        os.kill(pid, signal.SIGTERM)
    code, output = started.end()
    assert code == 143, output
    assert output.count("tenfold: ") == 1
    way_on = r"tenfold train --resume runs/disturbed --processes 2"
    assert re.search(rf"^tenfold: stopped at step \d+ and saved; resume with: {way_on}$", output.splitlines()[-1])

    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tenfold")
    code, output = Started(folder, "--resume", "runs/disturbed", launcher=torchrun).end()
    assert code == 0, output
    assert weights(run) == weights(undisturbed)
