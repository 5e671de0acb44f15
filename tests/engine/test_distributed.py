"""Errors of several processes that need no second one. Two processes: `test_two_processes.py`."""

import socket
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
import torch.distributed as dist

from tenfold.core.errors import ProcessLost, TrainingError, UsageError
from tenfold.core.world import ALONE as ALONE_WORLD
from tenfold.core.world import World
from tenfold.engine import distributed, recording
from tenfold.engine.distributed import ALONE, Processes, joined
from tenfold.engine.precision import own_hardware
from tenfold.engine.state import Best
from tenfold.recipes.schema import TrainSection

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


def test_one_process_gathers_its_own_values() -> None:
    assert ALONE.gather(torch.tensor([1, 2])).tolist() == [[1, 2]]
    assert ALONE.exchange([3.0]) == [[3.0]]


@pytest.mark.parametrize(
    "text",
    [
        "[/pytorch/third_party/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]",
        "socketProgress: Connection closed by remote peer node-1<4711>",
        "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.",
        "NCCL error: remote process exited or there was a network error",
    ],
)
def test_a_connection_that_another_process_closed_is_one_line(text: str) -> None:
    with (
        pytest.raises(TrainingError, match=r"another process of this training has ended; its own message says why"),
        distributed._clear_loss_of_peers(),
    ):
        raise RuntimeError(text)


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


class Pair(Processes):
    """Two processes of which rank 0 has found what this one has."""

    def broadcast_object(self, value: Any) -> Any:
        return value


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_one_gpu_for_several_processes_is_refused(name: str, mac: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    section = TrainSection(device=name, precision="float32")
    with pytest.raises(UsageError, match=rf"train.device is '{name}' for 2 processes; expected cuda or cpu"):
        own_hardware(section, Pair(SECOND))


def test_several_processes_on_a_mac_use_the_cpu(mac: None) -> None:
    assert own_hardware(TrainSection(precision="float32"), ALONE).device.type == "mps"
    assert own_hardware(TrainSection(precision="float32"), Pair(SECOND)).device.type == "cpu"


def test_the_best_step_is_that_of_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors of another kind may round a score otherwise, and a process that saves alone would wait forever."""

    class Second(Pair):
        def broadcast_object(self, value: Any) -> Any:
            return 0.1, 0.75, 0.75

    best = Best(0.75, epoch=1, step=1, score=0.75)
    state, setup, plan = MagicMock(best=best, step=2), MagicMock(processes=Second(SECOND)), MagicMock()
    monkeypatch.setattr(recording, "log_row", MagicMock())
    monkeypatch.setattr(recording, "monitored", lambda *_: 0.7500001)
    recording.evaluate_now(setup, plan, state)
    assert state.best is best
