"""Tests of the decode pool: results, worker deaths, signals."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from PIL import Image

from harness.decoding import (
    FailsToArrive,
    decode_in_workers_only,
    process_id,
    slow_or_deadly,
    start_workers_at_once,
)
from harness.images import class_tree, encoded, noise, png, write_tree
from tenfold.core.errors import TenfoldError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.decode import workers
from tenfold.data.decode.tasks import DecodedImage, decode_if_small, decode_to_size
from tenfold.data.decode.workers import DecodePool

TESTS = Path(__file__).parents[2]
DEADLY = "decoding it ended the process, often for lack of memory"


@pytest.fixture
def workers_only(monkeypatch):
    decode_in_workers_only(monkeypatch)


def decoded(decode, sources) -> dict[int, DecodedImage]:
    results: list[tuple[int, DecodedImage]] = []
    with DecodePool(decode, (8, 8), lambda *result: results.append(result)) as pool:
        for key, source in enumerate(sources):
            pool.put(key, source)
    assert Counter(key for key, _ in results) == Counter(range(len(sources)))
    return dict(results)


def reasons(decode, sources) -> set[str]:
    return {image.reason for image in decoded(decode, sources).values()}


def test_few_images_are_decoded_in_this_process():
    assert reasons(process_id, [b""] * 1000) == {str(os.getpid())}


def test_many_images_are_decoded_in_workers_that_end(workers_only):
    worker_ids = reasons(process_id, [b""] * 2000)
    assert 1 <= len(worker_ids) <= 2
    assert str(os.getpid()) not in worker_ids
    for worker_id in worker_ids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker_id), 0)


def test_large_files_are_sent_both_ways(workers_only):
    sources = [os.urandom(3_000_000) for _ in range(20)]
    assert [image.data for _, image in sorted(decoded(slow_or_deadly, sources).items())] == sources


@pytest.mark.parametrize("error", [OSError(11, "no more processes"), AssertionError("daemonic")])
def test_without_workers_everything_is_decoded_here(monkeypatch, error):
    start_workers_at_once(monkeypatch)

    def refuse(num_workers: int) -> None:
        raise error

    monkeypatch.setattr(workers, "_executor", refuse)
    assert reasons(process_id, [b""] * 100) == {str(os.getpid())}


def test_workers_that_cannot_start_are_not_used(monkeypatch, capfd):
    start_workers_at_once(monkeypatch)
    results = []
    with DecodePool(FailsToArrive(), (8, 8), lambda *result: results.append(result)) as pool:
        for key in range(100):
            pool.put(key, b"")
        wait([pool._first_worker])
        for key in range(100, 200):
            pool.put(key, b"")
    assert results == [(key, DecodedImage(b"", reason=str(os.getpid()))) for key in range(200)]
    assert capfd.readouterr().err == ""


def decode_in_daemon(channel) -> None:
    with pytest.MonkeyPatch.context() as patch:
        start_workers_at_once(patch)
        channel.send(reasons(process_id, [b""] * 100) == {str(os.getpid())})


def test_a_daemon_decodes_without_workers():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    daemon = context.Process(target=decode_in_daemon, args=(theirs,), daemon=True)
    daemon.start()
    assert ours.poll(60)
    assert ours.recv() is True
    daemon.join(60)


@pytest.mark.parametrize("position", [0, 17, 399])
def test_a_file_that_kills_workers_is_skipped_alone(workers_only, position):
    sources = [b"%d" % number for number in range(400)]
    sources[position] = b"deadly"
    found = decoded(slow_or_deadly, sources)
    assert found.pop(position) == DecodedImage(b"", reason=DEADLY)
    assert all(image.data == sources[key] for key, image in found.items())


def test_several_deadly_files_with_large_neighbors_are_skipped(workers_only):
    sources = [os.urandom(1_000_000) for _ in range(24)]
    sources[3] = sources[4] = sources[20] = b"deadly"
    found = decoded(slow_or_deadly, sources)
    assert [key for key, image in sorted(found.items()) if image.reason == DEADLY] == [3, 4, 20]
    assert sum(image.data == sources[key] for key, image in found.items()) == 21


def test_a_worker_that_was_killed_from_outside_loses_nothing(workers_only):
    results = {}
    with DecodePool(slow_or_deadly, (8, 8), results.__setitem__) as pool:
        for key in range(200):
            if key == 100:
                os.kill(next(iter(pool._executor._processes)), signal.SIGKILL)
            pool.put(key, b"x")
    assert results == dict.fromkeys(range(200), DecodedImage(b"x"))


def test_workers_that_die_again_and_again_are_one_clear_line(workers_only, monkeypatch):
    def refuse_to_start(executor, task, *arguments):
        if task is workers._arrive and executor._max_workers == 1:
            raise BrokenProcessPool
        return submit(executor, task, *arguments)

    submit = workers._submit
    monkeypatch.setattr(workers, "_submit", refuse_to_start)
    with pytest.raises(TenfoldError, match=r"a process that decodes images was ended.*run the command again"):
        decoded(slow_or_deadly, [*[b""] * 400, b"deadly"])


@pytest.mark.parametrize(
    ("source", "size", "num_bytes"),
    [
        (png(1, height=5), (5, 8), 0),
        (png(1, height=9), (9, 8), 9 * 8 * 3),
        (png(1, height=9)[:60], (9, 8), 0),
        (png(1, height=65), (65, 8), 0),
        (b"no image", None, 0),
        (Path("missing.png"), None, 0),
    ],
)
def test_the_size_scan_decodes_small_images(source, size, num_bytes):
    image = decode_if_small(source)
    assert (image.size, len(image.data)) == (size, num_bytes)
    assert image.reason == decode_to_size(source, (8, 8), "crop").reason


def store_of(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, **keys: object):
    monkeypatch.setenv("TENFOLD_CACHE", str(cache))
    dataset = build_dataset(DataRequest(str(source), **keys))
    return dataset.fingerprint, dataset.notes, dataset.skipped, [split.paths for split in dataset.splits().values()]


def trees() -> Iterator[tuple[str, dict[str, bytes]]]:
    equal = {f"{label}/{number}.png": png(number + 100 * (label == "b")) for label in "ab" for number in range(40)}
    rotation = Image.Exif()
    rotation[0x0112] = 6
    yield "equal sizes", equal
    yield "one is damaged", {**equal, "a/7.png": png(7)[:60], "b/3.png": b""}
    yield "the last is larger", {**equal, "b/99.png": png(99, height=20, width=30)}
    yield "a photo is first", {**equal, "a/00.jpg": encoded(Image.fromarray(noise(600, 500)), "JPEG")}
    yield "one is rotated", {**equal, "b/0.jpg": encoded(Image.fromarray(noise(8, 9)), "JPEG", exif=rotation)}


@pytest.mark.parametrize(("kind", "files"), list(trees()), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("size", ["auto", 16])
def test_a_store_does_not_depend_on_how_it_was_made(kind, files, size, tmp_path, monkeypatch):
    source = write_tree(tmp_path / "set", files)
    alone = store_of(source, tmp_path / "alone", monkeypatch, image_size=size, max_unreadable=0.1)
    with monkeypatch.context() as patch:
        decode_in_workers_only(patch)
        assert store_of(source, tmp_path / "workers", monkeypatch, image_size=size, max_unreadable=0.1) == alone
    with monkeypatch.context() as patch:
        patch.setattr("tenfold.data.store.scan._KEEP_BELOW", 1000)
        assert store_of(source, tmp_path / "little-memory", monkeypatch, image_size=size, max_unreadable=0.1) == alone


PROGRAM = """
import multiprocessing, sys, time
import pytest
from harness.decoding import decode_in_workers_only
from tenfold.data.build import DataRequest, build_dataset
decode_in_workers_only(pytest.MonkeyPatch())
def show(*progress):
    if multiprocessing.active_children():
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(float(sys.argv[2]))
print(len(build_dataset(DataRequest(sys.argv[1], image_size=9), show).train))
"""


def start_program(tmp_path: Path, seconds: int) -> "subprocess.Popen[str]":
    """Starts a script without a `__main__` guard that sleeps at each progress call, with workers running."""
    source = class_tree(tmp_path / "set", {"a": 200, "b": 200})
    (tmp_path / "script.py").write_text(PROGRAM)
    environment = {**os.environ, "TENFOLD_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(source), str(seconds)],
        env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_script_needs_no_main_guard(tmp_path):
    out, err = start_program(tmp_path, 0).communicate(timeout=120)
    assert err == ""
    assert out.splitlines()[-1] == "320"
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_program(tmp_path, number):
    program = start_program(tmp_path, 60)
    assert program.stdout
    worker_ids = [int(word) for word in program.stdout.readline().split()]
    os.killpg(program.pid, number)
    _, err = program.communicate(timeout=60)
    assert err.count("Traceback") == (number == signal.SIGINT)
    assert program.returncode == -number
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker_id}").exists() for worker_id in worker_ids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [worker_id for worker_id in worker_ids if Path(f"/proc/{worker_id}").exists()]
    made = [path.name for path in (tmp_path / "cache/stores").iterdir()]
    assert [name for name in made if not name.startswith(".tenfold-tmp")] == []
