import multiprocessing
import os
import random
import re
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
from tenfold.experiments.sweep.pool import Job, Outcome, Work, run_jobs

TESTS = Path(__file__).parents[1]


def pool(payloads: Iterable[Any], work: Work, workers: int = 1, **settings: Any) -> list[Outcome]:
    """Does a list of jobs, called 0, 1, …, to its end; no worker is left then."""
    jobs = (Job(str(number), payload) for number, payload in enumerate(payloads))
    outcomes = list(run_jobs(lambda: next(jobs, None), work, workers=workers, **settings))
    assert not workers_of_this_process()
    return outcomes


def workers_of_this_process() -> list[Any]:
    return [process for process in multiprocessing.active_children() if process.name == "tenfold-worker"]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def runs(process: int) -> bool:
    """Returns whether a process is alive; one that has ended may wait to be taken note of by the system's first."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    with suppress(OSError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def numbers(folder: Path, kind: str = "begun") -> list[int]:
    return [int(path.name.removeprefix(f"{kind}-")) for path in folder.glob(f"{kind}-*")]


# Jobs and messages


def test_every_job_has_its_result_and_workers_are_used_again() -> None:
    outcomes = pool(range(30), pool_work.double, workers=2)
    assert sorted(outcomes, key=lambda outcome: int(outcome.key)) == [
        Outcome(str(number), 2 * number, None, 1) for number in range(30)
    ]
    assert len({outcome.result for outcome in pool(range(30), pool_work.process_id, workers=2)}) <= 2


def test_no_more_workers_start_than_there_are_jobs() -> None:
    started: list[int] = []
    pool([["?"]], pool_work.ask, workers=5, heard=lambda key, message: started.append(len(workers_of_this_process())))
    assert started == [1]


def test_jobs_start_in_the_order_in_which_they_were_given() -> None:
    assert [outcome.key for outcome in pool(range(12), pool_work.double)] == [str(number) for number in range(12)]


def test_a_source_that_waits_for_an_outcome_is_asked_again_after_it() -> None:
    known = deque([1])
    given: list[int] = []

    def next_job() -> Job | None:
        if not known:
            return None
        given.append(known.popleft())
        return Job(f"job {given[-1]}", given[-1])

    for outcome in run_jobs(next_job, pool_work.double, workers=2):
        if outcome.result < 50:
            known.append(outcome.result)
    assert given == [1, 2, 4, 8, 16, 32]


def test_a_source_that_has_nothing_now_is_not_asked_again_and_again() -> None:
    asked: list[int] = []
    jobs = iter([Job("a", (1, 0.7))])

    def next_job() -> Job | None:
        asked.append(1)
        return next(jobs, None)

    assert len(list(run_jobs(next_job, pool_work.double_slowly, workers=2))) == 1
    assert len(asked) == 3, "for the first worker, for the second, and after the outcome"


def test_nothing_to_do_starts_nothing() -> None:
    assert pool([], pool_work.double, workers=2) == []


def test_a_report_is_answered_by_what_heard_it() -> None:
    heard: list[tuple[str, object]] = []

    def answer(key: str, message: Any) -> str:
        heard.append((key, message))
        return f"{key} said {message['epoch']}"

    (outcome,) = pool([[{"epoch": 1}, {"epoch": 2}]], pool_work.ask, heard=answer)
    assert outcome.result == ["0 said 1", "0 said 2"]
    assert heard == [("0", {"epoch": 1}), ("0", {"epoch": 2})]


def test_a_report_that_nobody_hears_is_answered_by_none() -> None:
    assert pool([["?"]], pool_work.ask)[0].result == [None]


# Environment and terminal


def test_thread_counts_reach_the_workers_and_not_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    before = dict(os.environ), sys.modules["__main__"]
    assert pool([names], pool_work.variables, threads=3)[0].result == ["3", "3"]
    assert (dict(os.environ), sys.modules["__main__"]) == before
    assert pool([names], pool_work.variables)[0].result == ["7", None]


def test_a_worker_imports_no_more_than_its_jobs_need() -> None:
    assert pool([["torch", "pytest", "typer"]], pool_work.imported)[0].result == []


def test_what_workers_say_goes_into_the_log_and_never_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "workers.log"
    log.write_text("from earlier\n")
    pool([None], pool_work.chatter, log=log)
    pool([None], pool_work.chatter)
    assert capfd.readouterr() == ("", "")
    said = log.read_text()
    assert said.startswith("from earlier\n")
    for words in ("on standard output", "on standard error", "UserWarning: a warning", "written below Python"):
        assert words in said


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*missing/log: there is no such file or folder"):
        pool([1], pool_work.double, log=tmp_path / "missing" / "log")


# Jobs that fail


def test_an_error_of_ours_is_told_in_its_own_line() -> None:
    (outcome,) = pool([RunError("runs/a is damaged; delete it")], pool_work.raise_)
    assert (outcome.result, outcome.error, outcome.attempts) == (None, "runs/a is damaged; delete it", 1)
    assert outcome.details is not None
    assert outcome.details.endswith("RunError: runs/a is damaged; delete it\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [(ValueError("two\nlines"), "ValueError: two lines"), (KeyError(), "KeyError"), (SystemExit(3), "SystemExit: 3")],
    ids=["error", "no text", "exit"],
)
def test_any_other_error_is_one_line_and_its_traceback_is_kept(tmp_path: Path, error: BaseException, told: str) -> None:
    log = tmp_path / "workers.log"
    outcomes = pool([error, RunError("next")], pool_work.raise_, log=log)
    assert outcomes[0].error == (
        f"this should not have happened ({told}); report it with its traceback from {log} to Tenfold's issue tracker"
    )
    assert outcomes[0].details is not None
    assert outcomes[0].details in log.read_text()
    assert "in raise_" in outcomes[0].details
    assert outcomes[1].error == "next", "the worker goes on"


@pytest.mark.parametrize(
    ("work", "payload", "told"),
    [
        (pool_work.give, "lock", r"^the result cannot be sent to another process \(TypeError: cannot pickle"),
        (pool_work.give, "stranger", r"^the result cannot be read from another process \(RunError: made elsewhere\)$"),
        (pool_work.tell, "lock", r"^the message cannot be sent to another process \(TypeError: cannot pickle"),
        (pool_work.tell, "stranger", r"^the message cannot be read from another process \(RunError: made elsewhere\)$"),
        (pool_work.give, threading.Lock(), r"^the job cannot be sent to another process \(TypeError: cannot pickle"),
        (pool_work.give, pool_work.ReadHereOnly(), r"^the job cannot be read from another process \(RunError: made el"),
    ],
)
def test_what_cannot_go_from_process_to_process_fails_its_own_job_only(work: Work, payload: Any, told: str) -> None:
    failed, well = pool([payload, "number"], work)
    assert failed.error is not None
    assert re.search(told, failed.error)
    assert well.error is None


def test_work_that_no_worker_can_import_fails_every_job_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = types.ModuleType("ghost")
    exec("def work(payload, report):\n    return payload", ghost.__dict__)
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    outcomes = pool(range(3), ghost.work, workers=2)
    assert {outcome.error for outcome in outcomes} == {
        "the job cannot be read from another process (ModuleNotFoundError: No module named 'ghost')"
    }
    assert len(outcomes) == 3


# Workers that die


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, -3], ids=str)
def test_a_job_whose_worker_dies_is_done_by_a_fresh_one_before_all_others(tmp_path: Path, end: int) -> None:
    retried: list[tuple[str, str]] = []
    outcomes = pool(
        [None, (tmp_path / "count", 1, end), None],
        pool_work.die_if_told,
        retried=lambda key, reason: retried.append((key, reason)),
    )
    assert [(outcome.key, outcome.result, outcome.attempts) for outcome in outcomes] == [
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
def test_a_job_whose_worker_dies_twice_is_given_up_and_the_others_go_on(tmp_path: Path, end: int, cause: str) -> None:
    dead, well = pool([(tmp_path / "count", 9, end), None], pool_work.die_if_told)
    assert dead == Outcome("0", None, f"its worker died twice (the last time {cause})", 2)
    assert well.result == "alive"
    assert (tmp_path / "count").read_text() == "xx"


def test_a_death_is_noticed_though_a_child_of_the_worker_lives_on(tmp_path: Path) -> None:
    """The child holds the worker's end of the channel open."""
    (outcome,) = pool([tmp_path], pool_work.die_as_a_parent)
    (tmp_path / "over").touch()
    assert outcome.error is not None
    assert outcome.error.startswith("its worker died twice")


