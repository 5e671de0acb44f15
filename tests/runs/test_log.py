import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.disks import KillingDisk, in_child
from tenfold.core import durable
from tenfold.core.errors import RunError
from tenfold.runs.log import Log, read_log


def test_each_line_has_number_time_and_event(tmp_path: Path) -> None:
    times = iter([100.0, 101.5, 103.25])
    log = Log(tmp_path / "log.jsonl", clock=lambda: next(times))
    log.write("started", step=0)
    log.write("row", step=10, loss=2.5)
    entries = read_log(tmp_path / "log.jsonl")
    assert [(entry["number"], entry["time_s"], entry["event"], entry["step"]) for entry in entries] == [
        (1, 1.5, "started", 0),
        (2, 3.25, "row", 10),
    ]
    assert entries[0]["utc"].endswith("+00:00")
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_numbers_and_seconds_continue_after_a_resume(tmp_path: Path) -> None:
    times = iter([0.0, 7.0])
    Log(tmp_path / "log.jsonl", clock=lambda: next(times)).write("started")
    times = iter([-50.0, -48.0])  # after a reboot the clock has another start
    Log(tmp_path / "log.jsonl", clock=lambda: next(times)).write("resumed")
    assert [(entry["number"], entry["time_s"]) for entry in read_log(tmp_path / "log.jsonl")] == [(1, 7.0), (2, 9.0)]


def test_seconds_include_what_was_spent_before_the_log_was_opened(tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 1.0])
    log = Log(tmp_path / "log.jsonl", clock=lambda: next(times), spent=5.0)
    log.write("started")
    assert log.seconds() == 6.0
    times = iter([0.0, 1.0])
    assert Log(tmp_path / "log.jsonl", clock=lambda: next(times), spent=5.0, earlier=20.0).seconds() == 26.0
    times = iter([0.0, 1.0])
    assert Log(tmp_path / "log.jsonl", clock=lambda: next(times), earlier=2.0).seconds() == 7.0


def test_an_incomplete_last_line_is_ignored_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).write("started")
    with path.open("a") as file:
        file.write('{"number": 2, "ev')
    assert [entry["event"] for entry in read_log(path)] == ["started"]
    Log(path).write("resumed")
    assert [(entry["number"], entry["event"]) for entry in read_log(path)] == [(1, "started"), (2, "resumed")]


@pytest.mark.parametrize("line", ["{", "[1]", "", "hello"])
def test_another_damaged_line_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"number": 1}}\n{line}\n{{"number": 3}}\n')
    with pytest.raises(RunError, match=r"line 2 of .*log\.jsonl is damaged, expected one JSON object; remove"):
        read_log(path)


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"log\.jsonl is missing"):
        read_log(tmp_path / "log.jsonl")


def test_nan_and_invalid_names_can_be_logged(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n.jpg")
    Log(tmp_path / "log").write("stopped", loss=float("nan"), losses=[float("inf"), 1.0], path=Path(name), name=name)
    entry = read_log(tmp_path / "log")[0]
    assert (entry["loss"], entry["losses"], entry["path"], entry["name"]) == ("nan", ["inf", 1.0], name, name)


def test_a_reserved_field_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'time_s' is a reserved field"):
        Log(tmp_path / "log").write("row", time_s=1.0)


@given(st.dictionaries(st.text().map("f_".__add__), st.text() | st.integers() | st.lists(st.text()), max_size=4))
@settings(max_examples=30)
def test_any_field_is_read_back(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    Log(path).write("event", **fields)
    entry = read_log(path)[0]
    assert {key: entry[key] for key in fields} == fields
    json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_keeps_all_written_lines(tmp_path: Path, torn: bool) -> None:
    def work(path: Path, k: int, acknowledge: Callable[[str], None]) -> None:
        durable.disk = KillingDisk(k, torn=torn)
        log = Log(path)
        for event in ("a", "b", "c"):
            log.write(event)
            acknowledge(event)

    for k in count(1):
        path = tmp_path / str(k)
        finished, acknowledged = in_child(lambda acknowledge, path=path, k=k: work(path, k, acknowledge))
        Log(path).write("resumed")
        entries = read_log(path)
        assert [entry["event"] for entry in entries][: len(acknowledged)] == acknowledged
        assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
        if finished:
            break
