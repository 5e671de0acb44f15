import errno
import shutil
from itertools import count
from pathlib import Path

import pytest

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

OLD, NEW = b"the old content", b"the new content, which is longer"


def fill(target: Path) -> None:
    with durable.new_folder(target) as folder:
        durable.disk.write(folder / "a.bin", b"first" * 10)
        durable.disk.make_folder(folder / "inner")
        durable.disk.write(folder / "inner" / "b.bin", b"second" * 10)


# A kill at any operation


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_leaves_the_old_or_the_new_content(tmp_path: Path, torn: bool) -> None:
    path = tmp_path / "file"

    def work(k: int, acknowledge: object) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        durable.write_bytes(path, NEW)
        acknowledge("new")  # type: ignore[operator]

    for k in count(1):
        durable.write_bytes(path, OLD)
        finished, acknowledged = in_child(lambda acknowledge, k=k: work(k, acknowledge))
        assert path.read_bytes() in ([NEW] if acknowledged else [OLD, NEW])
        durable.remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [path]
        if finished:
            break
    assert k == 5  # write, sync, replace, sync_folder, then no operation left


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_while_appending_keeps_complete_lines(tmp_path: Path, torn: bool) -> None:
    path = tmp_path / "log"

    def work(k: int, acknowledge: object) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        for line in ("one", "two", "three"):
            durable.append_line(path, line)
            acknowledge(line)  # type: ignore[operator]

    for k in count(1):
        path.unlink(missing_ok=True)
        finished, acknowledged = in_child(lambda acknowledge, k=k: work(k, acknowledge))
        durable.append_line(path, "last")
        lines = path.read_text().splitlines()
        assert lines[: len(acknowledged)] == acknowledged
        assert lines[-1] == "last"
        assert set(lines) <= {"one", "two", "three", "last"}
        if finished:
            break


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_leaves_a_complete_folder_or_none(tmp_path: Path, torn: bool) -> None:
    target = tmp_path / "runs" / "target"

    def work(k: int) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        fill(target)

    for k in count(1):
        finished, _ = in_child(lambda _, k=k: work(k))
        if target.exists():
            durable.verify_folder(target)
        durable.remove_leftovers(tmp_path / "runs")
        assert not temporaries(tmp_path)
        if finished:
            break
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    assert target.exists()
    assert k > 12


def test_a_kill_detects_code_that_writes_in_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def work(_: object) -> None:
        KillingDisk(1, torn=True).write(path, NEW)

    assert in_child(work) == (False, [])
    assert path.read_bytes() not in (OLD, NEW)


# Errors of the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize("torn", [False, True])
def test_a_disk_error_leaves_no_partial_or_temporary_file(
    tmp_path: Path, number: int, permanent: bool, torn: bool
) -> None:
    path, target, log = tmp_path / "file", tmp_path / "folder", tmp_path / "log"
    for work, check in (
        (lambda: durable.write_bytes(path, NEW), lambda: path.read_bytes() in (OLD, NEW)),
        (lambda: fill(target), lambda: not target.exists() or durable.verify_folder(target) is None),
        (lambda: durable.append_line(log, "two"), lambda: log.read_bytes().startswith(b"one\n")),
    ):
        for k in count(1):
            durable.write_bytes(path, OLD)
            durable.write_text(log, "one\n")
            shutil.rmtree(target, ignore_errors=True)
            disk = RaisingDisk(k, number, permanent=permanent, torn=torn)
            failed = False
            with installed(disk):
                try:
                    work()
                except StorageError:
                    failed = True
            assert check()
            if permanent and number != errno.ENOSPC:
                durable.remove_leftovers(tmp_path)  # such a disk rejects removals too
            assert not temporaries(tmp_path)
            assert failed == (disk.done >= k)
            if not failed:
                break


def test_a_disk_error_detects_code_that_does_not_clean_up(tmp_path: Path) -> None:
    disk = RaisingDisk(2, errno.ENOSPC, permanent=False)
    temporary = tmp_path / ".tenfold-tmp-1-0123456789ab"
    disk.write(temporary, NEW)
    with pytest.raises(OSError, match="No space left"):
        disk.replace(temporary, tmp_path / "file")
    assert temporaries(tmp_path) == [temporary]


# A power loss


def record_writes(root: Path, disk: RecordingDisk) -> None:
    root.mkdir()
    with installed(disk):
        durable.write_bytes(root / "file", OLD)
        disk.acknowledge("old")
        durable.write_bytes(root / "file", NEW)
        disk.acknowledge("new")
        fill(root / "deep" / "target")
        disk.acknowledge("folder")
        durable.append_line(root / "log", "one")
        disk.acknowledge("line")


def is_intact(state: State, acknowledged: list[str], folder: Path) -> bool:
    """Returns whether all acknowledged content is there and nothing is partial."""
    write_state(state, folder)
    file, target, log = folder / "file", folder / "deep" / "target", folder / "log"
    allowed = [NEW] if "new" in acknowledged else [OLD, NEW] if "old" in acknowledged else [None, OLD]
    if (file.read_bytes() if file.exists() else None) not in allowed:
        return False
    if "line" in acknowledged and (not log.exists() or log.read_bytes() != b"one\n"):
        return False
    try:
        if target.exists() or "folder" in acknowledged:
            durable.verify_folder(target)
    except RunError:
        return False
    return True


def test_a_power_loss_keeps_all_acknowledged_content(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record_writes(tmp_path / "disk", disk)
    states = 0
    for state, acknowledged in power_losses(disk.operations, limit=300):
        assert is_intact(state, acknowledged, tmp_path / "after"), state
        states += 1
    assert states > 150


def test_a_missing_sync_of_files_is_detected(tmp_path: Path) -> None:
    disk = NeverSyncingDisk(tmp_path / "disk")
    record_writes(tmp_path / "disk", disk)
    assert not all(is_intact(*loss, tmp_path / "after") for loss in power_losses(disk.operations))


def test_any_single_missing_sync_is_detected(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record_writes(tmp_path / "disk", disk)
    syncs = [index for index, operation in enumerate(disk.operations) if operation.kind in ("sync", "sync_folder")]
    assert len(syncs) >= 12
    for index in syncs:
        losses = power_losses(without(disk.operations, index), only_acknowledged=True)
        assert not all(is_intact(*loss, tmp_path / "after") for loss in losses), disk.operations[index]
