import pytest
import torch

from tenfold.core.devices import choose_device, computes_bfloat16
from tenfold.core.errors import DeviceError, UsageError


def having(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Makes this machine look as though it had so many GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "found"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, found: str) -> None:
    having(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(found)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_a_device_that_is_not_there_is_never_replaced_by_another(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    having(monkeypatch)
    kind = name.partition(":")[0]
    with pytest.raises(
        DeviceError,
        match=f"^device '{name}' was asked for, but this machine has no {kind} devices; "
        "use --device cpu or --device auto$",
    ):
        choose_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, cuda=1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="'cuda:1' was asked for, but this machine has 1 cuda device;"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda: 1", "cpu:", "tpu:0"])
def test_a_name_that_is_no_devices_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is no device; expected auto, cpu, cuda, cuda:1 or mps"):
        choose_device(name)


def test_bfloat16_is_a_plain_answer_on_a_cpu() -> None:
    assert computes_bfloat16(torch.device("cpu")) in (True, False)
    assert not computes_bfloat16(torch.device("meta"))
