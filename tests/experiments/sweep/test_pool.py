"""The worker pool: results, reports, failing jobs, dying workers, stops, and no process left behind."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Any

import pytest

from harness import pool_work
from harness.command_line import SOURCES, environment
from tenfold.core.errors import RunError, StorageError, TenfoldError, Terminated
from tenfold.experiments.sweep import pool
from tenfold.experiments.sweep.pool import Job, JobFunction, JobResult, run_jobs

TESTS = Path(__file__).parents[2]


def run_all(payloads: Iterable[Any], function: JobFunction, num_workers: int = 1, **settings: Any) -> list[JobResult]:
    """Runs jobs named 0, 1, … and returns their results; checks that no worker is left."""
    jobs = (Job(str(number), payload) for number, payload in enumerate(payloads))
    results = list(run_jobs(lambda: next(jobs, None), function, num_workers=num_workers, **settings))
    assert not running_workers()
    return results


def running_workers() -> list[Any]:
    return [process for process in multiprocessing.active_children() if process.name == "tenfold-worker"]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Returns whether a process runs; a zombie does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    with suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def process_ids(folder: Path, kind: str = "begun") -> list[int]:
    return [int(path.name.removeprefix(f"{kind}-")) for path in folder.glob(f"{kind}-*")]


# Jobs and messages


def test_every_job_has_a_result_and_workers_are_reused() -> None:
    results = run_all(range(30), pool_work.double, num_workers=2)
    assert sorted(results, key=lambda result: int(result.key)) == [
        JobResult(str(number), 2 * number, None, 1) for number in range(30)
    ]
    assert len({result.value for result in run_all(range(30), pool_work.process_id, num_workers=2)}) <= 2


def test_no_more_workers_start_than_there_are_jobs() -> None:
    started: list[int] = []
    run_all(
        [["?"]],
        pool_work.report_each,
        num_workers=5,
        on_report=lambda key, message: started.append(len(running_workers())),
    )
    assert started == [1]


def test_jobs_start_in_the_given_order() -> None:
    assert [result.key for result in run_all(range(12), pool_work.double)] == [str(number) for number in range(12)]


def test_a_new_job_is_requested_after_each_result() -> None:
    known = deque([1])
    given: list[int] = []

    def next_job() -> Job | None:
        if not known:
            return None
        given.append(known.popleft())
        return Job(f"job {given[-1]}", given[-1])

    for result in run_jobs(next_job, pool_work.double, num_workers=2):
        if result.value < 50:
            known.append(result.value)
    assert given == [1, 2, 4, 8, 16, 32]


def test_without_a_new_result_no_further_job_is_requested() -> None:
    asked: list[int] = []
    jobs = iter([Job("a", (1, 0.7))])

    def next_job() -> Job | None:
        asked.append(1)
        return next(jobs, None)

    assert len(list(run_jobs(next_job, pool_work.double_slowly, num_workers=2))) == 1
    assert len(asked) == 3, "for the first worker, for the second, and after the result"


def test_without_jobs_no_worker_starts() -> None:
    assert run_all([], pool_work.double, num_workers=2) == []


def test_a_report_returns_what_on_report_returned() -> None:
    reports: list[tuple[str, object]] = []

    def answer(key: str, message: Any) -> str:
        reports.append((key, message))
        return f"{key} reported {message['epoch']}"

    (result,) = run_all([[{"epoch": 1}, {"epoch": 2}]], pool_work.report_each, on_report=answer)
    assert result.value == ["0 reported 1", "0 reported 2"]
    assert reports == [("0", {"epoch": 1}), ("0", {"epoch": 2})]


def test_a_report_without_on_report_returns_none() -> None:
    assert run_all([["?"]], pool_work.report_each)[0].value == [None]


# Environment and terminal


def test_thread_counts_are_set_in_the_workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    before = dict(os.environ), sys.modules["__main__"]
    assert run_all([names], pool_work.environment_variables, threads=3)[0].value == ["3", "3"]
    assert (dict(os.environ), sys.modules["__main__"]) == before
    assert run_all([names], pool_work.environment_variables)[0].value == ["7", None]


def test_a_worker_imports_only_what_its_jobs_need() -> None:
    assert run_all([["torch", "pytest", "typer"]], pool_work.imported_modules)[0].value == []


def test_worker_output_goes_to_the_log_and_never_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "workers.log"
    log.write_text("from earlier\n")
    run_all([None], pool_work.print_everywhere, log=log)
    run_all([None], pool_work.print_everywhere)
    assert capfd.readouterr() == ("", "")
    text = log.read_text()
    assert text.startswith("from earlier\n")
    for words in ("to standard output", "to standard error", "UserWarning: a warning", "written below Python"):
        assert words in text


def test_a_log_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*missing/log: no such file or folder"):
        run_all([1], pool_work.double, log=tmp_path / "missing" / "log")


# Jobs that fail


def test_a_tenfold_error_is_reported_with_its_own_message() -> None:
    (result,) = run_all([RunError("runs/a is damaged; delete it")], pool_work.raise_error)
    assert (result.value, result.error, result.attempts) == (None, "runs/a is damaged; delete it", 1)


@pytest.mark.parametrize(
    ("error", "cause"),
    [(ValueError("two\nlines"), "ValueError: two lines"), (KeyError(), "KeyError"), (SystemExit(3), "SystemExit: 3")],
    ids=["error", "no text", "exit"],
)
def test_any_other_error_is_one_line_and_the_log_has_its_traceback(
    tmp_path: Path, error: BaseException, cause: str
) -> None:
    log = tmp_path / "workers.log"
    results = run_all([error, RunError("next")], pool_work.raise_error, log=log)
    assert results[0].error == (
        f"this should not have happened ({cause}); report it with its traceback from {log} to Tenfold's issue tracker"
    )
    assert "in raise_error" in log.read_text()
    assert results[1].error == "next", "the worker goes on"


@pytest.mark.parametrize(
    ("function", "payload", "cause"),
    [
        (pool_work.return_new, "lock", "TypeError: cannot pickle '_thread.lock' object"),
        (pool_work.report_new, "lock", "TypeError: cannot pickle '_thread.lock' object"),
    ],
)
def test_a_value_that_cannot_be_pickled_fails_its_own_job_only(function: JobFunction, payload: Any, cause: str) -> None:
    failed, other = run_all([payload, "number"], function)
    assert failed.error is not None
    assert cause in failed.error
    assert other.error is None


def test_a_payload_that_the_worker_cannot_read_fails_its_own_job_only() -> None:
    failed, other = run_all([pool_work.UnreadableElsewhere(), "number"], pool_work.return_new)
    assert failed.error == "made in another process"
    assert other.error is None


def test_a_function_that_workers_cannot_import_fails_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = types.ModuleType("ghost")
    exec("def function(payload, send_report):\n    return payload", ghost.__dict__)
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    results = run_all(range(3), ghost.function, num_workers=2)
    assert len(results) == 3
    assert all("ModuleNotFoundError: No module named 'ghost'" in str(result.error) for result in results)


# Workers that die


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, -3], ids=str)
def test_a_job_whose_worker_dies_is_retried_before_other_jobs(tmp_path: Path, end: int) -> None:
    retried: list[tuple[str, str]] = []
    results = run_all(
        [None, (tmp_path / "count", 1, end), None],
        pool_work.die_at_first,
        on_retry=lambda key, reason: retried.append((key, reason)),
    )
    assert [(result.key, result.value, result.attempts) for result in results] == [
        ("0", "alive", 1),
        ("1", "alive", 2),
        ("2", "alive", 1),
    ]
    ((key, reason),) = retried
    assert key == "1"
    assert reason.startswith(
        "its worker died (with exit code 3" if end == -3 else f"its worker died (by signal {end:d}"
    )


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (signal.SIGKILL, "by signal 9, SIGKILL: often a lack of memory; try --jobs 1"),
        (signal.SIGSEGV, "by signal 11, SIGSEGV"),
        (signal.SIGRTMIN + 1, f"by signal {signal.SIGRTMIN + 1}"),
        (-3, "with exit code 3"),
    ],
    ids=["kill", "crash", "nameless", "exit"],
)
def test_a_job_whose_worker_dies_twice_fails_and_others_go_on(tmp_path: Path, end: int, cause: str) -> None:
    dead, other = run_all([(tmp_path / "count", 9, end), None], pool_work.die_at_first)
    assert dead == JobResult("0", None, f"its worker died twice (the last time {cause})", 2)
    assert other.value == "alive"
    assert (tmp_path / "count").read_text() == "xx"


def test_a_death_is_noticed_while_a_child_of_the_worker_lives(tmp_path: Path) -> None:
    """The child holds the worker's end of the channel open."""
    (result,) = run_all([tmp_path], pool_work.die_before_own_child)
    (tmp_path / "over").touch()
    assert result.error is not None
    assert result.error.startswith("its worker died twice")


