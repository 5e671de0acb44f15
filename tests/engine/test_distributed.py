"""Errors of several processes that need no second one. Two processes: `test_two_processes.py`."""

import socket
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tenfold.core.errors import ProcessLost, TrainingError, UsageError
from tenfold.core.world import ALONE as ALONE_WORLD
from tenfold.core.world import World
from tenfold.engine import distributed
from tenfold.engine.distributed import ALONE, Processes, joined
from tenfold.engine.precision import Hardware, own_hardware

SECOND = World(rank=1, size=2, local_rank=1, local_size=2)


def test_a_missing_rendezvous_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(distributed, "_RENDEZVOUS_SECONDS", 0.2)
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    message = (
        rf"process 1 of 2 processes did not find the others at 127\.0\.0\.1:{port} \(.*\); check that the launcher"
    )
    with pytest.raises(TrainingError, match=message), joined(SECOND, torch.device("cpu")):
        pass


def test_one_process_joins_nobody() -> None:
    with joined(ALONE_WORLD, torch.device("cpu")) as processes:
        assert processes is ALONE
        assert processes.gather_objects("value") == ["value"]
        assert processes.from_main(lambda: 3) == 3


def test_a_connection_that_another_process_closed_is_one_line() -> None:
    with (
        pytest.raises(TrainingError, match=r"another process of this training has ended; its own message says why"),
        distributed._clear_loss_of_peers(),
    ):
        raise RuntimeError(
            "[/pytorch/third_party/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]"
        )


@pytest.fixture
def meetings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns the stores of the meetings of this process with others that do not exist, and what ends them."""
    store, found = dist.HashStore(), []
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(store, 1, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, store, **_: found.append(store))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: found.append("left"))
    monkeypatch.setattr(distributed, "sleep", lambda seconds: found.append("waited"))
    return found


def test_the_second_training_of_a_script_does_not_read_the_addresses_of_the_first(meetings: list[Any]) -> None:
    for _ in range(2):
        with joined(SECOND, torch.device("cpu")):
            pass
    first, _, second, _ = meetings
    first.set("address", "of a closed connection")
    first.set_timeout(timedelta(seconds=1))
    assert first.check(["address"])
    assert not second.check(["address"])


def test_a_launcher_is_given_time_to_see_the_error_that_another_process_ends_with(
    meetings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ProcessLost), joined(SECOND, torch.device("cpu")):
        raise RuntimeError("Connection closed by peer")
    assert meetings[1:] == ["left", "waited"]


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), distributed._clear_loss_of_peers():
        raise RuntimeError("shape mismatch")


def test_one_gpu_for_several_processes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"train.device is 'cuda:0' for 2 processes; expected cuda or cpu"):
        own_hardware(Hardware(torch.device("cuda:0"), None, threads=1), Processes(SECOND))
