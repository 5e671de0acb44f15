"""Runs that start from weights: what is prepared, recorded, resumed, refused and predicted without them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.tiny import dataset, photo_folder
from tenfold.api.evaluate import load
from tenfold.api.train import train
from tenfold.api.training_run import Run
from tenfold.api.weights import with_weights
from tenfold.cli.main import main
from tenfold.core.errors import ModelError, RecipeError, UsageError
from tenfold.data.types import Dataset
from tenfold.engine import calibrate
from tenfold.models import pretrained
from tenfold.recipes.load import load_recipe, resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.model_file import load_model, read_state_dict, write_state_dict

SHORT = ["train.duration=2 steps", "train.batch_size=8", "train.min_steps=0", "train.threads=1", "train.device=cpu"]
SMALL = [*SHORT, "model.hidden=[4]"]
NORMALIZED = "data.normalize={mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25]}"


class Lines:
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, name: str) -> object:
        return (lambda text: self.lines.append(text)) if name in ("message", "warn") else (lambda *_, **__: None)


@pytest.fixture
def first(tmp_path: Path) -> Run:
    return train("mlp", data=dataset(), overrides=SMALL, runs=tmp_path, name="first", report=False)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return photo_folder(tmp_path / "photos", each=6)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run / "last.safetensors")[0]


def two_classes() -> Dataset:
    whole = dataset()
    parts = [split.subset(np.flatnonzero(split.labels < 2)) for split in (whole.train, whole.test)]
    return Dataset("two", whole.classes[:2], *parts, fingerprint="two")


def test_another_run_gives_network_weights_and_normalization(first: Run, tmp_path: Path) -> None:
    progress = Lines()
    second = train(
        "deep3", data=two_classes(), start_from=first, overrides=[*SHORT, "optim.lr=1e-9"],
        runs=tmp_path, name="second", report=False, progress=progress,
    )  # fmt: skip
    recipe = load_recipe(second.path)
    assert (recipe.model.name, recipe.model.arguments) == ("mlp", {"hidden": [4]})
    assert Path(recipe.model.weights) == first.path / "last.safetensors"
    assert len(recipe.model.weights_sha256) == 64
    assert recipe.data.normalize == {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    before, after = weights_of(first.path), weights_of(second.path)
    torch.testing.assert_close(after["fc1.weight"], before["fc1.weight"], rtol=0, atol=1e-4)
    assert after["fc2.weight"].shape == (2, 4)
    assert any(line.endswith(" with a new head: 2 classes instead of 3") for line in progress.lines)


def test_a_run_is_resumed_and_predicts_without_the_file_it_started_from(first: Run, tmp_path: Path) -> None:
    second = train("deep3", data=dataset(), start_from=first.path, overrides=SHORT, runs=tmp_path, report=False)
    third = train("mlp", data=dataset(), start_from=first, overrides=[*SHORT, "train.duration=4 steps"], runs=tmp_path,
                  report=False)  # fmt: skip
    for file in first.path.glob("*.safetensors"):
        file.unlink()
    resumed = train(resume=second.path, data=dataset(), overrides=["train.duration=4 steps"], report=False)
    assert resumed.summary["steps"] == 4
    assert load(third.path).predict(np.zeros((16, 16, 3), np.uint8)).label in dataset().classes
    with pytest.raises(ModelError, match=r"^model\.weights: .*last\.safetensors does not exist"):
        train(third.path, data=dataset(), runs=tmp_path, report=False)


def test_a_recorded_recipe_repeats_the_run_and_refuses_a_changed_file(first: Run, tmp_path: Path) -> None:
    second = train("mlp", data=dataset(), start_from=first, overrides=SHORT, runs=tmp_path, report=False)
    again = train(second.path, data=dataset(), runs=tmp_path, report=False)
    before, after = weights_of(second.path), weights_of(again.path)
    assert all(torch.equal(before[name], after[name]) for name in before)
    state = {name: weight + 1 for name, weight in before.items()}
    save_file(state, first.path / "last.safetensors")
    with pytest.raises(ModelError, match=r"has SHA-256 .*, but the recipe means .*: the file has changed; restore it"):
        train(second.path, data=dataset(), runs=tmp_path, report=False)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_plain_file_needs_a_normalization(first: Run, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"plain{suffix}"
    state = {f"module.{name}": weight for name, weight in weights_of(first.path).items()}
    (write_state_dict(file, state) if suffix == ".pth" else save_file(state, file))
    lines = [*SMALL, f"model.weights={file}"]
    with pytest.raises(RecipeError, match=r"do not say how their images were normalized; set data\.normalize to"):
        train("mlp", data=dataset(), overrides=lines, runs=tmp_path, name="no", report=False)
    assert not (tmp_path / "no").exists()
    run = train("mlp", data=dataset(), overrides=[*lines, NORMALIZED], runs=tmp_path, name="yes", report=False)
    assert load_model(run.path / "last.safetensors")[1].preprocessing.std == (0.25, 0.25, 0.25)


def test_a_checkpoint_that_wraps_its_weights_is_read(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pth")
    assert read_state_dict(tmp_path / "a.pth")["a"].tolist() == [1, 1]


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise AssertionError('code was run')",)


def test_files_with_code_of_other_networks_and_of_other_kinds_leave_no_run(first: Run, tmp_path: Path) -> None:
    torch.save({"a": Runs()}, tmp_path / "code.pth")
    (tmp_path / "a.txt").write_text("x")
    for file, network, message in [
        ("code.pth", "mlp", r"code\.pth cannot be loaded: found '.*exec', which could run code"),
        ("missing.pth", "mlp", r"^model\.weights: .*missing\.pth does not exist"),
        ("first", "mlp", r"^model\.weights: .*first is a folder; expected a file, or a run folder with --from"),
        ("a.txt", "mlp", r"a\.txt; expected a file that ends in \.safetensors, \.pth, \.pt, \.bin"),
        ("first/last.safetensors", "tutorial", r"holds the network 'mlp', but model\.name is 'tutorial'; .* --from"),
    ]:
        lines = [*SHORT, f"model.weights={tmp_path / file}", "data.normalize=half"]
        with pytest.raises((ModelError, RecipeError), match=message):
            train(network, data=dataset(), overrides=lines, runs=tmp_path / "runs", report=False)
    lines = [*SHORT, "model.hidden=[8]", f"model.weights={first.path / 'last.safetensors'}"]
    with pytest.raises(
        ModelError, match=r"do not fit the network: .* 'fc1\.weight' is \[4, 768\], expected \[8, 768\]"
    ):
        train("mlp", data=dataset(), overrides=lines, runs=tmp_path / "runs", report=False)
    assert not (tmp_path / "runs").exists()


def test_what_does_not_go_together_is_refused(first: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^model\.hidden was given beside the model to start from"):
        train("mlp", data=dataset(), start_from=first, overrides=SMALL)
    with pytest.raises(UsageError, match=r"^model and a model to start from were both given"):
        train("mlp", data=dataset(), start_from=first, model=torch.nn.Flatten())
    with pytest.raises(UsageError, match=r"^resume and a model to start from were both given"):
        train(data=dataset(), start_from=first, resume=first)
    with pytest.raises(UsageError, match="your own network has its own; leave them out"):
        train("photo-tuned", data=dataset(), model=torch.nn.Flatten(), runs=tmp_path)
    with pytest.raises(RecipeError, match=r"model\.pretrained = true and model\.weights = 'a' both name the weights"):
        resolve(Recipe(), ["model.pretrained=true", "model.weights=a"])
    with pytest.raises(RecipeError, match=r"data\.normalize is 'weights', but the network starts from random ones"):
        resolve(Recipe(), ["data.normalize=weights"])
    with pytest.raises(RecipeError, match=r"there are no pretrained weights for 'mlp'; expected lite0 or timm:NAME"):
        train("mlp", data=dataset(), overrides=["model.pretrained=true"], runs=tmp_path)


def test_pretrained_weights_decide_what_the_recipe_leaves_open() -> None:
    progress = Lines()
    half = (0.5, 0.5, 0.5)
    found = with_weights(load_recipe("photo-tuned"), progress)
    assert (found.data.image_size, found.data.fit) == ((224, 224), "crop:0.875")
    assert found.data.normalize == {"mean": half, "std": half}
    assert progress.lines == [
        "images as the weights expect them: 224×224, fit crop:0.875, mean 0.5/0.5/0.5, std 0.5/0.5/0.5"
    ]
    assert with_weights(found, progress) == found
    assert len(progress.lines) == 1
    others = ["data.fit=pad", "data.image_size=96", "data.normalize=data"]
    own = with_weights(load_recipe("photo-tuned", others), progress)
    assert (own.data.image_size, own.data.fit, own.data.normalize) == (96, "pad", "data")
    assert progress.lines[1:] == [
        "data.normalize = data, but the weights were trained with mean 0.5/0.5/0.5, std 0.5/0.5/0.5"
    ]


def test_an_override_of_the_weights_replaces_the_normalization_of_the_recipe() -> None:
    assert load_recipe("quick").data.normalize == "data"
    assert load_recipe("quick", ["model.name=lite0", "model.pretrained=true"]).data.normalize == "weights"
    kept = load_recipe("quick", ["model.name=lite0", "model.pretrained=true", "data.normalize=half"])
    assert kept.data.normalize == "half"


def test_lite0_trains_on_photos_and_predicts_without_the_package(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [*SHORT[1:], "train.duration=1 step", "data.image_size=32", "train.execution=eager", "optim.head_l2=0.1"]
    flags = [flag for line in lines for flag in ("--set", line)]
    assert main(["train", str(photos), "--recipe", "photo-tuned", "--name", "a", "--no-report", *flags]) == 0
    shown = "".join(capsys.readouterr())
    assert "weights: from EfficientNet-Lite0 on ImageNet with a new head: 2 classes" in shown
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    card = load_model(Path("runs/a/last.safetensors"))[1]
    assert (card.architecture, card.arguments, card.preprocessing.fit) == ("lite0", {}, "crop:0.875")
    assert main(["predict", "runs/a", str(photos / "blue" / "0.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["label"] in ("blue", "green")
    assert main(["eval", "runs/a", "--data", str(photos)]) == 0
    flags = ["--set", "train.duration=2 steps", "--no-report"]
    assert main(["train", "--resume", "runs/a", *flags]) == 0


def test_small_photos_are_enlarged_and_that_is_said(photos: Path, tmp_path: Path) -> None:
    progress = Lines()
    lines = [*SHORT[1:], "train.duration=1 step", "data.image_size=64", "train.execution=eager"]
    train("photo", data=photos, overrides=lines, runs=tmp_path, report=False, progress=progress)
    assert any(line.startswith("images of about ") and " are enlarged to 64×64" in line for line in progress.lines)


@pytest.mark.usefixtures("trials_in_this_process")
def test_several_seeds_start_from_another_model(tmp_path: Path, photos: Path) -> None:
    base = train("mlp", data=photos, overrides=[*SMALL, "data.image_size=16"], runs=tmp_path, name="b", report=False)
    lines = [*SHORT, "train.duration=1 step"]
    found = train("deep3", data=photos, start_from=base, seeds=2, overrides=lines, runs=tmp_path, report=False)
    recipes = [load_recipe(file.parent) for file in found.path.glob("**/last.safetensors")]
    assert [(recipe.model.name, recipe.data.image_size) for recipe in recipes] == [("mlp", (16, 16))] * 2


def test_training_images_that_the_weights_may_have_seen_fit_no_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_MIN_TRAIN", 10)
    random = load_recipe("mlp")
    assert calibrate.num_training_images(random, dataset()) == 24
    started = resolve(random, ["model.weights=other.pth"])
    assert calibrate.num_training_images(started, dataset()) == 0
