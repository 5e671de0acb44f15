"""Ray without a cluster: messages, resources, the order of results, and run folders that are sent."""

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.sweeps import make_sweep
from tenfold.api.on_ray import in_order
from tenfold.cli.grammar import rewritten
from tenfold.core import durable
from tenfold.core.errors import TenfoldError, UsageError
from tenfold.experiments.sweep import ray_cluster, sent_folder
from tenfold.experiments.sweep.pool import Job, JobResult
from tenfold.experiments.sweep.ray_cluster import RayOptions, check_room, num_slots, ray_options
from tenfold.experiments.sweep.ray_pool import loss_text, task_options
from tenfold.experiments.sweep.sent_folder import Sent, run_in_own_folder, sending_folders
from tenfold.runs.sweep_folder import SweepFolder, Trial

NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 3.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


def pool_of(order: Callable[[list[Job]], list[Job]] = list, elsewhere: Callable[[Any], Any] = lambda payload: payload):
    """Returns a pool that runs all jobs in this process, in another order, with what another machine makes of them."""

    def run(next_job, function, *, on_report, on_retry, should_stop) -> Iterator[JobResult]:
        for job in order(list(iter(next_job, None))):
            payload = elsewhere(pickle.loads(pickle.dumps(job.payload)))
            try:
                yield JobResult(
                    job.key, function(payload, lambda message, key=job.key: on_report(key, message)), None, 1
                )
            except TenfoldError as error:
                yield JobResult(job.key, None, str(error), 1)

    return run


# Messages


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--ray needs Ray, which is not installed; run: pip install -e '\.\[ray\]'$"):
        ray_options(True)


def test_resources_without_ray_are_refused() -> None:
    assert ray_options(False) is None
    with pytest.raises(UsageError, match="--cpus-per-trial and --gpus-per-trial was given without --ray"):
        ray_options(False, cpus_per_trial=2, gpus_per_trial=0.0)
    with pytest.raises(UsageError, match="cannot be negative"):
        ray_options(True, gpus_per_trial=-1)


