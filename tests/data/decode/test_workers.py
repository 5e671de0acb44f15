import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from harness.decoding import FailsToArrive, process_id, processes_at_once, processes_only, slow_or_deadly
from harness.images import class_tree, encoded, noise, png, write_tree
from tenfold.core.errors import TenfoldError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.decode.decode import workers as decoders
from tenfold.data.decode.pixels import Pixels, fitted_pixels, small_pixels
from tenfold.data.decode.workers import Decoders

TESTS = Path(__file__).parents[1]


@pytest.fixture
def processes(monkeypatch):
    processes_only(monkeypatch)


def decoded_by(decode, sources) -> dict[int, Pixels]:
    told: list[tuple[int, Pixels]] = []
    with Decoders(decode, (8, 8), lambda *said: told.append(said)) as group:
        for key, source in enumerate(sources):
            group.put(key, source)
    assert Counter(key for key, _ in told) == Counter(range(len(sources)))
    return dict(told)


def test_few_pictures_are_decoded_here():
    assert {pixels.reason for pixels in decoded_by(process_id, [b""] * 1000).values()} == {str(os.getpid())}


def test_many_pictures_are_decoded_by_processes(processes):
    helpers = {pixels.reason for pixels in decoded_by(process_id, [b""] * 2000).values()}
    assert 1 <= len(helpers) <= 2
    assert str(os.getpid()) not in helpers
    for helper in helpers:
        with pytest.raises(ProcessLookupError):
            os.kill(int(helper), 0)


def test_large_files_pass_both_ways_at_once(processes):
    sources = [os.urandom(3_000_000) for _ in range(20)]
    assert [pixels.data for _, pixels in sorted(decoded_by(slow_or_deadly, sources).items())] == sources


@pytest.mark.parametrize("error", [OSError(11, "no more processes"), AssertionError("daemonic")])
def test_without_processes_all_is_decoded_here(monkeypatch, error):
    processes_at_once(monkeypatch)

    def refuse(decode: object) -> None:
        raise error

    monkeypatch.setattr(decoders, "DecodingProcess", refuse)
    assert {pixels.reason for pixels in decoded_by(process_id, [b""] * 100).values()} == {str(os.getpid())}


def test_a_process_that_never_gets_ready_is_done_without(monkeypatch, capfd):
    processes_at_once(monkeypatch)
    told = []
    with Decoders(FailsToArrive(), (8, 8), lambda *said: told.append(said)) as group:
        for key in range(100):
            group.put(key, b"")
        group._receive(None)
        for key in range(100, 200):
            group.put(key, b"")
    assert told == [(key, Pixels(b"", reason=str(os.getpid()))) for key in range(200)]
    assert capfd.readouterr().err == ""


def in_a_daemon(channel) -> None:
    with pytest.MonkeyPatch.context() as patch:
        processes_at_once(patch)
        channel.send({pixels.reason for pixels in decoded_by(process_id, [b""] * 100).values()} == {str(os.getpid())})


def test_a_daemon_may_have_no_processes_and_does_without():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    daemon = context.Process(target=in_a_daemon, args=(theirs,), daemon=True)
    daemon.start()
    assert ours.poll(60)
    assert ours.recv() is True
    daemon.join(60)


def test_a_killed_process_is_one_clear_line(processes):
    with pytest.raises(TenfoldError, match=r"a process that decodes pictures was ended by SIGKILL.*run the command"):
        decoded_by(slow_or_deadly, [*[b""] * 400, b"deadly"])


@pytest.mark.parametrize(
    ("source", "own", "shape"),
    [
        (png(1, height=5), (5, 8), 0),
        (png(1, height=9), (9, 8), 9 * 8 * 3),
        (png(1, height=9)[:60], (9, 8), 0),
        (png(1, height=65), (65, 8), 0),
        (b"no picture", None, 0),
        (Path("missing.png"), None, 0),
    ],
)
def test_a_small_picture_is_decoded_at_the_first_look(source, own, shape):
    pixels = small_pixels(source)
    assert (pixels.own, len(pixels.data)) == (own, shape)
    assert pixels.reason == fitted_pixels(source, (8, 8), "crop").reason


def store_of(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, **keys: object):
    monkeypatch.setenv("TENFOLD_CACHE", str(cache))
    dataset = build_dataset(DataRequest(str(source), **keys))
    return dataset.fingerprint, dataset.notes, dataset.skipped, [split.paths for split in dataset.splits().values()]


def trees() -> Iterator[tuple[str, dict[str, bytes]]]:
    alike = {f"{label}/{number}.png": png(number + 100 * (label == "b")) for label in "ab" for number in range(40)}
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "alike", alike
    yield "one is damaged", {**alike, "a/7.png": png(7)[:60], "b/3.png": b""}
    yield "the last is larger", {**alike, "b/99.png": png(99, height=20, width=30)}
    yield "a photo is first", {**alike, "a/00.jpg": encoded(Image.fromarray(noise(600, 500)), "JPEG")}
    yield "one is turned", {**alike, "b/0.jpg": encoded(Image.fromarray(noise(8, 9)), "JPEG", exif=turned)}


@pytest.mark.parametrize(("kind", "files"), list(trees()), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("size", ["auto", 16])
def test_a_store_is_the_same_however_it_was_made(kind, files, size, tmp_path, monkeypatch):
    source = write_tree(tmp_path / "set", files)
    alone = store_of(source, tmp_path / "alone", monkeypatch, image_size=size, max_unreadable=0.1)
    with monkeypatch.context() as patch:
        processes_only(patch)
        assert store_of(source, tmp_path / "shared", monkeypatch, image_size=size, max_unreadable=0.1) == alone
    with monkeypatch.context() as patch:
        patch.setattr("tenfold.data.store.scan._KEEP_BELOW", 1000)
        assert store_of(source, tmp_path / "little", monkeypatch, image_size=size, max_unreadable=0.1) == alone


PROGRAM = """
import multiprocessing, sys, time
import pytest
from harness.decoding import processes_only
from tenfold.data.build import DataRequest, build_dataset
processes_only(pytest.MonkeyPatch())
def tell(*said):
    if multiprocessing.active_children():
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(float(sys.argv[2]))
print(len(build_dataset(DataRequest(sys.argv[1], image_size=9), tell).train))
"""


def start_program(tmp_path: Path, seconds: int) -> "subprocess.Popen[str]":
    """Starts a script without a guard that waits so long, with its processes at work."""
    source = class_tree(tmp_path / "set", {"a": 200, "b": 200})
    (tmp_path / "script.py").write_text(PROGRAM)
    environment = {**os.environ, "TENFOLD_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(source), str(seconds)],
        env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_script_needs_no_guard(tmp_path):
    out, err = start_program(tmp_path, 0).communicate(timeout=120)
    assert err == ""
    assert out.splitlines()[-1] == "320"
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_with_the_program_its_processes_end(tmp_path, number):
    program = start_program(tmp_path, 60)
    assert program.stdout
    helpers = [int(word) for word in program.stdout.readline().split()]
    os.killpg(program.pid, number)
    _, err = program.communicate(timeout=60)
    assert err.count("Traceback") == (number == signal.SIGINT)
    assert program.returncode == -number
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{helper}").exists() for helper in helpers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [helper for helper in helpers if Path(f"/proc/{helper}").exists()]
    made = [path.name for path in (tmp_path / "cache/stores").iterdir()]
    assert [name for name in made if not name.startswith(".tenfold-tmp")] == []
