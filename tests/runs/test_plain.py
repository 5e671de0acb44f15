"""Plain state_dicts, as the tutorials save them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model
from tenfold.runs.plain import load_plain


def written(path: Path, name: str = "tutorial", classes: int = 10) -> nn.Module:
    model = build_model(name, {}, classes=classes, image_size=(32, 32))
    torch.save(model.state_dict(), path)
    return model


@pytest.mark.parametrize("name", ["tutorial", "mlp", "quick"])
def test_the_weights_arrive(name: str, tmp_path: Path) -> None:
    before = written(tmp_path / "net.pth", name).state_dict()
    after = load_plain(tmp_path / "net.pth", name).model.state_dict()
    assert all(torch.equal(weight, before[key]) for key, weight in after.items())


def test_ten_outputs_are_cifars_classes_and_pixels_run_from_minus_one_to_one(tmp_path: Path) -> None:
    written(tmp_path / "net.pth")
    classifier = load_plain(tmp_path / "net.pth", "tutorial")
    assert classifier.classes[0] == "airplane"
    assert classifier.classes[9] == "truck"
    assert classifier.preprocessing.normalize(torch.tensor([0.0, 255.0])).tolist() == [-1, 1]
    assert not classifier.model.training


def test_another_number_of_outputs_gets_numbered_classes(tmp_path: Path) -> None:
    written(tmp_path / "net.pth", classes=3)
    assert load_plain(tmp_path / "net.pth", "tutorial").classes == ("class 0", "class 1", "class 2")


def test_the_wrong_networks_name_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"do not fit TutorialNet: .*'conv1.weight' is unknown.*check --model"):
        load_plain(tmp_path / "net.pth", "mlp")
    with pytest.raises(RecipeError, match="unknown model 'tutoriel'; did you mean 'tutorial'"):
        load_plain(tmp_path / "net.pth", "tutoriel")


def test_a_file_without_a_linear_layer_is_refused(tmp_path: Path) -> None:
    torch.save({"bias": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="holds no linear layer to read the number of classes from"):
        load_plain(tmp_path / "net.pth", "tutorial")