def test_training_that_somebody_else_stops_is_tried_again_once() -> None:
    (outcome,) = pool([Terminated("stopped at step 3 and saved")], pool_work.raise_)
    assert outcome.error == "its worker died twice (the last time by signal 15, SIGTERM)"


def test_no_result_is_lost_or_doubled_when_workers_are_killed_at_any_moment() -> None:
    killed = 0
    for seed in range(20):
        chance = random.Random(seed)
        kills: list[int] = []
        over = threading.Event()
        killer = threading.Thread(target=kill_at_random, args=(chance, kills, over))
        killer.start()
        payloads = [(number, chance.random() / 50) for number in range(8)]
        try:
            outcomes = pool(payloads, pool_work.double_slowly, workers=2)
        finally:
            over.set()
            killer.join()
        assert sorted(int(outcome.key) for outcome in outcomes) == list(range(8)), f"seed {seed}"
        dead = [outcome for outcome in outcomes if outcome.error]
        assert all(outcome.result == 2 * int(outcome.key) for outcome in outcomes if not outcome.error)
        assert all("its worker died twice" in str(outcome.error) for outcome in dead)
        assert 2 * len(dead) <= len(kills), f"seed {seed}"
        killed += len(kills)
    assert killed > 10


def kill_at_random(chance: random.Random, kills: list[int], over: threading.Event) -> None:
    for _ in range(3):
        if over.wait(chance.random() / 4):
            return
        workers = workers_of_this_process()
        if workers:
            victim = chance.choice(workers)
            victim.kill()
            kills.append(victim.pid)


