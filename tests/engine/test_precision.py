import pytest
import torch

from tenfold.core.errors import DeviceError, UsageError
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.recipes.schema import TrainSection

CPU = torch.device("cpu")


def flags() -> tuple[object, ...]:
    return torch.get_num_threads(), torch.backends.mkldnn.enabled, torch.backends.cudnn.deterministic


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("onednn", [True, False])
def test_settings_are_applied_and_restored(onednn: bool) -> None:
    before = flags()
    with Hardware(CPU, None, threads=2, onednn=onednn).active():
        assert flags() == (2, onednn, True)
    assert flags() == before


def test_settings_are_restored_after_an_error() -> None:
    before = flags()
    with pytest.raises(ZeroDivisionError), Hardware(CPU, None, threads=2, onednn=False).active():
        raise ZeroDivisionError
    assert flags() == before


def test_onednn_stays_off_for_a_caller_who_switched_it_off() -> None:
    previous, *_ = torch.backends.mkldnn.set_flags(_enabled=False)
    try:
        with Hardware(CPU, None, threads=1, onednn=True).active():
            assert torch.backends.mkldnn.enabled
        assert not torch.backends.mkldnn.enabled
    finally:
        torch.backends.mkldnn.set_flags(_enabled=previous)


@pytest.mark.parametrize(
    ("precision", "native", "autocast"),
    [
        ("float32", True, None),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, None),
    ],
)
def test_auto_uses_bfloat16_only_where_the_hardware_supports_it(
    precision: str, native: bool, autocast: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.engine.precision.supports_bfloat16", lambda device: native)
    assert choose_hardware(TrainSection(device="cpu", precision=precision)).autocast == autocast


def test_threads_come_from_the_recipe_or_the_process() -> None:
    assert choose_hardware(TrainSection(device="cpu", threads=3)).threads == 3
    assert choose_hardware(TrainSection(device="cpu")).threads == torch.get_num_threads()


def test_a_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="'cuda' is not available: this machine has no cuda devices"):
        choose_hardware(TrainSection(device="cuda"))
    with pytest.raises(UsageError, match="'gpu' is not a device"):
        choose_hardware(TrainSection(device="gpu"))


def test_hardware_is_described_in_a_few_words() -> None:
    assert str(Hardware(CPU, None, threads=1)) == "cpu, 1 thread, float32"
    assert str(Hardware(CPU, torch.bfloat16, threads=2)) == "cpu, 2 threads, bfloat16"
