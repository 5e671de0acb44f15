"""The bridge to timm, with a tiny package of that name, and with timm itself where it is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from harness.command_line import SOURCES, environment, run_tenfold
from harness.tiny import photo_folder
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model, check_model
from tenfold.recipes.load import load_recipe
from tenfold.runs.model_file import load_model

STAND_IN = """
import torch
from torch import nn

__version__ = "0.stand-in"


class NormAct(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


class Shrinking(nn.Sequential):
    def __init__(self, num_classes, in_chans, width=4):
        super().__init__(
            nn.Conv2d(in_chans, width, 3, 16), NormAct(width), nn.Flatten(), nn.LazyLinear(num_classes)
        )


class Fixed(nn.Sequential):
    def __init__(self, num_classes, in_chans, img_size=(224, 224)):
        super().__init__(nn.Flatten(), nn.Linear(in_chans * img_size[0] * img_size[1], num_classes))


class Values(nn.Sequential):
    def __init__(self, num_classes, in_chans):
        rate = torch.linspace(0, 0.1, 2)[1].item()
        super().__init__(nn.Flatten(), nn.Dropout(rate), nn.LazyLinear(num_classes))


class Rows(nn.Flatten):
    def __init__(self, num_classes, in_chans):
        super().__init__(2)


class Pair(nn.Identity):
    def __init__(self, num_classes, in_chans):
        super().__init__()

    def forward(self, images):
        return images, images


NETWORKS = {"shrinking": Shrinking, "values": Values, "fixed": Fixed, "rows": Rows, "pair": Pair}


def list_models():
    return list(NETWORKS)


def get_pretrained_cfg_value(name, key):
    return name == "fixed" if key == "fixed_input_size" else None


def create_model(name, pretrained, **arguments):
    assert pretrained is False
    return NETWORKS[name](**arguments)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes a tiny package called timm importable; returns the folder that it lies in."""
    folder = tmp_path / "packages"
    (folder / "timm").mkdir(parents=True)
    (folder / "timm" / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "timm"}
    yield folder
    sys.modules.pop("timm", None)
    sys.modules.update(before)


def broken(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "timm.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "timm", raising=False)


def build(name: str, size: tuple[int, int] = (32, 32), **arguments: object) -> nn.Module:
    return build_model(f"timm:{name}", arguments, classes=5, image_size=size)


@cache
def installed() -> ModuleType | None:
    try:
        return import_module("timm")
    except Exception:  # beside a torch that torchvision does not belong to, it fails in many ways
        return None


real = pytest.mark.skipif("installed() is None", reason="timm and its torchvision are not installed")


@pytest.mark.usefixtures("stand_in")
class TestBuilding:
    def test_a_network_fits_the_classes_and_learns(self) -> None:
        model = build("shrinking")
        assert model.training
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 5)

    def test_arguments_reach_timm(self) -> None:
        assert build("shrinking", width=7)[0].out_channels == 7

    def test_a_network_that_is_tied_to_a_picture_size_is_told_it(self) -> None:
        assert build("fixed", (24, 40))[1].in_features == 3 * 24 * 40

    def test_a_batch_of_one_picture_that_shrinks_to_one_pixel_can_be_learnt_from(self) -> None:
        for model in (build("shrinking", (16, 16)), deepcopy(build("shrinking", (16, 16)))):
            model(torch.randn(1, 3, 16, 16)).sum().backward()
            assert model[1].training
            assert all(weight.grad.isfinite().all() for weight in model.parameters())

    def test_a_batch_of_several_is_normalised_as_it_always_is(self) -> None:
        model, pictures = build("shrinking", (16, 16)), torch.randn(6, 3, 16, 16)
        model[0](pictures)
        expected = nn.BatchNorm2d(4)(model[0](pictures)).relu()
        assert torch.equal(model[1](model[0](pictures)), expected)

    def test_a_trial_leaves_the_statistics_alone(self) -> None:
        assert int(build("shrinking")[1].num_batches_tracked) == 0

    def test_a_mistyped_name_is_told_the_name_that_was_meant(self) -> None:
        with pytest.raises(RecipeError, match=r"^timm 0\.stand-in has no network 'shrinkin'; did you mean 'shrinking'"):
            build("shrinkin")

    def test_a_name_with_pretrained_weights_is_told_the_network_alone(self) -> None:
        with pytest.raises(RecipeError, match=r"has no network 'fixed\.in1k'; did you mean 'fixed'\?$"):
            build("fixed.in1k")

    def test_a_name_like_no_other_is_told_where_all_names_are(self) -> None:
        with pytest.raises(RecipeError, match=r"has no network 'hf-hub:x/y'; timm\.list_models\(\) lists all$"):
            build("hf-hub:x/y")

    @pytest.mark.parametrize("key", ["pretrained", "pretrained_cfg", "checkpoint_path", "num_classes", "img_size"])
    def test_what_the_data_decides_or_another_file_holds_is_no_argument(self, key: str) -> None:
        with pytest.raises(RecipeError, match=rf"^model\.{key} cannot be set: .* trained from scratch"):
            build("shrinking", **{key: True})

    def test_an_argument_that_timm_refuses_is_named(self) -> None:
        with pytest.raises(
            ModelError, match=r"^model 'timm:fixed' cannot be built with {'depth': 3} .* unexpected .* 'depth'; "
        ):
            build("fixed", depth=3)

    def test_pictures_too_small_for_a_network_are_named(self) -> None:
        with pytest.raises(ModelError, match=r"^model 'timm:shrinking' cannot be built with .* 2×2: .*image_size") as e:
            build("shrinking", (2, 2))
        assert "\n" not in str(e.value)

    def test_what_is_no_classifier_is_refused(self) -> None:
        with pytest.raises(ModelError, match=r"'timm:rows' returns \[1, 3, 1024\] for a picture, expected \[1, 5\]"):
            build("rows")
        with pytest.raises(ModelError, match=r"'timm:pair' returns tuple for a picture"):
            build("pair")

    def test_a_check_refuses_what_cannot_be_built_and_draws_no_random_number(self) -> None:
        before = torch.get_rng_state()
        check_model("timm:values", {}, classes=5, image_size=(32, 32))
        for name, size in (("shrinkin", (32, 32)), ("shrinking", (2, 2))):
            with pytest.raises((ModelError, RecipeError), match="shrinking"):
                check_model(f"timm:{name}", {}, classes=5, image_size=size)
        assert torch.equal(torch.get_rng_state(), before)

    def test_weights_are_a_function_of_the_seed(self) -> None:
        def weights() -> dict[str, torch.Tensor]:
            torch.manual_seed(3)
            return build("fixed").state_dict()

        first, second = weights(), weights()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_timm_a_recipe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RecipeError, match=r"^'timm:resnet18' needs timm, .* run: pip install 'tenfold\[timm\]'$"):
        load_recipe("timm:resnet18")


def test_without_timm_a_network_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"^model 'timm:resnet18' needs timm, .* run: pip install 'tenfold\[timm\]'"):
        build("resnet18")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import torchvision_that_is_not_there", r"No module named 'torchvision_that_is_not_there'"),
        ("raise RuntimeError('operator torchvision::nms does not exist\\nmore')", r"torchvision::nms does not exist"),
    ],
)
def test_a_timm_that_fails_on_import_says_why_in_one_line(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, tmp_path, text)
    with pytest.raises(ModelError, match=rf"cannot be imported \(.*{reason}\); .* torchvision that belongs to torch"):
        build("resnet18")


@pytest.mark.usefixtures("stand_in")
def test_the_recipe_of_a_network_is_one_for_all_with_its_name() -> None:
    first, second = load_recipe("timm:shrinking"), load_recipe("timm:fixed", ["optim.lr=0.5", "model.width=3"])
    assert (first.model.name, first.model.arguments) == ("timm:shrinking", {})
    assert (second.model.name, second.model.arguments, second.optim.lr) == ("timm:fixed", {"width": 3}, 0.5)
    assert first.train == second.train


@pytest.mark.usefixtures("stand_in")
def test_a_mistake_beside_the_name_is_told_as_in_any_recipe() -> None:
    with pytest.raises(RecipeError, match=r"^--set: unknown key 'train\.epocs'"):
        load_recipe("timm:fixed", ["train.epocs=3"])


def test_a_run_is_trained_judged_and_loaded_again(stand_in: Path, tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "photos")
    env = {"PYTHONPATH": os.pathsep.join([str(SOURCES), str(stand_in)]), "TENFOLD_CACHE": str(tmp_path / "cache")}

    def tenfold(*arguments: str) -> str:
        done = run_tenfold(*arguments, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    short = ("--epochs", "1", "--batch-size", "8", "--set", "train.threads=1", "--device", "cpu")
    tenfold("train", "--recipe", "timm:shrinking", "--data", str(photos), *short)
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("photos-timm-shrinking-")
    assert load_model(run / "last.safetensors")[1].architecture == "timm:shrinking"
    (prediction,) = json.loads(tenfold("predict", str(run), str(photos / "blue" / "0.png"), "--json"))
    assert prediction["label"] in ("blue", "green")
    assert "accuracy" in tenfold("eval", str(run))


def test_summary_shows_the_layers(stand_in: Path) -> None:
    env = {"PYTHONPATH": os.pathsep.join([str(SOURCES), str(stand_in)])}
    done = run_tenfold("summary", "timm:shrinking", "--set", "model.width=6", env=env)
    assert (done.returncode, "NormAct" in done.stdout, "6 × 2 × 2" in done.stdout) == (0, True, True)


def test_timm_is_imported_for_its_own_networks_only(stand_in: Path) -> None:
    code = (
        "import sys, tenfold; from tenfold.cli.main import main; main(['--help']); main(['recipes']); "
        "main(['recipes', 'timm:fixed']); early = {'timm', 'torch'} & set(sys.modules); "
        "main(['summary', 'resnet18']); sys.exit(10 * bool(early) + 20 * ('timm' in sys.modules))"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(SOURCES), str(stand_in)])}
    assert subprocess.run([sys.executable, "-c", code], env=environment(paths), capture_output=True).returncode == 0


@real
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_networks_of_timm_learn_from_small_pictures_also_from_one(name: str, size: tuple[int, int]) -> None:
    model = build(name, size)
    logits = model(torch.randn(1, 3, *size))
    assert logits.shape == (1, 5)
    logits.sum().backward()


@real
def test_a_mistyped_network_of_timm_is_told_the_one_that_was_meant() -> None:
    with pytest.raises(RecipeError, match=r"has no network 'resnet19'; did you mean 'resnet18'\?$"):
        build("resnet19")
