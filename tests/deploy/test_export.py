"""Export of weights to the tutorial's own code, and loading its weights."""

from pathlib import Path

import pytest
import torch
from classic import Net
from torch import Tensor

import tenfold
from harness.tiny import make_split
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
    model = build_model("tutorial", {}, num_classes=10, image_size=(32, 32)).eval()
    return Classifier(model, tuple("abcdefghij"), Preprocessing((32, 32), "crop", HALF, HALF))


def test_our_weights_load_into_the_tutorials_net(tmp_path: Path) -> None:
    ours, split = classifier(), make_split(6, 0, (32, 32))
    path = export(ours, "pth", tmp_path / "net.pth")
    net = Net()
    net.load_state_dict(torch.load(path, weights_only=True))
    torch.testing.assert_close(
        net(normalized(torch.from_numpy(split.images))), ours.logits(split.images), rtol=0, atol=1e-6
    )


def test_the_tutorials_weights_load_into_ours(tmp_path: Path) -> None:
    net, split = Net(), make_split(6, 0, (32, 32))
    torch.save(net.state_dict(), tmp_path / "cifar_net.pth")
    predictor = tenfold.load(tmp_path / "cifar_net.pth", model="tutorial", device="cpu")
    expected = net(normalized(torch.from_numpy(split.images)))
    torch.testing.assert_close(predictor.classifier.logits(split.images), expected, rtol=0, atol=1e-6)
    assert predictor.predict(split.images[0]).label == predictor.classes[int(expected[0].argmax())]


def test_channels_last_weights_are_written_contiguous(tmp_path: Path) -> None:
    ours = classifier()
    ours.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = torch.load(export(ours, "pth", tmp_path / "net.pth"), weights_only=True)
    assert all(weight.is_contiguous() for weight in state.values())


def test_an_existing_file_is_overwritten_only_with_force(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"net\.pth exists and is not overwritten; choose another file for --output"):
        export(classifier(), "pth", tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == b"precious"
    export(classifier(), "pth", tmp_path / "net.pth", force=True)
    assert (tmp_path / "net.pth").read_bytes() != b"precious"


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown export format 'pht'; did you mean 'pth'\? \(known: pth\)"):
        export(classifier(), "pht", tmp_path / "net.pht")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no/net\.pth"):
        export(classifier(), "pth", tmp_path / "no" / "net.pth")


def test_only_a_plain_file_needs_the_name_of_its_network(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"net\.pth does not name its network; name it, e.g. --model tutorial"):
        tenfold.load(tmp_path / "net.pth")
    with pytest.raises(UsageError, match="names its own network"):
        tenfold.load(tmp_path / "m.safetensors", model="tutorial")
