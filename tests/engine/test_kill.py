"""The kill loop and the errno loop: a run killed or refused at any operation resumes to the same end."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from harness.disks import KillingDisk, RaisingDisk, in_child, installed, temporaries
from harness.runs import TINY, digests, noise_dataset, tiny_run
from tenfold.core import durable
from tenfold.core.errors import RunError, StorageError
from tenfold.optim.build import CombinedOptimizer
from tenfold.runs.checkpoint import load_checkpoint

torch.set_num_threads(1)

DATA = noise_dataset()
LONGER = ("train.duration=3 epochs",)
NEVER = 10**9


@pytest.fixture
def runs() -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves the same, and syncing costs nothing."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def begin_or_resume(runs: Path, changes: tuple[str, ...] = TINY) -> Path:
    """Starts or resumes the run; one that died before its recipe was written starts again."""
    if (runs / "run" / "recipe.toml").exists():
        return tiny_run(runs, data=DATA, resume=True, overrides=changes)
    shutil.rmtree(runs / "run", ignore_errors=True)
    return tiny_run(runs, data=DATA)


def killed_at(k: int, work: Callable[[], object], *, torn: bool) -> bool:
    """Does `work` in a child that is killed at its k-th disk operation; returns whether it finished."""

    def child(acknowledge: object) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        work()

    return in_child(child)[0]


def points(start: int, step: int, runs: Path, work: Callable[[], object], *, torn: bool) -> Iterator[int]:
    """Kills `work` at every `step`-th operation, in a new folder each time, until it finishes."""
    for k in count(start, step):
        shutil.rmtree(runs / "run", ignore_errors=True)
        if killed_at(k, work, torn=torn):
            return
        yield k


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the uninterrupted run."""
    return digests(tiny_run(tmp_path_factory.mktemp("whole"), data=DATA))


def test_no_kill_at_any_operation_changes_the_end(runs: Path, whole: dict[str, str]) -> None:
    killed = 0
    for k in points(1, 1, runs, lambda: begin_or_resume(runs), torn=False):
        assert digests(begin_or_resume(runs)) == whole, f"killed at operation {k}"
        assert not temporaries(runs), f"killed at operation {k}"
        killed = k
    disk = RaisingDisk(NEVER, errno.EIO, permanent=False)
    with installed(disk):
        tiny_run(runs, "counted", data=DATA)
    assert killed == disk.done >= 100, "every operation is a kill point"


def test_no_kill_changes_the_end_of_a_run_with_ema(runs: Path) -> None:
    settings = (*TINY, "optim.name=adam", "optim.ema=0.9")
    whole = digests(tiny_run(runs, "whole", data=DATA, overrides=settings))

    def begin() -> Path:
        return tiny_run(runs, data=DATA, overrides=settings)

    for k in points(16, 7, runs, begin, torn=True):
        resumable = (runs / "run" / "recipe.toml").exists() and any((runs / "run").glob("checkpoints/step-*"))
        if resumable:
            assert digests(tiny_run(runs, data=DATA, resume=True)) == whole, f"killed at operation {k}"
        assert resumable or k < 60, "so far into the run there is a checkpoint"


def test_no_torn_write_and_no_second_kill_changes_the_end(runs: Path, whole: dict[str, str]) -> None:
    for k in points(2, 3, runs, lambda: begin_or_resume(runs), torn=True):
        second = 1 + 7 * k % 61
        killed_at(second, lambda: begin_or_resume(runs), torn=True)
        assert digests(begin_or_resume(runs)) == whole, f"killed at operations {k} and {second}"
        assert not temporaries(runs), f"killed at operations {k} and {second}"


def test_a_kill_costs_at_most_one_checkpoint_interval(runs: Path) -> None:
    """No step before the newest checkpoint in the log is lost."""
    for k in points(40, 9, runs, lambda: begin_or_resume(runs), torn=True):
        announced = (runs / "run" / "log.jsonl").read_text().count('"event": "checkpoint"')
        assert load_checkpoint(runs / "run" / "checkpoints").step >= 2 * announced, f"killed at operation {k}"


def test_the_harness_catches_a_checkpoint_without_the_optimizer(
    runs: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CombinedOptimizer, "state_tensors", lambda self: {})
    assert digests_without(digests(tiny_run(runs, "uninterrupted", data=DATA)), "optimizer") == digests_without(
        whole, "optimizer"
    ), "the bug shows only after a resume"
    assert not killed_at(60, lambda: begin_or_resume(runs), torn=False)
    assert digests(begin_or_resume(runs))["last.safetensors"] != whole["last.safetensors"]


def digests_without(found: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in found.items() if key != name}


# Disk errors


ERRORS = [(number, permanent) for number in (errno.ENOSPC, errno.EIO, errno.EROFS) for permanent in (False, True)]


@pytest.mark.parametrize("stride", [len(ERRORS), pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("number", "permanent"), ERRORS)
def test_a_disk_error_is_one_line_and_loses_nothing(
    runs: Path, whole: dict[str, str], number: int, permanent: bool, stride: int
) -> None:
    first = 1 + ERRORS.index((number, permanent)) % stride  # the cases together cover every operation
    for k in count(first, stride):
        shutil.rmtree(runs / "run", ignore_errors=True)
        disk = RaisingDisk(k, number, permanent=permanent)
        with installed(disk):
            outcome = refused(lambda: begin_or_resume(runs))
        if disk.done < k:
            break
        assert outcome is None or "\n" not in str(outcome)
        assert outcome is not None or not permanent or number == errno.ENOSPC, f"refused at operation {k}"
        if any((runs / "run").glob("checkpoints/step-*")):
            load_checkpoint(runs / "run" / "checkpoints")
        assert digests(begin_or_resume(runs)) == whole, f"refused at operation {k}"
        assert not temporaries(runs), f"refused at operation {k}"


def refused(work: Callable[[], object]) -> StorageError | None:
    """Returns the TenfoldError that `work` raises, or None; any other error fails the test."""
    try:
        work()
    except StorageError as error:
        return error
    return None


def test_only_one_process_trains_a_run_at_a_time(runs: Path) -> None:
    from tenfold.runs.run_folder import RunFolder

    run = tiny_run(runs, data=DATA)
    with RunFolder.open(run).lock():

        def child(acknowledge: Callable[[str], None]) -> None:
            try:
                tiny_run(runs, data=DATA, resume=True, overrides=LONGER)
            except RunError as error:
                acknowledge("refused" if "another process" in str(error) else "wrong")

        assert in_child(child) == (True, ["refused"])


def test_a_killed_extension_resumes_to_its_new_end(runs: Path) -> None:
    expected = digests(tiny_run(runs, "planned", data=DATA, overrides=(*TINY, *LONGER)))
    finished = runs / "finished"
    shutil.copytree(tiny_run(runs, data=DATA), finished)

    def extend() -> Path:
        return begin_or_resume(runs, LONGER)

    for k in count(1, 3):
        shutil.rmtree(runs / "run")
        shutil.copytree(finished, runs / "run")
        if killed_at(k, extend, torn=bool(k % 2)):
            break
        assert digests(extend()) == expected, f"killed at operation {k}"
