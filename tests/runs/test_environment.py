"""The devices in `env.json`, used or not."""

from pathlib import Path

import pytest
import torch

from tenfold.runs import environment
from tenfold.runs.environment import describe_environment


def test_devices_have_their_names_in_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert describe_environment(["tenfold"])["accelerators"] == ["cuda:0", "cuda:1", "mps"]


def test_a_machine_without_a_gpu_has_no_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert describe_environment(["tenfold"])["accelerators"] == []


@pytest.mark.parametrize(("hidden", "count"), [(None, 2), ("0", 2), ("", 0), ("-1", 0)])
def test_nvidia_gpus_are_counted_unless_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str | None, count: int
) -> None:
    for name in ("nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()

    class Redirected(Path):
        def __new__(cls, path: str) -> Path:  # type: ignore[misc]
            return tmp_path if path == "/dev" else Path(path)

    monkeypatch.setattr(environment, "Path", Redirected)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert describe_environment(["tenfold"])["nvidia_gpus"] == count