# The end of it all


def test_closing_the_iterator_ends_all_workers(tmp_path: Path) -> None:
    jobs = chain([Job("slow", tmp_path)], (Job(f"quick {number}", None) for number in count()))
    outcomes = run_jobs(lambda: next(jobs), pool_work.sleep_if_told, workers=2)
    assert all(outcome.key != "slow" for outcome in takewhile(lambda _: not numbers(tmp_path), outcomes))
    outcomes.close()  # type: ignore[attr-defined]
    assert not workers_of_this_process()


def test_an_exception_of_the_caller_ends_all_workers() -> None:
    def fail(key: str, message: object) -> None:
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        pool([["?"], ["?"]], pool_work.ask, workers=2, heard=fail)
    assert not workers_of_this_process()


def test_a_stop_lets_busy_workers_finish_and_starts_nothing_new(tmp_path: Path) -> None:
    outcomes = pool(
        [tmp_path] * 5, pool_work.finish_when_stopped, workers=2, stopping=lambda: len(numbers(tmp_path)) > 1
    )
    assert [(outcome.result, outcome.error) for outcome in outcomes] == [("finished just so", None)] * 2


def test_stopped_jobs_have_no_outcome(tmp_path: Path) -> None:
    heard: list[object] = []
    outcomes = pool(
        [tmp_path] * 5,
        pool_work.train_until_stopped,
        workers=2,
        heard=lambda key, message: heard.append(message),
        stopping=lambda: len(numbers(tmp_path)) > 1,
    )
    assert outcomes == []
    assert heard == ["stopping"] * 2, "the pool listens to the last"
    assert len(numbers(tmp_path, "saved")) == 2


@pytest.mark.parametrize("work", [pool_work.sleep, pool_work.sleep_deaf])
def test_work_that_does_not_heed_the_stop_is_ended(tmp_path: Path, work: Work) -> None:
    assert pool([tmp_path] * 3, work, workers=2, stopping=lambda: len(numbers(tmp_path)) > 1, grace=0.3) == []
    assert len(numbers(tmp_path)) == 2


