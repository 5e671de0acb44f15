import pytest
import torch

from tenfold.core.devices import choose_device, evaluation_kernels, supports_bfloat16
from tenfold.core.errors import DeviceError, UsageError


def fake_gpus(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Makes PyTorch report the given GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_the_cpu_is_always_available() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "found"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda")])
def test_auto_selects_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, found: str) -> None:
    fake_gpus(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(found)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_an_unavailable_device_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake_gpus(monkeypatch)
    kind = name.partition(":")[0]
    with pytest.raises(
        DeviceError,
        match=f"^device '{name}' is not available: this machine has no {kind} devices; "
        "use --device cpu or --device auto$",
    ):
        choose_device(name)


def test_a_gpu_index_beyond_the_last_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, cuda=1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="'cuda:1' is not available: this machine has 1 cuda device;"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda: 1", "cpu:", "tpu:0"])
def test_an_unknown_device_name_is_an_error(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is not a device; expected auto, cpu, cuda, cuda:1 or mps"):
        choose_device(name)


def test_bfloat16_support_is_a_bool() -> None:
    assert supports_bfloat16(torch.device("cpu")) in (True, False)
    assert not supports_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("tf32", [True, False])
def test_kernels_for_evaluation_are_selected_only_inside_the_block(tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with evaluation_kernels(tf32=tf32):
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
        assert not torch.backends.cudnn.benchmark
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
    assert torch.backends.cudnn.benchmark
