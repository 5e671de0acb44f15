"""Networks of timm, built by timm itself; and what happens if it is missing or broken."""

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.command_line import environment
from harness.tiny import photo_folder
from harness.torchvision_users import import_with_torchvision
from tenfold.cli.main import main
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model, check_model, limited_weights
from tenfold.models.folding import inference_network
from tenfold.models.pretrained import pretrained_record, pretrained_weights
from tenfold.models.weights import load_weights
from tenfold.recipes.load import load_recipe
from tenfold.runs.model_file import load_model

FAMILIES = (
    *("byobnet", "coatnet", "convnext", "convnext2", "convnext3", "efficientnet", "efficientnet_evos"),
    *("efficientnet_gn", "efficientnet_ln", "mambaout", "maxvit", "nfnet", "resnet"),
    *("vit", "vit2", "vit3", "vit4", "vit_relpos"),
)


@pytest.fixture(scope="module", autouse=True)
def timm() -> ModuleType:
    return import_with_torchvision("timm")


@pytest.fixture
def without_timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "timm", None)
        yield


def build(name: str, size: tuple[int, int] = (32, 32), **arguments: object) -> nn.Module:
    return build_model(f"timm:{name}", arguments, num_classes=5, image_size=size)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "test_vit"])
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_a_network_fits_the_classes_and_trains_on_one_small_image(name: str, size: tuple[int, int]) -> None:
    model = build(name, size)
    assert model.training
    logits = model(torch.randn(1, 3, *size))
    assert logits.shape == (1, 5)
    logits.sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_on_one_small_image(family: str) -> None:
    model = build(f"test_{family}")
    model(torch.randn(1, 3, 32, 32)).sum().backward()


def test_arguments_reach_timm() -> None:
    assert build("test_vit", embed_dim=32).embed_dim == 32


@pytest.mark.parametrize("arguments", [{"depth": 10**12}, {"embed_dim": -(10**9)}, {"block_fn": {"x": [10**9]}}])
def test_an_argument_far_above_any_width_or_depth_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=rf"model\.{next(iter(arguments))} has a number above 65,536; expected a"):
        build("test_vit", **arguments)


@pytest.mark.parametrize("arguments", [{"depth": 60_000}, {"embed_dim": 60_000}])
def test_a_network_far_larger_than_the_weights_for_it_is_not_built(arguments: dict[str, object]) -> None:
    with (
        limited_weights({"weight": torch.zeros(9)}, "m.safetensors"),
        pytest.raises(ModelError, match=r"the network described in m\.safetensors is larger than its weights \(1 tens"),
    ):
        build("test_vit", **arguments)
    build("test_vit")


def test_a_network_with_a_fixed_image_size_gets_it() -> None:
    assert build("test_vit", (32, 48)).patch_embed.img_size == (32, 48)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])  # plain batch norm, and timm's with activation
def test_a_batch_of_one_image_that_shrinks_to_one_pixel_trains(name: str) -> None:
    model = build(name)
    for trained in (model, deepcopy(model)):
        trained(torch.randn(1, 3, 32, 32)).sum().backward()
        assert norms(trained)
        assert all(norm.training for norm in norms(trained))
        assert all(weight.grad.isfinite().all() for weight in trained.parameters())


def test_larger_batches_are_normalized_as_in_timm(timm: ModuleType) -> None:
    torch.manual_seed(3)
    expected = timm.create_model("test_efficientnet", num_classes=5).train()
    torch.manual_seed(3)
    model = build("test_efficientnet")
    images = torch.randn(6, 3, 32, 32)
    assert torch.equal(model(images), expected(images))


