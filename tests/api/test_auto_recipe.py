"""`auto`, the default recipe: chosen by the size of the images, which one line says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tenfold
from harness.images import class_tree
from harness.runs import DropoutNet, Notes, noise_dataset, without_plots
from tenfold.api import auto_recipe
from tenfold.api.auto_recipe import chosen_recipe
from tenfold.core.errors import DataError, RecipeError, RunError, TenfoldError, UsageError
from tenfold.recipes.load import load_recipe

QUICKLY = ["train.duration=1 steps", "train.min_steps=0", "train.batch_size=4", "train.threads=1", "train.device=cpu"]


def pets(root: Path, side: int, each: int = 4) -> Path:
    """Writes class folders of square images; returns `root`."""
    return class_tree(root, {"cat": each, "dog": each}, height=side, width=side)


def chosen(data: Any, *overrides: str, **settings: Any) -> tuple[Any, list[str]]:
    """Returns what `auto` becomes, and the messages."""
    notes = Notes()
    found = chosen_recipe("auto", data, overrides, notes, **{"runs": "runs", "name": None, **settings})
    assert found.recipe == found.name
    return found.recipe, notes.messages


@pytest.mark.parametrize(
    ("side", "recipe", "line"),
    [
        (64, "quick", "recipe: quick, because the images are small, 64×64 (another: --recipe photo)"),
        (65, "photo", "recipe: photo, because the images are photos of about 65×65 (another: --recipe quick)"),
    ],
)
def test_size_of_the_images_decides_and_one_line_says_so(tmp_path: Path, side: int, recipe: str, line: str) -> None:
    assert chosen(pets(tmp_path / "pets", side)) == (recipe, [line])


@pytest.mark.parametrize("name", ["auto", "shapes", "cifar10", "cifar100", None])
def test_built_in_data_is_small_without_a_look(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_recipe, "typical_size", None)
    assert chosen(name)[0] == "quick"
    assert chosen(None, f"data.source={name or 'auto'}")[0] == "quick"


def test_data_may_be_named_by_an_override(tmp_path: Path) -> None:
    assert chosen(None, f"data.source={pets(tmp_path / 'pets', 80)}")[0] == "photo"


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        ((np.zeros((4, 3, 65, 90), np.uint8), [0, 1, 0, 1]), "photo"),
        ((np.zeros((4, 64, 90, 3), np.uint8), [0, 1, 0, 1]), "quick"),
        ({"train": ([Image.new("L", (90, 80))] * 2, ["a", "b"])}, "photo"),
        (noise_dataset(side=8), "quick"),
        (noise_dataset(side=65), "photo"),
        ("no data", "quick"),
        (([], []), "quick"),
        ({}, "quick"),
    ],
)
def test_images_in_memory_are_chosen_for_by_their_shape(data: Any, recipe: str) -> None:
    assert chosen(data)[0] == recipe


@pytest.mark.parametrize(
    ("line", "recipe", "reason"),
    [
        ("data.image_size=64", "quick", "data.image_size is 64×64"),
        ("data.image_size=[65, 80]", "photo", "the images are photos of about 80×80"),
        ("model.name=resnet18", "quick", "model.name is set"),
        ("model.widths=[8, 8]", "quick", "model.widths is set"),
        ("model.pretrained=true", "photo", "the images are photos of about 80×80"),
        ("data.fit=weights", "photo", "the images are photos of about 80×80"),
    ],
)
def test_overrides_that_decide_the_network_or_its_images_count(
    tmp_path: Path, line: str, recipe: str, reason: str
) -> None:
    found, (message,) = chosen(pets(tmp_path / "pets", 80), line)
    assert (found, message.partition(" (another")[0]) == (recipe, f"recipe: {recipe}, because {reason}")


def test_varied_keys_count_as_overrides_do(tmp_path: Path) -> None:
    data = pets(tmp_path / "pets", 80)
    line = "recipe: quick, because model.name is varied (another: --recipe photo)"
    assert chosen(data, varied=["model.name"]) == ("quick", [line])
    line = "recipe: quick, because optim.lr is varied, which has no effect on photo (another: --recipe photo-tuned)"
    assert chosen(data, varied=["optim.lr"]) == ("quick", [line])
    assert chosen(data, varied=["train.batch_size"])[0] == "quick"
    assert chosen(data, varied=["data.augment.mixup"])[1] == [
        "recipe: quick, because data.augment.mixup is varied, which photo cannot obey (another: --recipe photo-tuned)"
    ]
    assert chosen(data, varied=["optim.head_l2"])[0] == "photo"
    assert chosen(data, varied=["recipe"]) == ("photo", [])


@pytest.mark.parametrize(
    "line",
    ["data.augment.mixup=0.2", "data.augment.cutmix=1.0", "data.pruning=0.3", "optim.ema=0.9",
     "train.progressive=[[0.5, 0.5]]"],
)  # fmt: skip
def test_what_photo_refuses_is_trained_by_quick(tmp_path: Path, line: str) -> None:
    data = pets(tmp_path / "pets", 80)
    key = line.partition("=")[0]
    message = f"recipe: quick, because {key} is set, which photo cannot obey (another: --recipe photo-tuned)"
    assert chosen(data, line) == ("quick", [message])
    assert chosen(data, line, "train.layers=all")[0] == "photo"
    assert chosen(data, "data.augment.mixup=0.0", "train.early_stop=2")[0] == "photo"


@pytest.mark.parametrize("key", ["optim.lr", "train.batch_size", "train.early_stop"])
def test_sweep_of_what_a_head_ignores_is_refused(tmp_path: Path, key: str) -> None:
    data = pets(tmp_path / "pets", 80)
    with pytest.raises(UsageError, match=f"{key} is varied, but train.layers = head fits the head without training st"):
        tenfold.sweep("photo", vary={key: [1, 2]}, data=data, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_own_network_keeps_quick_without_a_word() -> None:
    assert chosen("anything", has_network=True) == ("quick", [])


@pytest.mark.parametrize("line", ["optim.lerning_rate=1", "train.batch_size=0"])
def test_invalid_overrides_get_the_usual_message_before_a_look(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_recipe, "typical_size", None)
    with pytest.raises(RecipeError) as usual:
        load_recipe("quick", [line])
    with pytest.raises(RecipeError) as found:
        chosen("pets", line)
    assert str(found.value) == str(usual.value)


def test_existing_run_is_reported_before_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_recipe, "typical_size", None)
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match="mine"):
        chosen("pets", runs=tmp_path, name="mine")


@pytest.mark.parametrize("name", ["missing", "empty", "broken.zip"])
def test_unusable_source_is_reported_once_with_the_message_of_other_recipes(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4")
    errors, notes = [], Notes()
    for recipe in ("auto", "quick"):
        with pytest.raises(TenfoldError) as error:
            tenfold.train(recipe, data=tmp_path / name, runs=tmp_path / "runs", progress=notes)
        errors.append(str(error.value))
    assert (errors[0], notes.messages) == (errors[1], [])
    assert not (tmp_path / "runs").exists()


def test_run_is_named_after_the_recipe_and_repeats_from_its_own(tmp_path: Path) -> None:
    notes = Notes()
    with without_plots():
        run = tenfold.train(data=pets(tmp_path / "pets", 16), overrides=QUICKLY, runs=tmp_path / "runs", progress=notes)
        again = tenfold.train(run.path, runs=tmp_path / "runs", name="again", overrides=["train.seed=1"])
    assert run.path.name.startswith("pets-quick-")
    assert json.loads((run.path / "env.json").read_text())["recipe"] == "quick"
    assert load_recipe(run.path).model.name == "quick"
    assert notes.messages[0] == "recipe: quick, because the images are small, 16×16 (another: --recipe photo)"
    assert again.path.name == "again"


def test_own_model_is_trained_by_quick(tmp_path: Path) -> None:
    with without_plots():
        run = tenfold.train(
            data=noise_dataset(side=65),
            model=DropoutNet(65 * 65),
            overrides=[*QUICKLY, "optim.name=sgd"],
            runs=tmp_path,
            name="own",
        )
    assert json.loads((run.path / "env.json").read_text())["recipe"] == "quick"


def test_seeds_folds_and_sweeps_choose_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        """Ends a sweep before it begins."""

    names: list[str] = []

    def begin(folder: Any, plan: Any, *_: Any) -> None:
        names.extend((plan.recipe, folder.path.name))
        raise Stop

    monkeypatch.setattr("tenfold.api.sweep.begin_sweep", begin)
    monkeypatch.setattr("tenfold.api.folds.begin_sweep", begin)
    data, shared = pets(tmp_path / "pets", 16), {"overrides": QUICKLY, "runs": tmp_path / "runs"}
    with pytest.raises(Stop):
        tenfold.train(data=data, seeds=2, **shared)
    with pytest.raises(Stop):
        tenfold.train(data=data, folds=2, **shared)
    with pytest.raises(Stop):
        tenfold.sweep(vary={"optim.lr": [0.1, 0.2]}, data=data, **shared)
    assert names[::2] == ["quick"] * 3
    assert [name.rpartition("-202")[0] for name in names[1::2]] == [
        "pets-quick-seeds", "pets-quick-folds", "pets-quick-sweep",
    ]  # fmt: skip


def test_where_no_data_is_at_hand_auto_is_refused_in_one_line() -> None:
    with pytest.raises(RecipeError, match=r"^recipe 'auto' is quick or photo, by the size of the images"):
        load_recipe("auto")
    with pytest.raises(RecipeError, match=r"unknown recipe 'autoo'; did you mean 'auto'\?"):
        load_recipe("autoo")
    with pytest.raises(DataError):
        tenfold.train(data=3)  # type: ignore[arg-type]


def test_photos_that_start_from_another_run_fit_its_head_anew(tmp_path: Path) -> None:
    """A training of all layers from scratch's rates would destroy what the network knows."""
    data, settings = pets(tmp_path / "pets", 80), ["train.threads=1", "data.image_size=32"]
    base = tenfold.train("mlp", data=data, overrides=settings, epochs=1, runs=tmp_path, report=False, name="base")
    assert isinstance(base, tenfold.Run)
    run = tenfold.train(data=data, start_from=base, runs=tmp_path, report=False, name="run")
    assert isinstance(run, tenfold.Run)
    assert run.summary["head"] is not None
