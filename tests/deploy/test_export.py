"""Weights out to the tutorial's own code, and back in from it."""

from pathlib import Path

import pytest
import torch
from classic import Net
from torch import Tensor

import tenfold
from harness.tiny import pictures
from tenfold.core.errors import StorageError, UsageError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.deploy.export import export
from tenfold.models.build import build_model
from tenfold.runs.artifact import Classifier

HALF = (0.5, 0.5, 0.5)


def normalized(images: Tensor) -> Tensor:
    """What `ToTensor` and `Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))` do."""
    return (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def classifier() -> Classifier:
    model = build_model("tutorial", {}, classes=10, image_size=(32, 32)).eval()
    return Classifier(model, tuple("abcdefghij"), Preprocessing((32, 32), "crop", HALF, HALF))


def test_our_weights_load_into_the_tutorials_net(tmp_path: Path) -> None:
    ours, split = classifier(), pictures(6, 0, (32, 32))
    path = export(ours, "pth", tmp_path / "net.pth")
    net = Net()
    net.load_state_dict(torch.load(path, weights_only=True))
    torch.testing.assert_close(net(normalized(torch.from_numpy(split.images))), ours.logits(split), rtol=0, atol=1e-6)


def test_the_tutorials_weights_load_into_ours(tmp_path: Path) -> None:
    net, split = Net(), pictures(6, 0, (32, 32))
    torch.save(net.state_dict(), tmp_path / "cifar_net.pth")
    predictor = tenfold.load(tmp_path / "cifar_net.pth", model="tutorial", device="cpu")
    expected = net(normalized(torch.from_numpy(split.images)))
    torch.testing.assert_close(predictor.classifier.logits(split), expected, rtol=0, atol=1e-6)
    assert predictor.predict(split.images[0]).label == predictor.classes[int(expected[0].argmax())]


def test_a_channels_last_network_is_written_as_the_tutorial_would(tmp_path: Path) -> None:
    ours = classifier()
    ours.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = torch.load(export(ours, "pth", tmp_path / "net.pth"), weights_only=True)
    assert all(weight.is_contiguous() for weight in state.values())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"net\.pth is there already, and nothing is overwritten; .* --out"):
        export(classifier(), "pth", tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == b"precious"


def test_an_unknown_format_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown export format 'pht'; did you mean 'pth'\? \(known: pth\)"):
        export(classifier(), "pht", tmp_path / "net.pht")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no/net\.pth"):
        export(classifier(), "pth", tmp_path / "no" / "net.pth")


def test_a_plain_file_needs_its_networks_name_and_others_refuse_one(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"net\.pth says nothing of its network; name it, e.g. --model tutorial"):
        tenfold.load(tmp_path / "net.pth")
    with pytest.raises(UsageError, match="knows its own network"):
        tenfold.load(tmp_path / "m.safetensors", model="tutorial")