def test_building_leaves_the_running_statistics_alone() -> None:
    assert {int(norm.num_batches_tracked) for norm in norms(build("test_efficientnet"))} == {0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", r"^timm [\d.]+ has no network 'resnet19'; did you mean 'resnet18'\?$"),
        ("test_resnet.r161_in1k", r"has no weights '.*'; did you mean '(.*r160.*)'\? \(known: \1\)$"),
        ("hf-hub:x/y", r"has no network 'hf-hub:x/y'; timm\.list_models\(\) lists all$"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(name)


@pytest.mark.parametrize("key", ["pretrained", "pretrained_cfg", "checkpoint_path", "num_classes", "img_size"])
def test_an_argument_that_is_not_the_recipes_to_set_is_refused(key: str) -> None:
    with pytest.raises(RecipeError, match=rf"^model\.{key} cannot be set: .* model.pretrained = true or model.weights"):
        build("test_resnet", **{key: True})


def test_an_argument_that_timm_refuses_is_named() -> None:
    with pytest.raises(
        ModelError, match=r"^model 'timm:test_vit' cannot be built with {'colour': 3} .* unexpected .* 'colour'; "
    ):
        build("test_vit", colour=3)


def test_an_image_size_that_is_too_small_is_named() -> None:
    with pytest.raises(ModelError, match=r"^model 'timm:test_vit' cannot be built with .* 2×2: .*image_size") as caught:
        build("test_vit", (2, 2))
    assert "\n" not in str(caught.value)


class Pair(nn.Identity):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return images, images


@pytest.mark.parametrize(("network", "found"), [(nn.Flatten(2), r"\[1, 3, 1024\]"), (Pair(), "tuple")])
def test_a_network_that_is_not_a_classifier_is_refused(
    network: nn.Module, found: str, timm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *arguments, **options: network)
    with pytest.raises(ModelError, match=rf"'timm:test_vit' returns {found} for an image, expected \[1, 5\]"):
        build("test_vit")


def test_a_check_refuses_what_cannot_be_built_and_keeps_the_random_state() -> None:
    before = torch.get_rng_state()
    check_model("timm:test_vit", {}, num_classes=5, image_size=(32, 32))
    for name, size in (("test_vi", (32, 32)), ("test_vit", (2, 2))):
        with pytest.raises((ModelError, RecipeError), match="test_vit"):
            check_model(f"timm:{name}", {}, num_classes=5, image_size=size)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_depend_only_on_the_seed() -> None:
    def weights() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return build("test_vit").state_dict()

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("without_timm")
def test_without_timm_a_recipe_says_what_to_install() -> None:
    with pytest.raises(RecipeError, match=r"^'timm:resnet18' needs timm, .* run: pip install -e '\.\[timm\]'$"):
        load_recipe("timm:resnet18")


@pytest.mark.usefixtures("without_timm")
def test_without_timm_a_network_says_what_to_install() -> None:
    with pytest.raises(ModelError, match=r"^model 'timm:resnet18' needs timm, .* run: pip install -e '\.\[timm\]'"):
        build("resnet18")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import torchvision_that_is_not_there", r"No module named 'torchvision_that_is_not_there'"),
        ("raise RuntimeError('operator torchvision::nms does not exist\\nmore')", r"torchvision::nms does not exist"),
    ],
)
def test_a_timm_that_fails_on_import_is_reported_in_one_line(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timm.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm")
    with pytest.raises(ModelError, match=rf"cannot be imported \(.*{reason}\); .* torchvision that matches torch"):
        build("resnet18")


def test_all_networks_share_one_recipe_but_for_the_name() -> None:
    first, second = load_recipe("timm:resnet18"), load_recipe("timm:test_vit", ["optim.lr=0.5", "model.depth=3"])
    assert (first.model.name, first.model.arguments) == ("timm:resnet18", {})
    assert (second.model.name, second.model.arguments, second.optim.lr) == ("timm:test_vit", {"depth": 3}, 0.5)
    assert first.train == second.train


def test_an_unknown_key_is_refused_as_in_any_recipe() -> None:
    with pytest.raises(RecipeError, match=r"^--set: unknown key 'train\.epocs'"):
        load_recipe("timm:resnet18", ["train.epocs=3"])


def test_a_run_is_trained_evaluated_and_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = photo_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))

    def tenfold(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    short = ("--epochs", "1", "--batch-size", "8", "--set", "train.threads=1", "--device", "cpu")
    tenfold("train", "--recipe", "timm:test_efficientnet", "--data", str(photos), *short)
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("photos-timm-test_efficientnet-")
    assert load_model(run / "last.safetensors")[1].architecture == "timm:test_efficientnet"
    (prediction,) = json.loads(tenfold("predict", str(run), str(photos / "blue" / "0.png"), "--json"))
    assert prediction["label"] in ("blue", "green")
    assert "accuracy" in tenfold("eval", str(run))


def test_summary_shows_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "timm:test_efficientnet"]) == 0
    assert "BatchNormAct2d" in capsys.readouterr().out


def test_timm_is_imported_for_its_own_networks_only() -> None:
    code = (
        "import sys; from tenfold.cli.main import main; main(['--help']); main(['recipes']); "
        "early = {'timm', 'torch'} & set(sys.modules); main(['recipes', 'timm:resnet18']); "
        "main(['summary', 'resnet18']); sys.exit(10 * bool(early) + 20 * ('timm' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0


def test_weights_come_from_the_hubs_cache_without_asking_the_hub(
    timm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = timm.create_model("test_efficientnet", num_classes=1000)
    save_file(other.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda hub, file: str(tmp_path / file))
    record = pretrained_record("timm:test_efficientnet.r160_in1k")
    assert record is not None
    assert (record.image_size, record.fit) == ((160, 160), "crop:0.95")
    weights = pretrained_weights("timm:test_efficientnet.r160_in1k", {}, (64, 64))
    model = build("test_efficientnet.r160_in1k")
    (line,) = load_weights(model, weights, tuple("abcde"))
    assert line.endswith(" with a new head: 5 classes instead of 1,000")
    assert torch.equal(model.state_dict()["conv_stem.weight"], other.state_dict()["conv_stem.weight"])


@pytest.mark.usefixtures("timm")
def test_without_a_network_and_a_cached_file_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda hub, file: None)
    monkeypatch.setattr("tenfold.models.timm_bridge.getproxies", dict)
    message = (
        r"not in the cache of the Hugging Face hub and cannot be downloaded \(.*Name or service not known\); connect"
    )
    with pytest.raises(ModelError, match=rf"{message} .* --set model\.weights=FILE instead of model\.pretrained$"):
        pretrained_weights("timm:test_vit", {}, (64, 64))


@pytest.mark.usefixtures("timm")
def test_a_network_without_weights_has_none_to_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pretrained_record("timm:test_vit2.r160_in1k") is not None
    monkeypatch.setattr("tenfold.models.timm_bridge.timm_record", lambda name: None)
    with pytest.raises(RecipeError, match=r"^timm [\d.]+ has no weights for 'test_vit'; leave model\.pretrained out$"):
        pretrained_weights("timm:test_vit", {}, (64, 64))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_batch_norms_with_and_without_an_activation_are_folded(name: str) -> None:
    model = build(name).eval()
    for layer in norms(model):
        layer.running_mean, layer.running_var = torch.randn(layer.num_features) / 10, torch.rand(layer.num_features) + 1
    copy, images = inference_network(model, (32, 32)), torch.randn(2, 3, 32, 32)
    assert norms(copy) == []
    with torch.no_grad():
        torch.testing.assert_close(copy(images), model(images), rtol=1e-5, atol=1e-5)
