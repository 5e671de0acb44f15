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


def same_tensors(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return set(one) == set(two) and all(
        one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in one
    )


# The model file


def test_the_temperature_of_a_model_is_read_back_and_old_files_have_none(tmp_path: Path) -> None:
    save_model(tmp_path / "a.safetensors", state(), replace(CARD, temperature=1 / 3))
    assert load_model(tmp_path / "a.safetensors")[1].temperature == 1 / 3
    assert "temperature" not in CARD.to_json()
    assert ModelCard.from_json(CARD.to_json()).temperature is None


@pytest.mark.parametrize("temperature", [0, -1.5, "warm", float("nan"), True])
def test_a_damaged_temperature_is_an_error(temperature: object) -> None:
    with pytest.raises(ModelError, match=r"has a damaged description .*expected a number above 0"):
        ModelCard.from_json({**CARD.to_json(), "temperature": temperature})


def test_a_model_is_read_back_with_its_card(tmp_path: Path) -> None:
    before = state()
    save_model(tmp_path / "a.safetensors", before, CARD)
    after, card = load_model(tmp_path / "a.safetensors")
    assert same_tensors(before, after)
    assert card == CARD


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    same = state()
    save_model(tmp_path / "a", same, CARD)
    save_model(tmp_path / "b", same, CARD)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.safetensors does not exist; expected a model file"):
        load_model(tmp_path / "no.safetensors")
    with pytest.raises(ModelError, match=r"is a folder; expected a model file"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"abc", b"GIF89a and so on and on", b"\xff" * 100, b"\x00" * 100])
def test_another_file_type_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.safetensors is not a safetensors file, expected a model written by"):
        load_model(tmp_path / "a.safetensors")


def test_a_pytorch_file_is_reported_as_such(tmp_path: Path) -> None:
    write_state_dict(tmp_path / "a.pth", state())
    with pytest.raises(ModelError, match=r"a\.pth is a PyTorch file, expected \.safetensors; name its network"):
        load_model(tmp_path / "a.pth")


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.7, 0.99])
def test_a_truncated_file_reports_its_size(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "a.safetensors"
    save_model(path, state(), CARD)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    found = int(len(data) * fraction)
    with pytest.raises(ModelError, match=rf"is truncated: found {found} bytes, expected \d+ or more; get the file"):
        load_model(path)


def test_weights_of_another_program_are_an_error(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"contains weights without a description .* name its network with --model"):
        load_model(tmp_path / "a.safetensors")


def test_a_newer_format_version_is_an_error(tmp_path: Path) -> None:
    save_model(tmp_path / "a.safetensors", state(), replace(CARD, format_version=2))
    with pytest.raises(ModelError, match=r"has format version 2, expected at most 1; .* update yours"):
        load_model(tmp_path / "a.safetensors")


def file_with_description(path: Path, description: str) -> Path:
    save_file({"a": torch.zeros(2)}, path, metadata={"tenfold": description})
    return path


@pytest.mark.parametrize("broken", ["", "[1]", "{", "null"])
def test_a_description_must_be_a_json_object(tmp_path: Path, broken: str) -> None:
    with pytest.raises(ModelError, match="has a damaged header, expected"):
        load_model(file_with_description(tmp_path / "a", broken))


@pytest.mark.parametrize("key", ["format_version", "architecture", "classes", "preprocessing", "recipe", "metrics"])
@pytest.mark.parametrize("value", [None, 3.5, "x", [1]])
def test_an_invalid_description_is_one_line(tmp_path: Path, key: str, value: Any) -> None:
    card = CARD.to_json()
    if value is None or (key, value) == ("format_version", 3.5):
        del card[key]
    else:
        card[key] = value
    with pytest.raises(ModelError) as caught:
        load_model(file_with_description(tmp_path / "a", json.dumps(card)))
    assert "\n" not in str(caught.value)


@given(st.data())
@settings(max_examples=150)
def test_random_damage_raises_no_other_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
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


def test_a_header_with_wrong_shapes_is_an_error(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"tenfold": json.dumps(CARD.to_json())},
        "a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 4)
    with pytest.raises(ModelError, match="has a damaged header"):
        load_model(tmp_path / "a")


def test_saving_to_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        save_model(tmp_path / "missing" / "a", state(), CARD)


def test_a_class_name_that_occurs_twice_is_an_error(tmp_path: Path) -> None:
    save_model(tmp_path / "a.safetensors", state(), replace(CARD, classes=("cat", "dog", "cat")))
    with pytest.raises(ModelError, match=r"a\.safetensors has the class 'cat' more than once; expected different"):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_not_finite_are_an_error(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    broken = state() | {"fc.weight": torch.tensor([[1.0, value]], dtype=dtype)}
    save_model(tmp_path / "a.safetensors", broken, CARD)
    write_state_dict(tmp_path / "a.pth", broken)
    message = r"a\.(safetensors|pth) has weights that are not finite numbers, in 'fc.weight': training has diverged, or"
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=message):
        read_state_dict(tmp_path / "a.pth")


def test_weights_of_8_bits_are_checked_too(tmp_path: Path) -> None:
    weight = torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)
    save_model(tmp_path / "a.safetensors", {"fc.weight": weight}, CARD)
    with pytest.raises(ModelError, match=r"not finite numbers, in 'fc\.weight'"):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize("weight", [torch.zeros(1).expand(10**13), torch.eye(2).to_sparse()])
