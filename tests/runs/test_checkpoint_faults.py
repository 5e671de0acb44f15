import errno
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from harness.disks import (
    ForgetfulDisk,
    KillingDisk,
    RaisingDisk,
    RecordingDisk,
    in_child,
    installed,
    leftovers,
)
from harness.power import State, materialise, power_losses, without
from tenfold.core import durable
from tenfold.core.errors import RunError, StorageError
from tenfold.runs.checkpoint import load_checkpoint, save_checkpoint

torch.set_num_threads(1)


def save(folder: Path, step: int) -> Path:
    tensors = {"model": {"weight": torch.full((3, 2), float(step))}, "optimizer": {"momentum": torch.arange(4)}}
    return save_checkpoint(folder, step, tensors, {"seconds": step / 7})


def loads(folder: Path, at_least: int) -> bool:
    """Whether a checkpoint loads, is consistent, and is no older than `at_least`."""
    try:
        checkpoint = load_checkpoint(folder)
    except RunError:
        return at_least == 0
    weight = checkpoint.tensors["model"]["weight"]
    whole = bool((weight == checkpoint.step).all()) and checkpoint.state == {"seconds": checkpoint.step / 7}
    return whole and checkpoint.step >= at_least


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A kill at any moment


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_any_operation_costs_no_acknowledged_checkpoint(tmp_path: Path, torn: bool) -> None:
    def work(folder: Path, k: int, acknowledge: Callable[[str], None]) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        for step in (5, 10, 15):
            save(folder, step)
            acknowledge(str(step))

    for k in count(1):
        folder = tmp_path / str(k)
        finished, acknowledged = in_child(lambda acknowledge, folder=folder, k=k: work(folder, k, acknowledge))
        assert loads(folder, int(acknowledged[-1]) if acknowledged else 0)
        durable.remove_leftovers(folder)
        assert not leftovers(folder)
        save(folder, 20)
        assert loads(folder, 20)
        assert len(names(folder)) <= 2
        if finished:
            break
    assert k > 30


# A disk that refuses


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("torn", [False, True])
def test_a_refusal_at_any_operation_is_one_line_and_costs_no_checkpoint(
    tmp_path: Path, number: int, for_good: bool, torn: bool
) -> None:
    for k in count(1):
        folder = tmp_path / str(k)
        save(folder, 5)
        save(folder, 10)
        disk = RaisingDisk(k, number, for_good=for_good, torn=torn)
        failed = ""
        with installed(disk):
            try:
                save(folder, 15)
            except StorageError as error:
                failed = str(error)
        assert "\n" not in failed
        assert loads(folder, 10 if failed else 15)
        if for_good and number != errno.ENOSPC:
            durable.remove_leftovers(folder)  # nothing can be removed from such a disk itself
        assert not leftovers(folder)
        if disk.done < k:
            break
    assert k > 9


# A power loss


def record(root: Path, disk: RecordingDisk, steps: tuple[int, ...] = (5, 10, 15)) -> None:
    root.mkdir()
    with installed(disk):
        for step in steps:
            save(root / "checkpoints", step)
            disk.acknowledge(str(step))


def survives(state: State, acknowledged: list[str], folder: Path) -> bool:
    materialise(state, folder)
    return loads(folder / "checkpoints", int(acknowledged[-1]) if acknowledged else 0)


def test_a_power_loss_costs_no_acknowledged_checkpoint(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk)
    states = 0
    for state, acknowledged in power_losses(disk.operations, limit=20):
        assert survives(state, acknowledged, tmp_path / "after"), sorted(state)
        states += 1
    assert states > 300


def test_forgetting_to_sync_is_noticed(tmp_path: Path) -> None:
    disk = ForgetfulDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk)
    assert not all(survives(*loss, tmp_path / "after") for loss in power_losses(disk.operations))


def test_forgetting_any_one_sync_is_noticed(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk, steps=(5, 10))
    syncs = [index for index, operation in enumerate(disk.operations) if operation.kind in ("sync", "sync_folder")]
    assert len(syncs) == 13  # three files, manifest, folder and parent, twice; and the new `checkpoints`
    for index in syncs:
        losses = power_losses(without(disk.operations, index), only_acknowledged=True)
        assert not all(survives(*loss, tmp_path / "after") for loss in losses), disk.operations[index]
