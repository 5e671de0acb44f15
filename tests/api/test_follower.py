"""What the processes of a training compare before they start, and what rank 0 says about them."""

from typing import Any

import pytest

from harness import tiny
from tenfold.api import followers
from tenfold.api.follower import settings_text
from tenfold.api.followers import Followers, check_agreement
from tenfold.core.errors import RunError
from tenfold.core.world import World


class TwoProcesses:
    """Rank 0 of two processes; the other one has the same of everything but its GPU."""

    world, is_several, is_main = World(0, 2, 0, 2), True, True

    def __init__(self, gpus: tuple[str, str] = ("", "")) -> None:
        self.gpus, self.sent, self.compared = gpus, [], {}

    def check_same(self, **values: str) -> None:
        self.compared = values

    def gather_objects(self, value: object) -> list[str]:
        return list(self.gpus)

    def broadcast_object(self, value: Any) -> Any:
        self.sent.append(value)
        return value


def test_paths_and_devices_may_differ_between_machines_and_nothing_else() -> None:
    here = ["data.data_dir=/here", "data.source=x", "train.device=cuda", "optim.lr=1"]
    assert settings_text("quick", here) == settings_text("quick", ["optim.lr=1"]) == "recipe quick, optim.lr=1"
    assert settings_text("/home/a/my.toml", []) == settings_text("/home/b/my.toml", [])
    assert settings_text("quick", []) != settings_text("tutorial", [])


def test_data_command_line_and_versions_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "num_cores", lambda: 2)
    processes: Any = TwoProcesses()
    recipe, dataset = tiny.recipe("mlp", "train.batch_size=16"), tiny.dataset()
    assert check_agreement(processes, recipe, dataset, "recipe quick") == []
    assert set(processes.compared) == {"data", "command_line", "device", "version_of_tenfold", "version_of_torch"}
    assert processes.compared["device"] == "cpu"
    assert processes.compared["data"].endswith(f"({dataset.fingerprint[:12]})")


def test_gpus_of_different_kinds_and_shared_cores_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "num_cores", lambda: 1)
    processes: Any = TwoProcesses(("A100", "T4"))
    recipe = tiny.recipe("mlp", "train.batch_size=16")
    assert check_agreement(processes, recipe, tiny.dataset(), None) == [
        "the GPUs differ (1 × A100, 1 × T4): in each step, all of them wait for the slowest one",
        "2 processes share 1 core: fewer are faster",
    ]


def test_few_images_per_process_are_said_to_be_slow_on_a_cpu() -> None:
    processes: Any = TwoProcesses()
    recipe = tiny.recipe("mlp", "train.batch_size=15")
    assert "2 processes share batches of 15 images" in check_agreement(processes, recipe, tiny.dataset(), None)[-1]


def test_an_error_of_rank_0_ends_those_that_wait() -> None:
    processes: Any = TwoProcesses()
    with pytest.raises(RunError, match="no such run"), Followers(processes):
        raise RunError("no such run")
    assert [str(each) for each in processes.sent] == ["no such run"]


def test_a_finished_run_ends_those_that_wait() -> None:
    processes: Any = TwoProcesses()
    with Followers(processes) as others:
        others.dismiss("the run")
    assert processes.sent == ["the run"]
