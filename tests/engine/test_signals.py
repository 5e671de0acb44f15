import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tenfold
from harness.command_line import environment, run_tenfold
from harness.disks import in_child, temporaries
from harness.images import class_tree
from harness.runs import TINY, DropoutNet, digest_of, digests, noise_dataset, tiny_run, without_plots
from tenfold.core.errors import Terminated, TrainingError
from tenfold.engine.signals import StopRequest
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.model_file import load_model

torch.set_num_threads(1)

SETTINGS = (
    "model.hidden=[4]",
    "train.duration=80 steps",
    "train.checkpoint_every=1 step",
    "train.threads=1",
    "train.device=cpu",
    "train.batch_size=4",
)
OWN = tuple(line for line in TINY if not line.startswith("model"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tiny images in two class folders."""
    root = tmp_path_factory.mktemp("signals")
    class_tree(root / "images", {"train/cat": 15, "train/dog": 15, "test/cat": 5, "test/dog": 5})
    return root


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, str]:
    """The digests of the uninterrupted run."""
    with pytest.MonkeyPatch.context() as patched, without_plots():
        patched.setenv("TENFOLD_CACHE", str(folder / "cache"))
        run = tenfold.train("mlp", data=folder / "images", overrides=SETTINGS, runs=folder / "runs", name="whole")
    return digests(run.path)


def command(folder: Path, name: str, *more: str) -> list[str]:
    settings = [word for line in SETTINGS for word in ("--set", line)]
    return ["train", "-r", "mlp", "-d", str(folder / "images"), *settings, "--name", name, *more]


def interrupted(folder: Path, name: str, number: int) -> tuple[int, str]:
    """Runs the command in a process that gets a signal after its 30th step; returns exit code and standard error."""
    script = (
        "from harness.runs import StopAfter; from tenfold.cli.main import run\n"
        f"with StopAfter(30).installed({number}): run()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *command(folder, name)],
        cwd=folder,
        env=environment({"TENFOLD_CACHE": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}),
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_resume(
    folder: Path, whole: dict[str, str], number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"run-{code}"
    returned, errors = interrupted(folder, name, number)
    assert returned == code, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("tenfold: stopped at step ")
    assert last.endswith(f"and saved; resume with: tenfold train --resume runs/{name}")
    assert "Traceback" not in errors
    assert load_checkpoint(folder / "runs" / name / "checkpoints").step == 30
    assert not temporaries(folder / "runs")
    monkeypatch.setenv("TENFOLD_CACHE", str(folder / "cache"))
    with without_plots():
        tenfold.train(resume=folder / "runs" / name)
    assert digests(folder / "runs" / name) == whole


def test_a_loss_that_is_not_finite_is_one_line_that_names_step_and_epoch(folder: Path) -> None:
    result = run_tenfold(
        *command(folder, "nan", "--lr", "1e30"), cwd=folder, env={"TENFOLD_CACHE": str(folder / "cache")}
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("tenfold: error: the loss is not finite at step ")
    assert "(epoch 1)" in last
    assert "go on with a lower learning rate than 1e+30: tenfold train --resume " in last
    assert not (folder / "runs" / "nan" / "last.safetensors").exists()


def test_the_second_signal_ends_the_process_at_once() -> None:
    def twice(acknowledge: Callable[[str], None]) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            acknowledge("noted" if stop.received == signal.SIGINT else "missed")
            os.kill(os.getpid(), signal.SIGINT)
            acknowledge("still alive")

    assert in_child(twice) == (False, ["noted"])


def test_a_stop_request_restores_the_previous_handlers() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert signal.getsignal(signal.SIGINT) != before[0]
        os.kill(os.getpid(), signal.SIGTERM)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert isinstance(stop.error("over"), Terminated)


def test_outside_the_main_thread_no_handler_changes(tmp_path: Path) -> None:
    ended: list[Path] = []
    thread = threading.Thread(target=lambda: ended.append(tiny_run(tmp_path)))
    thread.start()
    thread.join()
    assert ended == [tmp_path / "run"]


# Errors inside a run


class Failing(DropoutNet):
    """A user's own network that fails at its k-th batch."""

    def __init__(self, error: Exception, k: int) -> None:
        super().__init__()
        self.error, self.left = error, k

    def forward(self, images: Tensor) -> Tensor:
        self.left -= self.training
        if self.left == 0:
            raise self.error
        return super().forward(images)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_out_of_memory_is_one_line_that_suggests_a_batch_size(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(
        TrainingError,
        match=r"^out of memory on cpu with batches of 4 at step 6; the last checkpoint in .*run is intact; "
        r"try --batch-size 2$",
    ):
        tiny_run(tmp_path, overrides=OWN, model=Failing(error, 6))
    assert load_checkpoint(tmp_path / "run" / "checkpoints").step == 4
    resumed = tiny_run(tmp_path, resume=True, model=DropoutNet())
    assert digests(resumed) == digests(tiny_run(tmp_path, "whole", overrides=OWN, model=DropoutNet()))


def test_before_the_first_checkpoint_none_is_called_intact(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at step 1; no checkpoint has been saved yet; try"):
        tiny_run(tmp_path, overrides=OWN, model=Failing(MemoryError(), 1))


def test_an_error_of_a_users_network_passes_through(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_run(tmp_path, overrides=OWN, model=Failing(RuntimeError("shapes cannot be multiplied"), 3))


def test_a_loss_that_is_not_finite_never_replaces_the_best(tmp_path: Path) -> None:
    class Diverging(DropoutNet):
        left = 6

        def forward(self, images: Tensor) -> Tensor:
            self.left -= self.training
            return super().forward(images) * (torch.nan if self.left <= 0 else 1.0)

    with pytest.raises(TrainingError, match=r"not finite at step 6 \(epoch 2\), .*lower learning rate"):
        tiny_run(tmp_path, overrides=OWN, model=Diverging())
    epoch = tiny_run(tmp_path, "epoch", overrides=(*OWN, "train.duration=1 epoch"), model=DropoutNet())
    kept, expected = (load_model(folder / "best.safetensors")[0] for folder in (tmp_path / "run", epoch))
    assert digest_of(kept) == digest_of(expected)


@pytest.mark.parametrize("val", [0, 6])
def test_weights_that_overflow_at_the_last_step_are_not_saved(tmp_path: Path, val: int) -> None:
    settings = (*TINY, "train.duration=1 step", "optim.lr=1e300")
    with pytest.raises(TrainingError, match=r"not finite at step 1 \(epoch 1\).*go on with a lower learning rate than"):
        tiny_run(tmp_path, data=noise_dataset(val=val), overrides=settings)
    assert not list((tmp_path / "run").glob("*.safetensors"))
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))


def test_a_network_without_trainable_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tenfold.TenfoldError, match="no trainable weights"):
        tiny_run(tmp_path, overrides=OWN, model=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_a_network_with_a_wrong_number_of_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tenfold.TenfoldError, match=r"Flatten returned \[2, 192\] for 2 images; expected \[2, 3\]"):
        tiny_run(tmp_path, overrides=OWN, model=nn.Flatten())
