import io
import json
import pickle
import struct
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tenfold.core.errors import ModelError, StorageError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.runs.model_file import ModelCard, load_model, read_state_dict, save_model, write_state_dict

torch.set_num_threads(1)

CARD = ModelCard(
    architecture="tutorial",
    arguments={"width": 3},
    classes=("cat", "größe", 'a, "b"\n'),
    preprocessing=Preprocessing((32, 24), "crop", (0.1, 0.2, 1 / 3), (0.5, 0.5, 0.5)),
    recipe={"train": {"batch_size": 4}},
    metrics={"test_accuracy": 0.1 + 0.2, "test_interval": [0.25, 0.35]},
)


def state() -> dict[str, Tensor]:
    weight = torch.randn(4, 3, 2, 2)
    return {
        "conv.weight": weight.to(memory_format=torch.channels_last),
        "tied.weight": weight,
        "norm.num_batches_tracked": torch.tensor(7),
        "half": torch.randn(3).to(torch.bfloat16),
        "none": torch.zeros(0),
    }


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return set(one) == set(two) and all(
        one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in one
    )


# The model file


def test_a_model_comes_back_with_everything_known_of_it(tmp_path: Path) -> None:
    before = state()
    save_model(tmp_path / "a.safetensors", before, CARD)
    after, card = load_model(tmp_path / "a.safetensors")
    assert equal(before, after)
    assert card == CARD


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    same = state()
    save_model(tmp_path / "a", same, CARD)
    save_model(tmp_path / "b", same, CARD)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.safetensors does not exist; expected a model file"):
        load_model(tmp_path / "no.safetensors")
    with pytest.raises(ModelError, match=r"is a folder; expected a model file"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"abc", b"GIF89a and so on and on", b"\xff" * 100, b"\x00" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.safetensors is no safetensors file, expected a model written by"):
        load_model(tmp_path / "a.safetensors")


def test_a_pytorch_file_is_told_from_a_model_file(tmp_path: Path) -> None:
    write_state_dict(tmp_path / "a.pth", state())
    with pytest.raises(ModelError, match=r"a\.pth is a PyTorch file, expected \.safetensors; name its network"):
        load_model(tmp_path / "a.pth")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.99])
def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.safetensors"
    save_model(path, state(), CARD)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    found = int(len(data) * share)
    with pytest.raises(ModelError, match=rf"is truncated: found {found} bytes, expected \d+ or more; get the file"):
        load_model(path)


def test_weights_of_another_tool_are_told_apart(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"holds weights but no description .* name its network with --model"):
        load_model(tmp_path / "a.safetensors")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "a.safetensors", state(), replace(CARD, format_version=2))
    with pytest.raises(ModelError, match=r"has format version 2, expected at most 1; .* update yours"):
        load_model(tmp_path / "a.safetensors")


def described(path: Path, description: str) -> Path:
    save_file({"a": torch.zeros(2)}, path, metadata={"tenfold": description})
    return path


@pytest.mark.parametrize("broken", ["", "[1]", "{", "null"])
def test_a_description_that_is_no_json_object_is_refused(tmp_path: Path, broken: str) -> None:
    with pytest.raises(ModelError, match="has a damaged header, expected"):
        load_model(described(tmp_path / "a", broken))


@pytest.mark.parametrize("key", ["format_version", "architecture", "classes", "preprocessing", "recipe", "metrics"])
@pytest.mark.parametrize("value", [None, 3.5, "x", [1]])
def test_a_description_with_a_wrong_key_is_refused_in_one_line(tmp_path: Path, key: str, value: Any) -> None:
    described_as = CARD.to_json()
    if value is None or (key, value) == ("format_version", 3.5):
        del described_as[key]
    else:
        described_as[key] = value
    with pytest.raises(ModelError) as caught:
        load_model(described(tmp_path / "a", json.dumps(described_as)))
    assert "\n" not in str(caught.value)