@pytest.mark.parametrize("address", ["head", "ray://head:10001", ":6379", "head:port"])
def test_an_address_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: object())
    with pytest.raises(UsageError, match=f"--ray is '{address}'; expected HOST:PORT"):
        ray_options(address)


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """Yields the address of a server that sends some bytes to one client; None listens without ever answering."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(answer or b"")
                connection.recv(100)

        thread = threading.Thread(target=serve)
        if answer is not None:
            thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        if answer is not None:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "reason"), [(None, "timed out"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else listens there")]
)
def test_an_address_where_no_cluster_answers_is_one_line(
    answer: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: object())
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.1 if answer is None else 10.0)
    with server(answer) as address, pytest.raises(TenfoldError) as caught:
        ray_options(address)
    assert str(caught.value).startswith(f"no Ray cluster answers at {address} ({reason}); expected one that")
    with pytest.raises(TenfoldError, match=rf"no Ray cluster answers at {address} \(Connection refused\)"):
        ray_options(address)


def test_a_server_that_answers_in_grpc_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: object())
    with server(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        options = ray_options(address, cpus_per_trial=2, gpus_per_trial=0.25, jobs=3)
    assert options == RayOptions(address, 2, 0.25, 3)
    assert options.flag == f"--ray {address}"
    assert RayOptions().flag == "--ray"


def test_the_flag_may_stand_alone_and_never_takes_data() -> None:
    flags = {"--ray", "--json"}
    assert rewritten(["--ray", "photos/"], flags) == ["--ray=local", "photos/"]
    assert rewritten(["x", "--ray"], flags) == ["x", "--ray=local"]
    assert rewritten(["--ray", "head:6379", "--ray=h:1"], flags) == ["--ray", "head:6379", "--ray=h:1"]
    assert rewritten(["--ray", "auto"], flags) == ["--ray", "auto"]
    assert rewritten(["--ray"], {"--json"}) == ["--ray"]


# Resources


@pytest.mark.parametrize(
    ("cpus", "gpus", "slots"), [(1, 0, 11), (2, 0, 5), (1, 1, 2), (1, 0.25, 8), (2, 0.25, 4), (1, 0.1, 8), (9, 0, 0)]
)
def test_tasks_fit_on_the_machines_that_are_alive(cpus: int, gpus: float, slots: int) -> None:
    assert num_slots(NODES, cpus, gpus) == slots


def test_a_trial_that_fits_nowhere_is_refused() -> None:
    check_room(NODES, 8, 2)
    with pytest.raises(
        UsageError, match=r"has 9 CPUs and 0\.5 GPUs for a trial; expected at most 8 CPUs and 2 GPUs: change"
    ):
        check_room(NODES, 9, 0.5)


def test_a_task_declares_its_resources() -> None:
    assert task_options(RayOptions(cpus=2, gpus=0.25)) == {"num_cpus": 2, "num_gpus": 0.25, "max_retries": 0}


def test_a_loss_is_told_in_words() -> None:
    names = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError")
    assert [loss_text(type(name, (Exception,), {})()) for name in names] == [
        "its worker died", "its machine was lost (NodeDiedError)", "its machine ran out of memory",
    ]  # fmt: skip


# The order of results


def shift(payload: int, send_report: Any) -> int:
    if payload == 7:
        raise TenfoldError("seven is not wanted")
    return payload + 100


def test_results_come_in_the_order_of_the_files_whatever_ends_first() -> None:
    orders = (list, lambda jobs: jobs[::-1], lambda jobs: sorted(jobs, key=lambda job: int(job.key) % 3))
    for order in orders:
        assert list(in_order(pool_of(order), shift, iter(range(7)))) == list(range(100, 107))


def test_a_chunk_that_fails_ends_all_with_its_line() -> None:
    with pytest.raises(TenfoldError, match="seven is not wanted"):
        list(in_order(pool_of(), shift, iter(range(9))))


# Run folders


def write_run(payload: tuple[str, int], send_report: Any) -> str:
    folder = Path(payload[0])
    durable.make_folder(folder / "checkpoints")
    for name in ("log.jsonl", "checkpoints/step", ".lock"):
        (folder / name).write_text(f"{name} {payload[1]}")
    return f"value {payload[1]}"


def run_sent(sweep: SweepFolder, elsewhere: Callable[[Any], Any]) -> tuple[list[JobResult], list[Any]]:
    jobs, reports = iter([Job("000", (str(sweep.trials_folder / "000"), 5))]), []
    pool = sending_folders(pool_of(elsewhere=elsewhere), sweep)
    results = pool(
        lambda: next(jobs, None),
        write_run,
        on_report=lambda *report: reports.append(report),
        on_retry=lambda *_: None,
        should_stop=lambda: False,
    )
    return list(results), reports


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_worker_that_sees_the_folder_writes_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep(tmp_path, [Trial("000", {}, 0, 0)])
    monkeypatch.chdir(tmp_path)
    results, reports = run_sent(SweepFolder(Path("s")), lambda payload: payload)
    assert (results, reports) == ([JobResult("000", "value 5", None, 1)], [])
    assert names_in(sweep.trials_folder / "000") == {"log.jsonl", "checkpoints/step", ".lock"}


@pytest.mark.parametrize("other", ["nothing", "another sweep"])
def test_a_worker_that_does_not_see_the_folder_sends_its_files(tmp_path: Path, other: str) -> None:
    sweep = make_sweep(tmp_path / "driver", [Trial("000", {}, 0, 0)])
    if other == "another sweep":
        make_sweep(tmp_path / "worker", [Trial("000", {}, 0, 0), Trial("001", {}, 0, 1)]).plan_file.write_text("{}")
    unfinished = sweep.trials_folder / "000" / "old"
    durable.make_folder(unfinished)

    def elsewhere(payload: Any) -> Any:
        function, digest, (path, *rest) = payload
        return function, digest, (path.replace("/driver/", "/worker/"), *rest)

    results, ((key, report),) = run_sent(sweep, elsewhere)
    assert results == [JobResult("000", "value 5", None, 1)]
    assert key == "000"
    assert "does not see the sweep's folder" in report["warning"]
    folder = sweep.trials_folder / "000"
    assert names_in(folder) - {"manifest.json"} == {"log.jsonl", "checkpoints/step"}
    assert (folder / "log.jsonl").read_text() == "log.jsonl 5"
    assert not unfinished.exists()
    assert not (tmp_path / "worker" / "s" / "trials" / "000").exists()


def test_a_trial_waits_for_a_lost_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep(tmp_path, [Trial("000", {}, 0, 0)])
    locked = [True, True, False]
    monkeypatch.setattr(sent_folder, "is_locked", lambda folder: locked.pop(0))
    monkeypatch.setattr(sent_folder.time, "sleep", lambda seconds: None)
    path = str(sweep.trials_folder / "000")
    sent = run_in_own_folder((write_run, durable.digest(sweep.plan_file), (path, 1)), lambda message: None)
    assert sent == Sent("value 1", None, socket.gethostname())
    assert locked == []
