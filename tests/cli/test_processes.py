"""`tenfold train --processes 2` as users start it: killed, started again, stopped, resumed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.command_line import environment

EPOCHS = 30
SETTINGS = ("--recipe", "mlp", "--batch-size", "50", "--set", "train.execution=eager", "--set", "train.threads=1")

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds child processes in /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with 240 images in two classes, whose training takes milliseconds a step."""
    path = tmp_path_factory.mktemp("processes")
    random = np.random.default_rng(0)
    labels = np.arange(240) % 2
    images = random.integers(0, 200, (240, 8, 8, 3)) + 55 * labels[:, None, None, None]
    arrays = {"images": images.astype(np.uint8), "labels": labels}
    parts = {"train": slice(200), "test": slice(200, None)}
    np.savez(
        path / "d.npz",
        **{f"{part}_{name}": each[rows] for part, rows in parts.items() for name, each in arrays.items()},
    )
    return path


class Started:
    """A training in two processes that has just started.

    Args:
        folder: to start in.
        options: of `tenfold train`.
        launcher: what Python runs before them.
    """

    def __init__(self, folder: Path, *options: str, launcher: tuple[str, ...] = ("-m", "tenfold")) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *launcher, "train", "--no-report", *options],
            cwd=folder,
            env=environment({"OMP_NUM_THREADS": "1"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def workers(self) -> dict[int, int]:
        """Returns the process ids by rank, once there are two that run Python."""
        found: dict[int, int] = {}
        while len(found) < 2:
            for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    if match := re.search(rb"\0RANK=(\d+)\0", Path(f"/proc/{pid}/environ").read_bytes()):
                        found[int(match[1])] = int(pid)
        return found

    def wait_for_steps(self, run: Path) -> None:
        """Waits until training has saved a checkpoint more than there are now."""
        before = names(run)
        while not names(run) - before:
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        """Returns the exit code and the output."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output


def names(run: Path) -> set[str]:
    return {path.name for path in run.glob("checkpoints/step-*")}


def weights(run: Path) -> bytes:
    """Returns what the checkpoint at the end of training holds."""
    newest = run / "checkpoints" / max(names(run))
    return b"".join((newest / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors"))


def test_killed_stopped_and_resumed_processes_end_with_the_bits_of_undisturbed_ones(folder: Path) -> None:
    new = ("d.npz", *SETTINGS, "--epochs", str(EPOCHS), "--processes", "2")
    undisturbed, run = folder / "runs" / "undisturbed", folder / "runs" / "disturbed"
    code, output = Started(folder, *new, "--name", "undisturbed").end()
    assert code == 0, output
    assert output.count("processes: 2, each with 25 images of a batch of 50\n") == 1
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
    assert re.search(r"^tenfold: stopped at step \d+ and saved; resume with: ", output.splitlines()[-1])

    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tenfold")
    code, output = Started(folder, "--resume", "runs/disturbed", launcher=torchrun).end()
    assert code == 0, output
    assert weights(run) == weights(undisturbed)