def test_training_stopped_by_a_foreign_signal_is_retried_once() -> None:
    (result,) = run_all([Terminated("stopped at step 3 and saved")], pool_work.raise_error)
    assert result.error == "its worker died twice (the last time by signal 15, SIGTERM)"


def test_random_kills_lose_and_double_no_result() -> None:
    killed = 0
    for seed in range(8):
        chance = random.Random(seed)
        kills: list[int] = []
        over = threading.Event()
        killer = threading.Thread(target=kill_at_random, args=(chance, kills, over))
        killer.start()
        payloads = [(number, chance.random() / 50) for number in range(8)]
        try:
            results = run_all(payloads, pool_work.double_slowly, num_workers=2)
        finally:
            over.set()
            killer.join()
        assert sorted(int(result.key) for result in results) == list(range(8)), f"seed {seed}"
        dead = [result for result in results if result.error]
        assert all(result.value == 2 * int(result.key) for result in results if not result.error)
        assert all("its worker died twice" in str(result.error) for result in dead)
        assert 2 * len(dead) <= len(kills), f"seed {seed}"
        killed += len(kills)
    assert killed > 4


def kill_at_random(chance: random.Random, kills: list[int], over: threading.Event) -> None:
    for _ in range(3):
        if over.wait(chance.random() / 4):
            return
        workers = running_workers()
        if workers:
            victim = chance.choice(workers)
            victim.kill()
            kills.append(victim.pid)


