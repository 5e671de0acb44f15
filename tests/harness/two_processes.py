"""Two processes that go through all scenarios of `tests/engine/test_two_processes.py`, started once for all of them.

Run as a program, with torchrun's variables and the folder for runs and results as its argument.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.curves import shapes
from harness.runs import DropoutNet, StopAfter, noise_dataset
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import SilentProgress
from tenfold.core.world import current_world
from tenfold.data.types import Dataset
from tenfold.engine.dealt import DealtClassifier
from tenfold.engine.distributed import ALONE, Processes, joined
from tenfold.engine.gradient_sums import FlatSums
from tenfold.engine.run import make_classifier, run
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.run_folder import RunFolder

Settings = dict[str, Any]
BASE: Settings = {
    "train.device": "cpu",
    "train.threads": 1,
    "train.precision": "float32",
    "train.execution": "eager",
    "train.log_every": 1,
    "train.min_steps": 1,
    "train.duration": "2 epochs",
    "train.reduce": "flat",
}
QUICK: Settings = {"model.widths": [8, 8], "train.batch_size": 13}
SLOW = {"optim.lr": 0.01, "optim.muon_lr": 0.01, "optim.warmup": 0.0}
RUNS: dict[str, Settings] = {
    "plain": {**QUICK, "optim.name": "sgd", "optim.lr": 0.003, "train.duration": "30 steps"},
    "mixed": {
        **QUICK,
        **SLOW,
        "train.micro_batch": 5,
        "train.reduce": "ddp",
        "optim.clip_norm": 0.5,
        "data.augment.mixup": 0.4,
        "optim.ema": 0.9,
        "optim.class_weights": "sqrt",
    },
    "pruned": {**QUICK, **SLOW, "data.pruning": 0.4, "train.duration": "4 epochs"},
    "local": {
        **QUICK,
        "train.batch_size": 9,
        "train.drop_last": False,
        "train.batch_norm": "local",
        "train.reduce": "auto",
    },
    "one by one": {**QUICK, **SLOW, "train.batch_size": 1, "train.duration": "5 steps"},
    "float64": {"optim.name": "sgd", "optim.lr": 0.05, "train.batch_size": 13, "train.duration": "100 steps"},
    "dropout": {"train.batch_size": 5, "optim.label_smoothing": 0.1},
    "not finite": {"train.batch_size": 4},
    "unused": {"train.batch_size": 4, "train.reduce": "ddp"},
    "head": {"train.layers": "head", "train.batch_size": 5, "optim.lr": 0.1},
}


class Float64Net(nn.Module):
    """A network with two kinds of batch norm that computes in float64."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 6, 3, stride=4),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(384, 12),
                nn.BatchNorm1d(12, momentum=None, affine=False),
                nn.Tanh(),
                nn.Linear(12, 10),
            ).double()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images.double())
        return logits


class PoisonNet(nn.Module):
    """A linear network whose logits are not finite on the last process, from the third training step on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps = nn.Linear(3 * 8 * 8, 3), 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        poison = torch.inf if self.steps > 2 and os.environ.get("RANK") == "1" and self.training else 0.0
        logits: Tensor = self.layer(images.flatten(1)) + poison
        return logits


class UnusedNet(nn.Module):
    """A linear network with a weight that has no part in its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(3 * 8 * 8, 3), nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


NETWORKS = {"float64": Float64Net, "dropout": DropoutNet, "not finite": PoisonNet, "unused": UnusedNet}


def train(name: str, folder: Path, processes: Processes = ALONE, *, resume: bool = False) -> dict[str, Any]:
    """Trains a scenario, or resumes it, and returns its summary."""
    network = NETWORKS.get(name)
    is_small = name in ("dropout", "not finite", "unused", "head")
    recipe = resolve(load_recipe("mlp" if is_small or network else "quick"), {**BASE, **RUNS[name]})
    runs = RunFolder(folder / (name if processes.is_main else f"{name} of process {processes.world.rank}"))
    if processes.is_main and not resume:
        runs.path.mkdir(parents=True)
        runs.recipe.write_text(to_toml(recipe))
    checkpoint = processes.from_main(lambda: load_checkpoint(folder / name / "checkpoints")) if resume else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = None if network is None else network()
    data = dataset(small=is_small)
    return run(recipe, data, runs, SilentProgress(), model=model, checkpoint=checkpoint, processes=processes)


def dataset(*, small: bool = False) -> Dataset:
    """Returns 64 images to train on, 19 to validate; numbers that no batch and no two processes divide."""
    if small:
        return noise_dataset(train=19, val=7)
    return replace(shapes(), val=shapes().test.subset(torch.arange(19).numpy()))


def error_of(function: Callable[[], object]) -> str:
    """Returns the class and message of the error that a function ends with."""
    try:
        function()
    except TenfoldError as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def stopped_by_one(folder: Path, processes: Processes) -> list[str]:
    """Stops a run by a signal to one process, resumes it, and returns both errors."""
    whole = error_of(lambda: train("dropout", folder / "whole", processes))
    by_signal = StopAfter(6).installed(signal.SIGTERM) if not processes.is_main else nullcontext()
    with by_signal:
        stopped = error_of(lambda: train("dropout", folder, processes))
    return [whole, stopped, error_of(lambda: train("dropout", folder, processes, resume=True))]


def evaluated(processes: Processes) -> dict[str, bool]:
    """Returns for numbers of images whether their logits have the bits of one process."""
    recipe: Recipe = resolve(load_recipe("quick"), {**BASE, **QUICK})
    data = dataset()
    alone = make_classifier(recipe, data, None)
    dealt = DealtClassifier.of(replace(alone, batch_size=5), processes)
    alone = replace(alone, batch_size=5)
    return {
        str(count): all(map(torch.equal, dealt.tta_logits(images), alone.tta_logits(images)))
        for count in (1, 5, 6, 32)
        for images in [data.test.images[:count]]
    }


def gradients(processes: Processes) -> list[list[Any]]:
    """Returns the summed gradients of three weights in two steps; in the second, rank 0 alone has one of `second`."""
    weights = first, second, _ = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    sums, found = FlatSums(weights, processes), []
    for step in range(2):
        first.grad = torch.ones(2)
        second.grad = torch.ones(2) if step == 0 or processes.is_main else None
        sums(torch.tensor(1.0))
        found.append([weight.grad if weight.grad is None else weight.grad.tolist() for weight in weights])
    return found


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(current_world(), torch.device("cpu")) as processes:
        rank = processes.world.rank
        others = [name for name in RUNS if name != "dropout"]
        found = {
            "errors": {name: error_of(partial(train, name, folder, processes)) for name in others},
            "stopped": stopped_by_one(folder, processes),
            "evaluated": evaluated(processes),
            "gradients": gradients(processes),
            "different": error_of(lambda: processes.check_same(data=f"data-{rank}", recipe="same")),
        }
        (folder / f"found-{rank}.json").write_text(json.dumps(found))


def start_two(folder: Path) -> list[dict[str, Any]]:
    """Starts both processes and returns what each of them found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "harness.two_processes", str(folder)],
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        messages = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(messages)
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(2)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