def test_workers_do_not_feel_ctrl_c_whatever_their_work_does_with_it() -> None:
    assert pool([None], pool_work.interrupt_itself)[0] == Outcome("0", None, None, 1)


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
def test_a_signal_to_the_whole_group_reaches_each_worker_once_and_by_the_pool(tmp_path: Path, number: int) -> None:
    process = program(
        "-m", "harness.pool_program", "train_until_stopped", str(tmp_path), "orderly",
        folder=tmp_path, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: len(numbers(tmp_path)) == 2)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == (f"ended by {number:d}\n", "", 0)
    assert sorted(numbers(tmp_path, "saved")) == sorted(numbers(tmp_path))
    assert {path.read_text() for path in tmp_path.glob("saved-*")} == {f"{signal.SIGTERM:d}"}
    assert not any(map(runs, numbers(tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, number: int) -> None:
    process = program("-m", "harness.pool_program", "sleep_deaf", str(tmp_path), "orderly", folder=tmp_path)
    wait_until(lambda: len(numbers(tmp_path)) == 2)
    assert all(map(runs, numbers(tmp_path)))
    process.send_signal(number)
    assert process.wait(timeout=30) == -number
    process.communicate()
    wait_until(lambda: not any(map(runs, numbers(tmp_path))))


def test_the_second_ctrl_c_ends_parent_and_workers_at_once(tmp_path: Path) -> None:
    process = program("-m", "harness.pool_program", "sleep_deaf", str(tmp_path), "orderly", folder=tmp_path)
    wait_until(lambda: len(numbers(tmp_path)) == 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT
    process.communicate()
    wait_until(lambda: not any(map(runs, numbers(tmp_path))))


def test_a_program_that_fails_while_it_keeps_the_iterator_leaves_no_worker(tmp_path: Path) -> None:
    """Python itself would wait for them for ever."""
    process = program("-m", "harness.pool_program", "sleep_once", str(tmp_path), "raise", folder=tmp_path)
    _, errors = process.communicate(timeout=30)
    assert errors.endswith("ValueError: the program fails\n")
    assert len(numbers(tmp_path)) == 1
    assert not any(map(runs, numbers(tmp_path)))


SCRIPT = """
from pathlib import Path
from harness.pool_work import double
from tenfold.core.errors import TenfoldError
from tenfold.experiments.sweep.pool import Job, run_jobs

with Path("imported").open("a") as file:
    file.write("x")

def own_work(number, report):
    return 2 * number

def study(work):
    jobs = iter([Job("a", 1), Job("b", 2), Job("c", 3)])
    try:
        print(sorted(outcome.result for outcome in run_jobs(lambda: next(jobs, None), work, workers=2)))
    except TenfoldError as error:
        print(type(error).__name__, error)
"""


def run_script(folder: Path, text: str) -> tuple[str, str, int]:
    """Runs a user's script; returns what it printed, its errors, and how many processes imported it."""
    (folder / "script.py").write_text(SCRIPT + text)
    output, errors = program("script.py", folder=folder).communicate(timeout=60)
    return output, errors, len((folder / "imported").read_text())


def test_a_script_without_a_guard_works_as_long_as_no_worker_needs_it(tmp_path: Path) -> None:
    assert run_script(tmp_path, "study(double)") == ("[2, 4, 6]\n", "", 1)


def test_a_guarded_script_may_hold_the_work_itself(tmp_path: Path) -> None:
    output, errors, imports = run_script(tmp_path, "if __name__ == '__main__':\n    study(own_work)")
    assert (output, errors) == ("[2, 4, 6]\n", "")
    assert 2 <= imports <= 3


def test_a_script_that_workers_need_and_that_lacks_the_guard_is_told_so_in_one_line(tmp_path: Path) -> None:
    output, errors, imports = run_script(tmp_path, "study(own_work)")
    assert output == (
        "UsageError a worker process could not import your script, which it must for what the script itself defines; "
        "put the call that starts the workers under `if __name__ == '__main__':`\n"
    )
    assert errors == ""
    assert imports <= 3


def test_a_system_that_refuses_more_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with pytest.raises(
        TenfoldError, match=r"^no worker process can start \(Resource temporarily unavailable\); try --j"
    ):
        pool([1], pool_work.double)