# Stops


def test_closing_the_iterator_ends_all_workers(tmp_path: Path) -> None:
    jobs = chain([Job("slow", tmp_path)], (Job(f"quick {number}", None) for number in count()))
    results = run_jobs(lambda: next(jobs), pool_work.sleep, num_workers=2)
    assert all(result.key != "slow" for result in takewhile(lambda _: not process_ids(tmp_path), results))
    results.close()  # type: ignore[attr-defined]
    assert not running_workers()


def test_an_exception_in_the_caller_ends_all_workers() -> None:
    def fail(key: str, message: object) -> None:
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        run_all([["?"], ["?"]], pool_work.report_each, num_workers=2, on_report=fail)
    assert not running_workers()


def test_a_stop_lets_running_jobs_finish_and_starts_no_other(tmp_path: Path) -> None:
    results = run_all(
        [tmp_path] * 5, pool_work.finish_when_stopped, num_workers=2, should_stop=lambda: len(process_ids(tmp_path)) > 1
    )
    assert [(result.value, result.error) for result in results] == [("finished in time", None)] * 2


def test_stopped_jobs_have_no_result(tmp_path: Path) -> None:
    reports: list[object] = []
    results = run_all(
        [tmp_path] * 5,
        pool_work.train_until_stopped,
        num_workers=2,
        on_report=lambda key, message: reports.append(message),
        should_stop=lambda: len(process_ids(tmp_path)) > 1,
    )
    assert results == []
    assert reports == ["stopping"] * 2, "reports are read until the end"
    assert len(process_ids(tmp_path, "saved")) == 2


