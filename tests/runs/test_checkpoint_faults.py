import errno
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from harness.disks import (
    KillingDisk,
    NeverSyncingDisk,
    RaisingDisk,
    RecordingDisk,
    in_child,
    installed,
    temporaries,
)
from harness.power import State, power_losses, without, write_state
from tenfold.core import durable
from tenfold.core.errors import RunError, StorageError
from tenfold.runs.checkpoint import load_checkpoint, save_checkpoint

torch.set_num_threads(1)


def save(folder: Path, step: int) -> Path:
    tensors = {"model": {"weight": torch.full((3, 2), float(step))}, "optimizer": {"momentum": torch.arange(4)}}
    return save_checkpoint(folder, step, tensors, {"seconds": step / 7})


def loads(folder: Path, at_least: int) -> bool:
    """Returns whether a consistent checkpoint loads that is at least as new as `at_least`."""
    try:
        checkpoint = load_checkpoint(folder)
    except RunError:
        return at_least == 0
    weight = checkpoint.tensors["model"]["weight"]
    consistent = bool((weight == checkpoint.step).all()) and checkpoint.state == {"seconds": checkpoint.step / 7}
    return consistent and checkpoint.step >= at_least


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A kill at any operation


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_keeps_all_acknowledged_checkpoints(tmp_path: Path, torn: bool) -> None:
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
        assert not temporaries(folder)
        save(folder, 20)
        assert loads(folder, 20)
        assert len(names(folder)) <= 2
        if finished:
            break
    assert k > 30


# Errors of the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize("torn", [False, True])
def test_a_disk_error_is_one_line_and_keeps_all_checkpoints(
    tmp_path: Path, number: int, permanent: bool, torn: bool
) -> None:
    for k in count(1):
        folder = tmp_path / str(k)
        save(folder, 5)
        save(folder, 10)
        disk = RaisingDisk(k, number, permanent=permanent, torn=torn)
        failed = ""
        with installed(disk):
            try:
                save(folder, 15)
            except StorageError as error:
                failed = str(error)
        assert "\n" not in failed
        assert loads(folder, 10 if failed else 15)
        if permanent and number != errno.ENOSPC:
            durable.remove_leftovers(folder)  # such a disk rejects removals too
        assert not temporaries(folder)
        if disk.done < k:
            break
    assert k > 9


# A power loss


def record_saves(root: Path, disk: RecordingDisk, steps: tuple[int, ...] = (5, 10, 15)) -> None:
    root.mkdir()
    with installed(disk):
        for step in steps:
            save(root / "checkpoints", step)
            disk.acknowledge(str(step))


def is_intact(state: State, acknowledged: list[str], folder: Path) -> bool:
    write_state(state, folder)
    return loads(folder / "checkpoints", int(acknowledged[-1]) if acknowledged else 0)


def test_a_power_loss_keeps_all_acknowledged_checkpoints(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record_saves(tmp_path / "disk", disk)
    states = 0
    for state, acknowledged in power_losses(disk.operations, limit=20):
        assert is_intact(state, acknowledged, tmp_path / "after"), sorted(state)
        states += 1
    assert states > 300


def test_a_missing_sync_of_files_is_detected(tmp_path: Path) -> None:
    disk = NeverSyncingDisk(tmp_path / "disk")
    record_saves(tmp_path / "disk", disk)
    assert not all(is_intact(*loss, tmp_path / "after") for loss in power_losses(disk.operations))


def test_any_single_missing_sync_is_detected(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record_saves(tmp_path / "disk", disk, steps=(5, 10))
    syncs = [index for index, operation in enumerate(disk.operations) if operation.kind in ("sync", "sync_folder")]
    assert len(syncs) == 13  # three files, manifest, folder and parent, twice; and the new `checkpoints`
    for index in syncs:
        losses = power_losses(without(disk.operations, index), only_acknowledged=True)
        assert not all(is_intact(*loss, tmp_path / "after") for loss in losses), disk.operations[index]
