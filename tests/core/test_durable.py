import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.disks import RaisingDisk, installed, temporaries
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


def test_write_json_rejects_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    durable.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        durable.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_write_json_keeps_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    durable.write_json(tmp_path / "a.json", {name: name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {name: name}


def test_write_text_restores_the_bytes_of_file_names(tmp_path: Path) -> None:
    durable.write_text(tmp_path / "a.txt", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9.jpg"


# Appending


def test_append_line_adds_lines(tmp_path: Path) -> None:
    durable.append_line(tmp_path / "log", "one")
    durable.append_line(tmp_path / "log", "two")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_append_line_removes_an_incomplete_last_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\nto")
    durable.append_line(tmp_path / "log", "two")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (tmp_path / "other").write_text("on")
    durable.append_line(tmp_path / "other", "one")
    assert (tmp_path / "other").read_text() == "one\n"


def test_append_line_rejects_a_newline(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        durable.append_line(tmp_path / "log", "one\ntwo")


# Folders


def test_new_folder_is_complete_and_has_a_manifest(tmp_path: Path) -> None:
    fill(tmp_path / "runs" / "target")
    manifest = json.loads((tmp_path / "runs" / "target" / "manifest.json").read_text())
    assert manifest["inner/b.bin"] == {
        "sha256": durable.digest(tmp_path / "runs/target/inner/b.bin"),
        "bytes": 60,
    }
    durable.verify_folder(tmp_path / "runs" / "target")
    assert not temporaries(tmp_path)


def test_new_folder_leaves_nothing_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with durable.new_folder(tmp_path / "target") as folder:
            (folder / "a").write_text("half")
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_new_folder_rejects_an_existing_name(tmp_path: Path) -> None:
    fill(tmp_path / "target")
    with pytest.raises(StorageError, match=r"cannot write .*target: it already exists; choose another name"):
        fill(tmp_path / "target")
    durable.verify_folder(tmp_path / "target")
    assert not temporaries(tmp_path)


@given(st.data())
def test_a_flipped_bit_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    target = tmp_path_factory.mktemp("flip") / "target"
    fill(target)
    name = data.draw(st.sampled_from(["a.bin", "inner/b.bin", "manifest.json"]))
    content = bytearray((target / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (target / name).write_bytes(content)
    with pytest.raises(RunError, match=r"is damaged|is missing") as caught:
        durable.verify_folder(target)
    assert "\n" not in str(caught.value)


def test_verify_folder_reports_found_and_expected(tmp_path: Path) -> None:
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


def test_claim_folder_succeeds_only_once(tmp_path: Path) -> None:
    assert durable.claim_folder(tmp_path / "run")
    assert not durable.claim_folder(tmp_path / "run")


# Temporary files of killed processes


def test_only_temporaries_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".tenfold-tmp-{dead.pid}-0123456789ab").mkdir()
    (tmp_path / f".tenfold-tmp-{os.getpid()}-0123456789ab").touch()  # of a dead process with our id
    alive = tmp_path / f".tenfold-tmp-{os.getppid()}-0123456789ab"
    own = tmp_path / ".tenfold-tmp-mine.txt"
    alive.touch()
    own.touch()
    with durable.new_folder(tmp_path / "target"):
        durable.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, own.name, "target"])
    durable.remove_leftovers(tmp_path / "missing")


# Errors of the disk


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
def test_a_disk_error_is_one_line_with_path_reason_and_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    with (
        installed(RaisingDisk(1, number, permanent=True)),
        pytest.raises(StorageError, match=rf"cannot write .*a\.json: .*{remedy}") as caught,
    ):
        durable.write_json(tmp_path / "a.json", 1)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*no/a\.txt: no such file or folder; create"):
        durable.write_text(tmp_path / "no" / "a.txt", "")


def test_a_message_is_one_line_for_any_file_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        durable.write_text(tmp_path / "no\nfolder" / os.fsdecode(b"\xff"), "")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
