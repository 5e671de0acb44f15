import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenfold.core import durable
from tenfold.core.errors import RunError
from tenfold.runs.checkpoint import load_checkpoint, save_checkpoint

torch.set_num_threads(1)


def save(folder: Path, step: int) -> Path:
    tensors = {"model": {"weight": torch.full((3, 2), float(step))}, "optimizer": {"momentum": torch.arange(4)}}
    return save_checkpoint(folder, step, tensors, {"seconds": step / 7})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Round trip


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(4, 6).t(),
        torch.randn(1, 5).expand(3, 5),
        torch.randn(5).to(torch.bfloat16),
        torch.tensor([2**62 + 1, -1]),
        torch.tensor([True, False]),
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.randn(3, dtype=torch.float64),
        torch.tensor([float("nan"), float("inf"), -0.0]),
        torch.get_rng_state(),
        torch.nn.Parameter(torch.randn(2)),
    ],
)
def test_any_tensor_is_restored_bit_for_bit(tmp_path: Path, tensor: Tensor) -> None:
    save_checkpoint(tmp_path, 1, {"model": {"x": tensor}}, {})
    found = load_checkpoint(tmp_path).tensors["model"]["x"]
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    assert found.is_contiguous()
    exact = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    assert torch.equal(found.reshape(-1).view(torch.uint8), exact)


def test_tied_tensors_are_restored_as_equal_tensors(tmp_path: Path) -> None:
    weight = torch.randn(4)
    save_checkpoint(tmp_path, 1, {"model": {"a": weight, "b": weight, "part": weight[:2]}}, {})
    model = load_checkpoint(tmp_path).tensors["model"]
    assert torch.equal(model["a"], weight)
    assert torch.equal(model["b"], weight)
    assert torch.equal(model["part"], weight[:2])


def test_loaded_tensors_are_independent_of_the_files(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    weight = load_checkpoint(tmp_path).tensors["model"]["weight"]
    shutil.rmtree(path)
    weight += 1
    assert bool((weight == 2).all())


def test_empty_groups_are_restored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 0, {"model": {}, "pending": {}}, {})
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.tensors == {"model": {}, "pending": {}}
    assert checkpoint.state == {}
    save_checkpoint(tmp_path, 1, {}, {})
    assert load_checkpoint(tmp_path).tensors == {}


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)
@settings(max_examples=40)
def test_the_state_is_restored_exactly(tmp_path_factory: pytest.TempPathFactory, state: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("state")
    save_checkpoint(folder, 1, {}, state)  # type: ignore[arg-type]
    assert load_checkpoint(folder).state == state


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    one, two = save(tmp_path / "one", 1), save(tmp_path / "two", 1)
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()


def test_nan_in_the_state_is_an_error_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        save_checkpoint(tmp_path / "checkpoints", 1, {}, {"loss": float("nan")})
    assert not (tmp_path / "checkpoints").exists()


# Which checkpoint is loaded


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        save(tmp_path, step)
    assert names(tmp_path) == ["step-00000015", "step-00000020"]


def test_the_highest_step_is_the_newest_whatever_the_time(tmp_path: Path) -> None:
    old, new = save(tmp_path, 5), save(tmp_path, 10)
    os.utime(old, (2_000_000_000, 2_000_000_000))
    os.utime(new, (1, 1))
    assert load_checkpoint(tmp_path).step == 10


def test_steps_of_nine_digits_are_ordered(tmp_path: Path) -> None:
    save(tmp_path, 99_999_999)
    save(tmp_path, 100_000_000)
    assert load_checkpoint(tmp_path).step == 100_000_000


def test_the_same_step_with_the_same_content_is_not_written(tmp_path: Path) -> None:
    before = save(tmp_path, 5)
    inode = before.stat().st_ino
    assert save(tmp_path, 5) == before
    assert before.stat().st_ino == inode
    assert names(tmp_path) == ["step-00000005"]


def test_the_same_step_with_other_content_is_newer(tmp_path: Path) -> None:
    for epoch in range(12):
        save_checkpoint(tmp_path, 5, {}, {"epoch": epoch})
        assert load_checkpoint(tmp_path).state == {"epoch": epoch}
    assert names(tmp_path) == ["step-00000005-11", "step-00000005-12"]


def test_folders_with_other_names_are_kept(tmp_path: Path) -> None:
    (tmp_path / "step-mine").mkdir()
    for step in (5, 10, 15):
        save(tmp_path, step)
    assert "step-mine" in names(tmp_path)


def test_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no checkpoint in .*checkpoints: the run ended before its first"):
        load_checkpoint(tmp_path / "checkpoints")


# Damage


def flip(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path: Path, name: str) -> None:
    save(tmp_path, 5)
    flip(save(tmp_path, 10) / name, 3)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.step == 5
    assert len(checkpoint.warnings) == 1
    assert "checkpoint step-00000010 is skipped" in checkpoint.warnings[0]
    assert name in checkpoint.warnings[0] or name == "manifest.json"
    assert "\n" not in checkpoint.warnings[0]


def test_only_damaged_checkpoints_are_an_error(tmp_path: Path) -> None:
    old, new = save(tmp_path, 5), save(tmp_path, 10)
    flip(old / "state.json")
    (new / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"none of the 2 checkpoints in .* can be used; start a new run") as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_not_one_of_the_two(tmp_path: Path) -> None:
    save(tmp_path, 5)
    flip(save(tmp_path, 10) / "state.json")
    save(tmp_path, 8)
    assert names(tmp_path) == ["step-00000005", "step-00000008"]


def test_a_damaged_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    save(tmp_path, 5)
    flip(save(tmp_path, 10) / "state.json")
    save(tmp_path, 10)
    assert load_checkpoint(tmp_path).step == 10
    assert names(tmp_path) == ["step-00000005", "step-00000010-2"]


def test_a_newer_format_version_is_skipped(tmp_path: Path) -> None:
    with durable.new_folder(tmp_path / "step-00000001") as folder:
        (folder / "state.json").write_text(json.dumps({"format_version": 2, "step": 1, "state": {}}))
    with pytest.raises(RunError, match=r"has format version 2, expected 1; use the version of tenfold"):
        load_checkpoint(tmp_path)


@given(st.data())
@settings(max_examples=60)
def test_any_flipped_bit_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flip")
    save(folder, 5)
    path = save(folder, 10)
    file = path / data.draw(st.sampled_from(sorted(file.name for file in path.iterdir())))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.step == 5
    assert len(checkpoint.warnings) == 1