@pytest.mark.parametrize("function", [pool_work.sleep, pool_work.sleep_ignoring_sigterm])
def test_a_job_that_ignores_the_stop_is_killed(
    tmp_path: Path, function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_STOP_SECONDS", 0.3)
    assert run_all([tmp_path] * 3, function, num_workers=2, should_stop=lambda: len(process_ids(tmp_path)) > 1) == []
    assert len(process_ids(tmp_path)) == 2


def test_workers_never_receive_ctrl_c() -> None:
    assert run_all([None], pool_work.interrupt_itself)[0] == JobResult("0", None, None, 1)


# Programs


def program(*arguments: str, folder: Path, **settings: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment({"PYTHONPATH": os.pathsep.join([str(SOURCES), str(TESTS)])}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_reaches_each_worker_once(tmp_path: Path, number: int) -> None:
    process = program(
        "-m", "harness.pool_program", "train_until_stopped", str(tmp_path), "orderly",
        folder=tmp_path, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: len(process_ids(tmp_path)) == 2)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == (f"ended by {number:d}\n", "", 0)
    assert sorted(process_ids(tmp_path, "saved")) == sorted(process_ids(tmp_path))
    assert {path.read_text() for path in tmp_path.glob("saved-*")} == {f"{signal.SIGTERM:d}"}
    assert not any(map(is_alive, process_ids(tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, number: int) -> None:
    process = program("-m", "harness.pool_program", "sleep_ignoring_sigterm", str(tmp_path), "orderly", folder=tmp_path)
    wait_until(lambda: len(process_ids(tmp_path)) == 2)
    assert all(map(is_alive, process_ids(tmp_path)))
    process.send_signal(number)
    assert process.wait(timeout=30) == -number
    process.communicate()
    wait_until(lambda: not any(map(is_alive, process_ids(tmp_path))))


def test_the_second_ctrl_c_ends_parent_and_workers_at_once(tmp_path: Path) -> None:
    process = program("-m", "harness.pool_program", "sleep_noting_sigterm", str(tmp_path), "orderly", folder=tmp_path)
    wait_until(lambda: len(process_ids(tmp_path)) == 2)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: len(process_ids(tmp_path, "noted")) == 2)  # the parent has passed the first one on
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT
    process.communicate()
    wait_until(lambda: not any(map(is_alive, process_ids(tmp_path))))


def test_a_failing_program_that_keeps_the_iterator_leaves_no_worker(tmp_path: Path) -> None:
    """Without the pool's exit handler, Python would wait for them forever."""
    process = program("-m", "harness.pool_program", "sleep_once", str(tmp_path), "raise", folder=tmp_path)
    _, errors = process.communicate(timeout=30)
    assert errors.endswith("ValueError: the program fails\n")
    assert len(process_ids(tmp_path)) == 1
    assert not any(map(is_alive, process_ids(tmp_path)))


SCRIPT = """
from pathlib import Path
from harness.pool_work import double
from tenfold.experiments.sweep.pool import Job, run_jobs

with Path("imported").open("a") as file:
    file.write("x")

jobs = iter([Job("a", 1), Job("b", 2), Job("c", 3)])
print(sorted(result.value for result in run_jobs(lambda: next(jobs, None), double, num_workers=2)))
"""


def test_workers_do_not_import_the_calling_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    output, errors = program("script.py", folder=tmp_path).communicate(timeout=60)
    assert (output, errors) == ("[2, 4, 6]\n", "")
    assert (tmp_path / "imported").read_text() == "x"


def test_a_refused_process_start_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with pytest.raises(
        TenfoldError, match=r"^no worker process can start \(Resource temporarily unavailable\); try --j"
    ):
        run_all([1], pool_work.double)
