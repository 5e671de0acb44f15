"""Saving, loading and evaluating classifiers."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.tiny import CLASSES, dataset, make_split
from tenfold.core.errors import ModelError, RecipeError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.models.build import build_model
from tenfold.runs.artifact import CUSTOM_ARCHITECTURE, Classifier, load_plain_weights, load_state

HALF = (0.5, 0.5, 0.5)


def classifier(views: str = "plain", unsure_below: float = 1.0) -> Classifier:
    torch.manual_seed(0)
    model = build_model("quick", {}, num_classes=3, image_size=(16, 16)).eval()
    evaluate = {"batch_size": 7, "views": views, "unsure_below": unsure_below}
    preprocessing = Preprocessing((16, 16), "crop", HALF, HALF)
    return Classifier(model, CLASSES, preprocessing, 7, views, unsure_below, {"evaluate": evaluate})


def saved(classifier: Classifier, path: Path, architecture: str = "quick") -> Path:
    classifier.save(path, architecture=architecture, arguments={}, metrics={"test_accuracy": 0.5})
    return path


@pytest.mark.parametrize(("views", "unsure_below"), [("plain", 1.0), ("mirror", 1.0), ("shifts", 0.5)])
def test_a_loaded_classifier_gives_the_same_logits(views: str, unsure_below: float, tmp_path: Path) -> None:
    before = classifier(views, unsure_below)
    after = Classifier.load(saved(before, tmp_path / "m.safetensors"))
    assert torch.equal(after.logits(make_split(20, 1).images), before.logits(make_split(20, 1).images))
    assert (after.classes, after.preprocessing) == (CLASSES, before.preprocessing)
    assert (after.batch_size, after.views, after.unsure_below) == (7, views, unsure_below)
    assert not after.model.training


@pytest.mark.parametrize(("mirror", "views"), [(False, "plain"), (True, "mirror")])
def test_an_old_model_file_with_mirror_is_evaluated_as_before(mirror: bool, views: str, tmp_path: Path) -> None:
    old = replace(classifier(), recipe={"evaluate": {"batch_size": 500, "mirror": mirror}})
    after = Classifier.load(saved(old, tmp_path / "m.safetensors"))
    assert (after.batch_size, after.views, after.unsure_below) == (500, views, 1.0)
    assert torch.equal(after.logits(make_split(6, 1).images), classifier(views).logits(make_split(6, 1).images))


def test_the_default_batch_size_depends_on_the_image_size(monkeypatch: pytest.MonkeyPatch) -> None:
    batch_sizes: list[int] = []
    small = replace(classifier(), batch_size=0)
    small.model.register_forward_pre_hook(lambda _module, inputs: batch_sizes.append(len(inputs[0])))
    small.logits(make_split(600, 1).images)
    large = replace(small, preprocessing=Preprocessing((160, 160), "crop", HALF, HALF))
    large.logits(make_split(20, 1, (160, 160)).images)
    assert batch_sizes == [512, 88, 8, 8, 4]


def test_a_temperature_belongs_to_the_views_it_was_fitted_with() -> None:
    before = replace(classifier("mirror"), temperature=2.0)
    assert before.with_views("mirror").temperature == 2.0
    assert (before.with_views("plain").views, before.with_views("plain").temperature) == ("plain", None)


def test_a_channels_last_network_can_be_saved(tmp_path: Path) -> None:
    before = classifier()
    before.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    after = Classifier.load(saved(before, tmp_path / "m.safetensors"))
    torch.testing.assert_close(after.logits(make_split(5, 1).images), before.logits(make_split(5, 1).images))


def test_mirror_averages_the_logits_of_image_and_mirror_image() -> None:
    plain, split = classifier(), make_split(6, 1)
    mirrored = replace(split, images=split.images[:, :, ::-1].copy())
    expected = (plain.logits(split.images) + plain.logits(mirrored.images)) / 2
    torch.testing.assert_close(classifier("mirror").logits(split.images), expected, rtol=1e-5, atol=1e-6)


def test_a_custom_network_is_loaded_with_its_weights(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    before = replace(classifier(), model=own)
    path = saved(before, tmp_path / "own.safetensors", CUSTOM_ARCHITECTURE)
    after = Classifier.load(path, model=nn.Sequential(nn.Flatten(), nn.Linear(768, 3)))
    assert torch.equal(after.logits(make_split(5, 1).images), before.logits(make_split(5, 1).images))
    with pytest.raises(
        ModelError, match=r"contains the weights of your own network; pass the network: tenfold.load\(path, model="
    ):
        Classifier.load(path)


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match=r"do not fit net: '1.weight' is \[2, 5\], expected \[2, 4\]; check --model"):
        load_state(model, {"1.weight": torch.zeros(2, 5), "1.bias": torch.zeros(2)}, path, "net")
    with pytest.raises(ModelError, match=r"'1\.weight' is missing; '1\.bias' is missing; 'a' is unknown and 1 more;"):
        load_state(model, {"a": torch.zeros(1), "b": torch.zeros(1)}, path, "net")


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("quick", {"depth": 10**9}, "m.safetensors describes a network that cannot be built: model.depth = 1000000000"),
        ("quick", {"widths": [10**6, 10**6]}, r"model\.widths\.0 = 1000000: Input should be less than"),
        ("quick", {"widths": [60_000, 60_000]}, "is larger than its weights|can't allocate"),
        ("resnet18", {"blocks": [10**6]}, r"model\.blocks\.0 = 1000000: Input should be less than or equal to 200"),
        ("resnet18", {"blocks": [200] * 4, "width": 1}, "the network described in .* is larger than its weights"),
        ("mlp", {"hidden": [1] * 10**6}, "List should have at most 100 items|at most 100"),
        ("mlp", {"hidden": [60_000, 60_000]}, "is larger than its weights .* get it again from a source you trust"),
        ("tutorial", {"kernels": 10**9}, r"model\.kernels = 1000000000"),
    ],
)
def test_a_model_file_cannot_ask_for_a_network_larger_than_its_weights(
    architecture: str, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    classifier().save(path, architecture=architecture, arguments=arguments, metrics={})
    start = time.process_time()
    with pytest.raises(ModelError, match=message) as caught:
        Classifier.load(path)
    assert time.process_time() - start < 10
    assert len(str(caught.value)) < 1_000


def test_the_largest_input_of_a_network_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    large = replace(classifier().preprocessing, image_size=(4096, 4096))
    replace(classifier(), preprocessing=large).save(path, architecture="quick", arguments={}, metrics={})
    path.write_bytes(path.read_bytes().replace(b"[4096, 4096]", b"[4097, 4096]"))
    with pytest.raises(ModelError, match=r"image size is \(4097, 4096\); expected at most 16,777,216 pixels"):
        Classifier.load(path)


def test_images_of_another_size_are_an_error() -> None:
    with pytest.raises(ModelError, match="images are 20×8, but the model was trained for 16×16"):
        classifier().logits(make_split(2, 0, (8, 20)).images)


def test_evaluate_counts_the_correct_predictions() -> None:
    trained, split = classifier(), dataset().test
    evaluation = trained.evaluate(split)
    correct = sum(
        int(row.argmax()) == label for row, label in zip(trained.logits(split.images), split.labels, strict=True)
    )
    assert (evaluation.correct, evaluation.total) == (correct, len(split))


def plain_weights(path: Path, name: str = "tutorial", num_classes: int = 10) -> nn.Module:
    model = build_model(name, {}, num_classes=num_classes, image_size=(32, 32))
    torch.save(model.state_dict(), path)
    return model


@pytest.mark.parametrize("name", ["tutorial", "mlp", "quick"])
def test_plain_weights_are_loaded(name: str, tmp_path: Path) -> None:
    before = plain_weights(tmp_path / "net.pth", name).state_dict()
    after = load_plain_weights(tmp_path / "net.pth", name).model.state_dict()
    assert all(torch.equal(weight, before[key]) for key, weight in after.items())


def test_ten_outputs_get_the_classes_of_cifar10(tmp_path: Path) -> None:
    plain_weights(tmp_path / "net.pth")
    classifier = load_plain_weights(tmp_path / "net.pth", "tutorial")
    assert classifier.classes[0] == "airplane"
    assert classifier.classes[9] == "truck"
    assert classifier.preprocessing.normalize(torch.tensor([0.0, 255.0])).tolist() == [-1, 1]
    assert not classifier.model.training


def test_other_numbers_of_outputs_get_numbered_classes(tmp_path: Path) -> None:
    plain_weights(tmp_path / "net.pth", num_classes=3)
    assert load_plain_weights(tmp_path / "net.pth", "tutorial").classes == ("class 0", "class 1", "class 2")


def test_the_name_of_another_network_is_an_error(tmp_path: Path) -> None:
    plain_weights(tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"do not fit mlp for 32×32 images: .*'conv1.weight' is unknown"):
        load_plain_weights(tmp_path / "net.pth", "mlp")
    with pytest.raises(RecipeError, match="unknown model 'tutoriel'; did you mean 'tutorial'"):
        load_plain_weights(tmp_path / "net.pth", "tutoriel")


def test_weights_with_too_many_outputs_are_an_error(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(10**9, 0)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="1,000,000,000 outputs; expected 1 to 1,000,000"):
        load_plain_weights(tmp_path / "a.pth", "mlp")


def test_weights_without_a_linear_layer_are_an_error(tmp_path: Path) -> None:
    torch.save({"bias": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="contains no linear layer, so the number of classes is unknown"):
        load_plain_weights(tmp_path / "net.pth", "tutorial")
