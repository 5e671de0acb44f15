import errno
import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

OLD, NEW = b"the old content", b"the new content, which is longer"


def fill(target: Path) -> None:
    with durable.new_folder(target) as folder:
        durable.disk.write(folder / "a.bin", b"first" * 10)
        durable.disk.make_folder(folder / "inner")
        durable.disk.write(folder / "inner" / "b.bin", b"second" * 10)


# Writing


def test_write_bytes_replaces_the_content(tmp_path: Path) -> None:
    durable.write_bytes(tmp_path / "file", OLD)
    durable.write_bytes(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_write_json_is_readable_and_ends_with_a_newline(tmp_path: Path) -> None:
    durable.write_json(tmp_path / "a.json", {"größe": [1, None]})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "größe": [\n    1,\n    null\n  ]\n}\n'


def test_write_json_refuses_nan_and_leaves_the_old_file(tmp_path: Path) -> None:
    durable.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        durable.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_write_json_carries_file_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    durable.write_json(tmp_path / "a.json", {name: name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {name: name}


def test_write_text_gives_file_names_that_are_no_utf8_their_bytes_back(tmp_path: Path) -> None:
    durable.write_text(tmp_path / "a.txt", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9.jpg"


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_content(tmp_path: Path, torn: bool) -> None:
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
    assert k == 5  # write, sync, replace, sync_folder, and none left to kill at


# Appending


def test_append_line_adds_lines(tmp_path: Path) -> None:
    durable.append_line(tmp_path / "log", "one")
    durable.append_line(tmp_path / "log", "two")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_append_line_drops_a_line_that_was_never_finished(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\nto")
    durable.append_line(tmp_path / "log", "two")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (tmp_path / "other").write_text("on")
    durable.append_line(tmp_path / "other", "one")
    assert (tmp_path / "other").read_text() == "one\n"


def test_append_line_takes_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        durable.append_line(tmp_path / "log", "one\ntwo")


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_while_appending_costs_no_finished_line(tmp_path: Path, torn: bool) -> None:
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


# Folders


def test_new_folder_appears_whole_with_a_manifest(tmp_path: Path) -> None:
    fill(tmp_path / "runs" / "target")
    manifest = json.loads((tmp_path / "runs" / "target" / "manifest.json").read_text())
    assert manifest["inner/b.bin"] == {
        "sha256": durable.digest(tmp_path / "runs/target/inner/b.bin"),
        "bytes": 60,
    }
    durable.verify_folder(tmp_path / "runs" / "target")
    assert not leftovers(tmp_path)


def test_new_folder_leaves_nothing_behind_when_its_filler_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with durable.new_folder(tmp_path / "target") as folder:
            (folder / "a").write_text("half")
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_new_folder_refuses_a_name_that_is_taken(tmp_path: Path) -> None:
    fill(tmp_path / "target")
    with pytest.raises(StorageError, match=r"cannot write .*target: it exists already; choose another name"):
        fill(tmp_path / "target")
    durable.verify_folder(tmp_path / "target")
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_at_any_operation_leaves_a_whole_folder_or_none(tmp_path: Path, torn: bool) -> None:
    target = tmp_path / "runs" / "target"

    def work(k: int) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        fill(target)

    for k in count(1):
        finished, _ = in_child(lambda _, k=k: work(k))
        if target.exists():
            durable.verify_folder(target)
        durable.remove_leftovers(tmp_path / "runs")
        assert not leftovers(tmp_path)
        if finished:
            break
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    assert target.exists()
    assert k > 12


@given(st.data())
def test_a_flipped_bit_is_found_by_its_digest(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    target = tmp_path_factory.mktemp("flip") / "target"
    fill(target)
    name = data.draw(st.sampled_from(["a.bin", "inner/b.bin", "manifest.json"]))
    content = bytearray((target / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (target / name).write_bytes(content)
    with pytest.raises(RunError, match=r"is damaged|is missing") as caught:
        durable.verify_folder(target)
    assert "\n" not in str(caught.value)


def test_verify_folder_says_what_it_found_and_expected(tmp_path: Path) -> None:
    target = tmp_path / "target"
    fill(target)
    (target / "a.bin").write_bytes(b"x" * 49)
    with pytest.raises(RunError, match=r"a\.bin is damaged: found 49 bytes, expected 50 bytes; .*delete"):
        durable.verify_folder(target, digests=False)
    (target / "a.bin").write_bytes(b"x" * 50)
    durable.verify_folder(target, digests=False)
    with pytest.raises(RunError, match=r"a\.bin is damaged: found SHA-256 \w{64}, expected SHA-256 \w{64}"):
        durable.verify_folder(target)
    (target / "a.bin").unlink()
    with pytest.raises(RunError, match=r"a\.bin is missing"):
        durable.verify_folder(target)
    (target / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"manifest\.json is missing"):
        durable.verify_folder(target)


def test_claim_folder_gives_a_name_to_one_only(tmp_path: Path) -> None:
    assert durable.claim_folder(tmp_path / "run")
    assert not durable.claim_folder(tmp_path / "run")


# Leftovers


def test_leftovers_of_a_dead_process_go_and_all_else_stays(tmp_path: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    (tmp_path / f".tenfold-tmp-{died.pid}-0123456789ab").mkdir()
    (tmp_path / f".tenfold-tmp-{os.getpid()}-0123456789ab").touch()  # of a dead one that had our number
    alive = tmp_path / f".tenfold-tmp-{os.getppid()}-0123456789ab"
    own = tmp_path / ".tenfold-tmp-mine.txt"
    alive.touch()
    own.touch()
    with durable.new_folder(tmp_path / "target"):
        durable.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, own.name, "target"])
    durable.remove_leftovers(tmp_path / "missing")


# A disk that refuses


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EROFS, "the disk is read-only; choose another folder"),
        (errno.EACCES, "permission is denied; choose another folder"),
        (errno.EIO, "may be failing; check it"),
        (errno.EMFILE, "Too many open files; check the path and the disk"),
    ],
)
def test_a_refusal_is_one_line_with_path_reason_and_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    with (
        installed(RaisingDisk(1, number, for_good=True)),
        pytest.raises(StorageError, match=rf"cannot write .*a\.json: .*{remedy}") as caught,
    ):
        durable.write_json(tmp_path / "a.json", 1)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*no/a\.txt: there is no such file or folder; create"):
        durable.write_text(tmp_path / "no" / "a.txt", "")


def test_a_message_stays_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        durable.write_text(tmp_path / "no\nfolder" / os.fsdecode(b"\xff"), "")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("torn", [False, True])
def test_no_refusal_leaves_a_traceback_a_torn_file_or_a_temporary(
    tmp_path: Path, number: int, for_good: bool, torn: bool
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
            disk = RaisingDisk(k, number, for_good=for_good, torn=torn)
            failed = False
            with installed(disk):
                try:
                    work()
                except StorageError:
                    failed = True
            assert check()
            if for_good and number != errno.ENOSPC:
                durable.remove_leftovers(tmp_path)  # nothing can be removed from such a disk itself
            assert not leftovers(tmp_path)
            assert failed == (disk.done >= k)
            if not failed:
                break


# A power loss


def record(root: Path, disk: RecordingDisk) -> None:
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


def survives(state: State, acknowledged: list[str], folder: Path) -> bool:
    """Whether everything that was acknowledged is there, and nothing is torn."""
    materialise(state, folder)
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


def test_a_power_loss_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk)
    states = 0
    for state, acknowledged in power_losses(disk.operations, limit=300):
        assert survives(state, acknowledged, tmp_path / "after"), state
        states += 1
    assert states > 300


def test_forgetting_to_sync_is_noticed(tmp_path: Path) -> None:
    disk = ForgetfulDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk)
    assert not all(survives(*loss, tmp_path / "after") for loss in power_losses(disk.operations))


def test_forgetting_any_one_sync_is_noticed(tmp_path: Path) -> None:
    disk = RecordingDisk(tmp_path / "disk")
    record(tmp_path / "disk", disk)
    syncs = [index for index, operation in enumerate(disk.operations) if operation.kind in ("sync", "sync_folder")]
    assert len(syncs) >= 12
    for index in syncs:
        losses = power_losses(without(disk.operations, index), only_acknowledged=True)
        assert not all(survives(*loss, tmp_path / "after") for loss in losses), disk.operations[index]