@given(st.data())
@settings(max_examples=150)
def test_no_damage_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    save_model(path, {"a": torch.zeros(4), "b": torch.zeros(2, dtype=torch.int64)}, CARD)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    message = ""
    try:
        load_model(path)
    except ModelError as error:
        message = str(error)
    assert "\n" not in message


def test_a_full_header_that_lies_about_its_tensors_is_refused(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"tenfold": json.dumps(CARD.to_json())},
        "a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 4)
    with pytest.raises(ModelError, match="has a damaged header"):
        load_model(tmp_path / "a")


def test_saving_over_a_model_keeps_the_old_one_when_the_disk_refuses(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        save_model(tmp_path / "missing" / "a", state(), CARD)


# Plain state_dicts


def test_a_state_dict_comes_back(tmp_path: Path) -> None:
    before = state()
    write_state_dict(tmp_path / "a.pth", before)
    assert equal(read_state_dict(tmp_path / "a.pth"), before)


def test_a_state_dict_is_what_pytorch_reads_and_writes(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    torch.save(net.state_dict(), tmp_path / "theirs.pth")
    assert equal(read_state_dict(tmp_path / "theirs.pth"), dict(net.state_dict()))
    write_state_dict(tmp_path / "ours.pth", net.state_dict())
    net.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))


def test_the_old_pickle_format_is_read_too(tmp_path: Path) -> None:
    before = {"a": torch.arange(3.0)}
    torch.save(before, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert equal(read_state_dict(tmp_path / "a.pth"), before)


class Evil:
    """Creates a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def malicious(path: Path, canary: Path, kind: str) -> None:
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Evil(canary)))
    elif kind == "protocol 4":
        path.write_bytes(pickle.dumps({"a": Evil(canary)}, protocol=4))
    elif kind == "text":
        path.write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    elif kind == "eval":
        path.write_bytes(f"cbuiltins\neval\n(S'open({str(canary)!r},\"w\")'\ntR.".encode())
    else:
        torch.save({"a": torch.zeros(1), "b": Evil(canary)}, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["bare pickle", "protocol 4", "text", "eval", "zip", "old format"])
def test_a_malicious_pickle_is_refused_before_anything_runs(tmp_path: Path, kind: str) -> None:
    path, canary = tmp_path / "a.pth", tmp_path / "canary"
    malicious(path, canary, kind)
    with pytest.raises(ModelError, match=r"a\.pth is refused: .*; expected what torch\.save") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_the_refusal_names_what_was_found(tmp_path: Path) -> None:
    malicious(tmp_path / "a.pth", tmp_path / "canary", "zip")
    with pytest.raises(ModelError, match=r"found '[\w.]+', which could run code"):
        read_state_dict(tmp_path / "a.pth")


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"found 'torch\.nn\.modules\.linear\.Linear', which could run code"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.zeros(1)], "holds a list; expected tensors by name"),
        (torch.zeros(1), "holds a Tensor; expected tensors by name"),
        ({"state_dict": {"a": torch.zeros(1)}}, "holds a dict under 'state_dict'; expected tensors by name"),
        ({"epoch": 3}, "holds a int under 'epoch'"),
        ({1: torch.zeros(1)}, "holds a Tensor under 1"),
    ],
)
def test_something_else_than_tensors_by_name_is_refused(tmp_path: Path, value: object, message: str) -> None:
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=message):
        read_state_dict(tmp_path / "a.pth")


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    buffer = io.BytesIO()
    torch.save(state(), buffer)
    whole = buffer.getvalue()
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("a.txt", "hello")
    contents = [b"", b"\x80", b"hello", b"\x89PNG\r\n\x1a\n", foreign.getvalue(), pickle.dumps([1])[:-1]]
    contents += [whole[: len(whole) * part // 10] for part in range(1, 10)]
    for content in contents:
        path.write_bytes(content)
        with warnings.catch_warnings(), pytest.raises(ModelError, match=r"a\.pth is refused: ") as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value)


def test_a_missing_state_dict_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.pth does not exist; expected a model file"):
        read_state_dict(tmp_path / "a.pth")