def test_weights_that_claim_more_values_than_the_file_holds_are_an_error(weight: Tensor, tmp_path: Path) -> None:
    torch.save({"fc.weight": weight}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"does not store every value of 'fc\.weight'; expected tensors by name"):
        read_state_dict(tmp_path / "a.pth")


# Plain state_dicts


def test_a_state_dict_is_read_back(tmp_path: Path) -> None:
    before = state()
    write_state_dict(tmp_path / "a.pth", before)
    assert same_tensors(read_state_dict(tmp_path / "a.pth"), before)


def test_state_dicts_are_compatible_with_pytorch(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    torch.save(net.state_dict(), tmp_path / "theirs.pth")
    assert same_tensors(read_state_dict(tmp_path / "theirs.pth"), dict(net.state_dict()))
    write_state_dict(tmp_path / "ours.pth", net.state_dict())
    net.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))


def test_the_old_pickle_format_is_supported(tmp_path: Path) -> None:
    before = {"a": torch.arange(3.0)}
    torch.save(before, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert same_tensors(read_state_dict(tmp_path / "a.pth"), before)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def write_malicious(path: Path, canary: Path, kind: str) -> None:
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Malicious(canary)))
    elif kind == "protocol 4":
        path.write_bytes(pickle.dumps({"a": Malicious(canary)}, protocol=4))
    elif kind == "text":
        path.write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    elif kind == "eval":
        path.write_bytes(f"cbuiltins\neval\n(S'open({str(canary)!r},\"w\")'\ntR.".encode())
    else:
        torch.save({"a": torch.zeros(1), "b": Malicious(canary)}, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["bare pickle", "protocol 4", "text", "eval", "zip", "old format"])
def test_a_malicious_pickle_is_not_executed(tmp_path: Path, kind: str) -> None:
    path, canary = tmp_path / "a.pth", tmp_path / "canary"
    write_malicious(path, canary, kind)
    with pytest.raises(ModelError, match=r"a\.pth cannot be loaded: .*; expected a file written by") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_the_error_names_the_forbidden_object(tmp_path: Path) -> None:
    write_malicious(tmp_path / "a.pth", tmp_path / "canary", "zip")
    with pytest.raises(ModelError, match=r"found '[\w.]+', which could run code"):
        read_state_dict(tmp_path / "a.pth")


def test_a_pickled_network_is_an_error(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"found 'torch\.nn\.modules\.linear\.Linear', which could run code"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.zeros(1)], "contains a list; expected tensors by name"),
        (torch.zeros(1), "contains a Tensor; expected tensors by name"),
        ({"weights": {"a": torch.zeros(1)}}, "contains a dict under 'weights'; expected tensors by name"),
        ({"epoch": 3}, "contains a int under 'epoch'"),
        ({1: torch.zeros(1)}, "contains a Tensor under 1"),
    ],
)
def test_other_content_than_tensors_by_name_is_an_error(tmp_path: Path, value: object, message: str) -> None:
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=message):
        read_state_dict(tmp_path / "a.pth")


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    buffer = io.BytesIO()
    torch.save(state(), buffer)
    complete = buffer.getvalue()
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("a.txt", "hello")
    contents = [b"", b"\x80", b"hello", b"\x89PNG\r\n\x1a\n", foreign.getvalue(), pickle.dumps([1])[:-1]]
    contents += [complete[: len(complete) * part // 10] for part in range(1, 10)]
    for content in contents:
        path.write_bytes(content)
        with warnings.catch_warnings(), pytest.raises(ModelError, match=r"a\.pth cannot be loaded: ") as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value)


def test_a_missing_state_dict_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.pth does not exist; expected a model file"):
        read_state_dict(tmp_path / "a.pth")
