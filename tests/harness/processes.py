"""Trainings in two processes as users start them."""

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from harness.command_line import environment

SETTINGS = ("--recipe", "mlp", "--batch-size", "50", "--set", "train.execution=eager", "--set", "train.threads=1")
SETTINGS += ("--set", "train.reduce=flat")  # what is measured may differ between runs, and rounds differently
"""A training of four steps an epoch, milliseconds each, on `d.npz`."""


def write_images(folder: Path) -> Path:
    """Writes 200 training and 40 test images in two classes to `d.npz` in a folder, which it returns."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % 2
    images = random.integers(0, 200, (240, 8, 8, 3)) + 55 * labels[:, None, None, None]
    arrays = {"images": images.astype(np.uint8), "labels": labels}
    parts = {"train": slice(200), "test": slice(200, None)}
    named = {f"{part}_{name}": each[rows] for part, rows in parts.items() for name, each in arrays.items()}
    np.savez(folder / "d.npz", **named)
    return folder


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
        """Returns the process ids by rank, once there are two that run Python; fewer if the training ends before."""
        found: dict[int, int] = {}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while len(found) < 2 and self.process.poll() is None:
            time.sleep(0.01)
            for pid in children.read_text().split():
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
