"""Tests of downloads against a server that misbehaves on demand."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.nasty_server import FAULTS, STATUSES, serving
from harness.skip_rule import OTHER_SYSTEM
from tenfold.core import durable
from tenfold.core.errors import DataError, DownloadError, StorageError
from tenfold.data.sources.download import Checksum, download
from tenfold.data.sources.transport import RefusedError, open_url, reachable

CONTENT = random.Random(0).randbytes(200_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
# Faults after which the file can still be downloaded; the others are permanent.
TEMPORARY = {
    "none",
    "truncates",
    "resets",
    "stalls",
    "understates the length",
    "overstates the length",
    "ignores the range",
    "wrong range",
    "refuses the range",
}
PERMANENT = sorted(set(FAULTS) - TEMPORARY)


def fetch(target: Path, *urls: str, size: int | None = len(CONTENT), attempts: int = 3, timeout: float = 0.4) -> Path:
    return download(
        urls,
        target,
        checksum=Checksum("md5", MD5),
        size=size,
        attempts=attempts,
        timeout=timeout,
        sleep=lambda seconds: None,
    )


def leave_part(target: Path, content: bytes) -> None:
    target.with_name(f"{target.name}.part").write_bytes(content)


def others(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {target.name, f"{target.name}.lock"}


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("fault", [*PERMANENT, *STATUSES])
def test_no_bad_bytes_are_accepted(tmp_path: Path, fault: str, size: int | None, monkeypatch) -> None:
    monkeypatch.setattr("tenfold.data.sources.download._MAX_BYTES", 1_000_000)
    target = tmp_path / "file.tar.gz"
    with serving(CONTENT, fault) as served, pytest.raises(DownloadError) as caught:
        fetch(target, f"{served.url}/file.tar.gz", size=size, attempts=2)
    assert not target.exists()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("file.tar.gz", MD5, "--data-dir", "TENFOLD_MIRRORS"):
        assert part in message


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("start", [0, 1, 70_000, len(CONTENT) - 1])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_temporary_fault_is_survived(tmp_path: Path, fault: str, start: int, size: int | None, monkeypatch) -> None:
    monkeypatch.setattr("tenfold.data.sources.download._MAX_BYTES", 1_000_000)
    target = tmp_path / "file"
    if start:
        leave_part(target, CONTENT[:start])
    with serving(CONTENT, fault, "none") as served, serving(CONTENT, "none") as mirror:
        fetch(target, f"{served.url}/file", f"{mirror.url}/file", size=size)
    assert target.read_bytes() == CONTENT
    assert not others(target)


@pytest.mark.parametrize("fault", ["truncates", "resets", "understates the length", "stalls"])
def test_a_download_is_continued_by_range(tmp_path: Path, fault: str) -> None:
    target = tmp_path / "file"
    with serving(CONTENT, fault, "none") as served:
        fetch(target, f"{served.url}/file")
    assert target.read_bytes() == CONTENT
    assert served.ranges[0] == ""
    assert int(served.ranges[1].removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize("fault", ["none", "ignores the range", "wrong range", "refuses the range"])
def test_a_part_of_an_earlier_call_is_used_or_started_over(tmp_path: Path, fault: str) -> None:
    target = tmp_path / "file"
    leave_part(target, CONTENT[:50_000])
    with serving(CONTENT, fault) as served:
        fetch(target, f"{served.url}/file", attempts=1)
    assert target.read_bytes() == CONTENT
    assert served.ranges[0] == "bytes=50000-"


@pytest.mark.parametrize("part", [b"x" * 50_000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_a_wrong_part_is_deleted(tmp_path: Path, part: bytes) -> None:
    target = tmp_path / "file"
    leave_part(target, part)
    with serving(CONTENT) as served:
        fetch(target, f"{served.url}/file")
    assert target.read_bytes() == CONTENT


def test_a_server_that_breaks_off_repeatedly_still_delivers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tenfold.data.sources.download._MIN_NEW_BYTES", 1000)
    target = tmp_path / "file"
    with serving(CONTENT, *["truncates"] * 7, "none") as served:
        fetch(target, f"{served.url}/file", attempts=2)
    assert target.read_bytes() == CONTENT


def test_the_next_mirror_is_tried(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with serving(CONTENT, "404") as first, serving(CONTENT) as second:
        fetch(target, "https://tenfold.invalid/file", f"{first.url}/file", f"{second.url}/file")
    assert target.read_bytes() == CONTENT
    assert len(first.ranges) == 1


def test_a_wrong_checksum_is_named_with_the_right_one(tmp_path: Path) -> None:
    altered = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with (
        serving(altered) as served,
        pytest.raises(DownloadError, match=f"MD5 {hashlib.md5(altered).hexdigest()} arrived, expected MD5 {MD5}"),
    ):
        fetch(tmp_path / "file", f"{served.url}/file")
    assert not others(tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "file:///etc/hostname", "ftp://127.0.0.1/x", "http://127.0.0.1.example.org/x",
            "http://localhost@example.org/x", "", "no address"]
)  # fmt: skip
def test_only_https_is_accepted(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only https addresses"):
        fetch(tmp_path / "file", url)
    with pytest.raises(RefusedError):
        open_url(url, 1)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.startswith("redirects to ")])
def test_a_redirect_to_anything_but_https_is_never_followed(tmp_path: Path, fault: str) -> None:
    with serving(CONTENT, fault, "none") as served, pytest.raises(DownloadError, match=r"redirected to .* not https"):
        fetch(tmp_path / "file", f"{served.url}/file")
    assert len(served.ranges) == 1


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_an_endless_body_is_cut_off_and_deleted(tmp_path: Path, size: int | None, monkeypatch) -> None:
    monkeypatch.setattr("tenfold.data.sources.download._MAX_BYTES", 1_000_000)
    with serving(CONTENT, "endless") as served, pytest.raises(DownloadError, match=r"more than the expected \d+ bytes"):
        fetch(tmp_path / "file", f"{served.url}/file", size=size)
    assert not others(tmp_path / "file")


def test_no_server_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no server was named"):
        fetch(tmp_path / "file")


def test_pauses_between_rounds_grow(tmp_path: Path) -> None:
    pauses: list[float] = []
    with serving(CONTENT, "500") as served, pytest.raises(DownloadError, match="HTTP status 500"):
        download([served.url], tmp_path / "file", checksum=Checksum("md5", MD5), attempts=4, sleep=pauses.append)
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    with serving(CONTENT) as served:
        download([served.url], tmp_path / "f", checksum=Checksum("md5", MD5), progress=lambda *step: steps.append(step))
    assert steps[-1] == ("Downloading f", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_an_existing_file_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert fetch(tmp_path / "file", "https://tenfold.invalid/file").read_bytes() == CONTENT


def test_an_existing_wrong_file_is_named_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"file \(4 bytes\) has MD5 .*, expected {MD5}"):
        fetch(tmp_path / "file", "https://tenfold.invalid/file")
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason=OTHER_SYSTEM)
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file.part").symlink_to("/dev/full")
    with serving(CONTENT) as served, pytest.raises(StorageError, match=r"file\.part: the disk is full"):
        fetch(tmp_path / "file", f"{served.url}/file")
    assert not others(tmp_path / "file")
    assert len(served.ranges) == 1


@pytest.mark.parametrize("operation", ["make_folder", "sync", "replace", "sync_folder"])
def test_a_refusing_disk_is_one_line(tmp_path: Path, operation: str, monkeypatch) -> None:
    def refuse(*paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.disk, operation, refuse)
    with serving(CONTENT) as served, pytest.raises(StorageError, match="the disk is full"):
        fetch(tmp_path / "file", f"{served.url}/file")


CLIENT = """
import sys
from pathlib import Path
from tenfold.data.sources.download import Checksum, download
download([sys.argv[1]], Path(sys.argv[2]), checksum=Checksum("md5", sys.argv[3]), size=int(sys.argv[4]))
"""


def start_client(url: str, target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CLIENT, url, str(target), MD5, str(len(CONTENT))])


def test_eight_processes_download_once(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "file"
    with serving(CONTENT) as served:
        clients = [start_client(served.url, target) for _ in range(8)]
        assert [client.wait() for client in clients] == [0] * 8
    assert len(served.ranges) == 1
    assert target.read_bytes() == CONTENT


def test_a_killed_process_frees_the_lock_and_its_part_is_continued(tmp_path: Path) -> None:
    target = tmp_path / "file"
    part = tmp_path / "file.part"
    with serving(CONTENT, "stalls", "none") as served:
        first = start_client(served.url, target)
        while not (part.exists() and part.stat().st_size >= len(CONTENT) // 2):
            time.sleep(0.01)
        second = start_client(served.url, target)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert second.wait() == 0
    assert served.ranges == ["", f"bytes={len(CONTENT) // 2}-"]
    assert target.read_bytes() == CONTENT


def test_a_waiting_process_reports_it(tmp_path: Path) -> None:
    descriptions: list[str] = []
    target = tmp_path / "file"
    with serving(CONTENT, "stalls", "none") as served:

        def on_progress(description: str, done: int, total: int) -> None:
            descriptions.append(description)
            served.stop.set()

        first = threading.Thread(target=fetch, args=(target, served.url))
        first.start()
        while not served.ranges:
            time.sleep(0.01)
        download([served.url], target, checksum=Checksum("md5", MD5), progress=on_progress)
        first.join()
    assert descriptions[0] == "Waiting for another process that downloads file"


@pytest.mark.parametrize(("fault", "answer"), [("none", True), ("404", False), ("500", False), ("silent", False)])
def test_reachable_does_not_download(fault: str, answer: bool) -> None:
    with serving(CONTENT, fault) as served:
        assert reachable(served.url, timeout=0.3 if fault == "silent" else 10) is answer
        served.stop.set()
        for thread in threading.enumerate():
            if thread.daemon and "ask" in thread.name:
                thread.join()
    assert not served.ranges


@pytest.mark.parametrize("url", ["https://tenfold.invalid/", "http://127.0.0.1:1/", "file:///etc/hostname"])
def test_unreachable_addresses_are_not_reachable(url: str) -> None:
    assert reachable(url, timeout=2) is False
