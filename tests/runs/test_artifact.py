"""A classifier saved and loaded is the same classifier, and one that does not fit is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.tiny import CLASSES, dataset, pictures
from tenfold.core.errors import ModelError, RecipeError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.models.build import build_model
from tenfold.runs.artifact import CUSTOM, Classifier, filled, load_plain

HALF = (0.5, 0.5, 0.5)


def classifier(views: str = "plain", unsure_below: float = 1.0) -> Classifier:
    torch.manual_seed(0)
    model = build_model("quick", {}, classes=3, image_size=(16, 16)).eval()
    judging = {"batch_size": 7, "views": views, "unsure_below": unsure_below}
    preprocessing = Preprocessing((16, 16), "crop", HALF, HALF)
    return Classifier(model, CLASSES, preprocessing, 7, views, unsure_below, {"evaluate": judging})


def saved(one: Classifier, path: Path, architecture: str = "quick") -> Path:
    one.save(path, architecture=architecture, arguments={}, metrics={"test_accuracy": 0.5})
    return path


@pytest.mark.parametrize(("views", "unsure_below"), [("plain", 1.0), ("mirror", 1.0), ("shifts", 0.5)])
def test_a_loaded_classifier_gives_the_same_bits(views: str, unsure_below: float, tmp_path: Path) -> None:
    before = classifier(views, unsure_below)
    after = Classifier.load(saved(before, tmp_path / "m.safetensors"))
    assert torch.equal(after.logits(pictures(20, 1)), before.logits(pictures(20, 1)))
    assert (after.classes, after.preprocessing) == (CLASSES, before.preprocessing)
    assert (after.batch_size, after.views, after.unsure_below) == (7, views, unsure_below)
    assert not after.model.training


@pytest.mark.parametrize(("mirror", "views"), [(False, "plain"), (True, "mirror")])
def test_a_model_file_from_before_there_were_views_is_judged_as_then(mirror: bool, views: str, tmp_path: Path) -> None:
    former = replace(classifier(), recipe={"evaluate": {"batch_size": 500, "mirror": mirror}})
    after = Classifier.load(saved(former, tmp_path / "m.safetensors"))
    assert (after.batch_size, after.views, after.unsure_below) == (500, views, 1.0)
    assert torch.equal(after.logits(pictures(6, 1)), classifier(views).logits(pictures(6, 1)))


def test_pictures_judged_at_once_are_bounded_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    one = replace(classifier(), batch_size=0)
    one.model.register_forward_pre_hook(lambda _module, inputs: shown.append(len(inputs[0])))
    one.logits(pictures(600, 1))
    large = replace(one, preprocessing=Preprocessing((160, 160), "crop", HALF, HALF))
    large.logits(pictures(20, 1, (160, 160)))
    assert shown == [512, 88, 8, 8, 4]


def test_a_channels_last_network_can_be_saved(tmp_path: Path) -> None:
    before = classifier()
    before.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    after = Classifier.load(saved(before, tmp_path / "m.safetensors"))
    torch.testing.assert_close(after.logits(pictures(5, 1)), before.logits(pictures(5, 1)))


def test_mirroring_averages_the_logits_of_both_ways_round() -> None:
    plain, split = classifier(), pictures(6, 1)
    turned = replace(split, images=split.images[:, :, ::-1].copy())
    expected = (plain.logits(split) + plain.logits(turned)) / 2
    torch.testing.assert_close(classifier("mirror").logits(split), expected, rtol=1e-5, atol=1e-6)


def test_a_network_of_ones_own_is_given_back_its_weights(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    before = replace(classifier(), model=own)
    path = saved(before, tmp_path / "own.safetensors", CUSTOM)
    after = Classifier.load(path, model=nn.Sequential(nn.Flatten(), nn.Linear(768, 3)))
    assert torch.equal(after.logits(pictures(5, 1)), before.logits(pictures(5, 1)))
    with pytest.raises(
        ModelError, match=r"holds the weights of a network of your own; pass it: tenfold.load\(path, model="
    ):
        Classifier.load(path)


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(
        ModelError, match=r"do not fit Sequential: '1.weight' is \[2, 5\], expected \[2, 4\]; check --model"
    ):
        filled(model, {"1.weight": torch.zeros(2, 5), "1.bias": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"'1\.weight' is missing; '1\.bias' is missing; 'a' is unknown and 1 more;"):
        filled(model, {"a": torch.zeros(1), "b": torch.zeros(1)}, path)


def test_pictures_of_another_size_are_refused_with_both_sizes() -> None:
    with pytest.raises(ModelError, match="pictures are 8×20, but the model was trained for 16×16"):
        classifier().logits(pictures(2, 0, (8, 20)))


def test_judging_agrees_with_counting_by_hand() -> None:
    one, split = classifier(), dataset().test
    evaluation = one.evaluate(split)
    hits = sum(int(row.argmax()) == label for row, label in zip(one.logits(split), split.labels, strict=True))
    assert (evaluation.correct, evaluation.total) == (hits, len(split))


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
