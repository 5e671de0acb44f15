"""`tenfold.eval` on the data of the run, and on data that it was not trained on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tenfold
from harness.images import class_tree
from harness.runs import Notes, without_plots
from harness.tiny import photo_folder
from tenfold.cli.main import main
from tenfold.core import durable
from tenfold.core.errors import DataError, ModelError, UsageError
from tenfold.data.store.store import list_stores
from tenfold.models.build import build_model
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.runs.run_folder import RunFolder

SETTINGS = [
    "model.hidden=[4]", "train.duration=1 epochs", "train.min_steps=0", "train.threads=1", "train.device=cpu",
    "data.image_size=16", "data.val_fraction=0.2",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with class folders `photos` and `runs/first`, trained on them."""
    home = tmp_path_factory.mktemp("home")
    photo_folder(home / "photos", each=20)
    with without_plots():
        tenfold.train("mlp", data=home / "photos", overrides=SETTINGS, runs=home / "runs", name="first")
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """Returns a copy of the photos and the run, with a recipe that names the copy."""
    shutil.copytree(trained, tmp_path / "home")
    name_source(tmp_path / "home", str(tmp_path / "home" / "photos"))
    return tmp_path / "home"


def name_source(home: Path, source: str) -> None:
    """Makes the recipe of the run name another source."""
    folder = RunFolder(home / "runs" / "first")
    durable.write_text(folder.recipe, to_toml(resolve(load_recipe(folder.recipe), {"data.source": source})))


def evaluated(home: Path, data: object = None, split: str | None = None, notes: Notes | None = None) -> Any:
    return tenfold.eval(home / "runs/first", data=data, split=split, device="cpu", progress=notes or Notes())


def as_stored(evaluation: Any) -> Any:
    return json.loads(json.dumps(evaluation.to_json()))


@pytest.mark.parametrize(
    ("folders", "split", "count", "text"),
    [
        ({"blue": 3, "green": 2}, None, 5, "all 5 images"),
        ({"blue": 3, "green": 2}, "all", 5, "all 5 images"),
        ({"blue": 3}, None, 3, "all 3 images"),
        ({"test/green": 1}, None, 1, "the 1 test image"),
        ({"val/blue": 2, "val/green": 1}, None, 3, "all 3 images"),
        ({"test/blue": 2, "test/green": 2}, None, 4, "the 4 test images"),
        ({"train/blue": 4, "train/green": 4, "test/blue": 1, "test/green": 1}, None, 2, "the 2 test images"),
        ({"train/blue": 4, "train/green": 4, "test/blue": 1, "test/green": 1}, "train", 8, "the 8 train images"),
        ({"train/blue": 4, "train/green": 4, "test/blue": 1, "val/green": 1}, "val", 1, "the 1 val image"),
        ({"train/blue": 4, "train/green": 4, "test/blue": 1, "test/green": 1}, "all", 10, "all 10 images"),
        ({"train/blue": 4, "train/unknown": 4, "test/blue": 1}, "test", 1, "the 1 test image"),
    ],
)
def test_other_data_is_evaluated_whole_or_by_its_folders(
    home: Path, tmp_path: Path, folders: dict[str, int], split: str | None, count: int, text: str
) -> None:
    notes = Notes()
    result = evaluated(home, class_tree(tmp_path / "holdout", folders), split, notes)
    assert result.total == count
    assert notes.messages == [f"evaluating {text} of holdout"]
    stores = [store for store in list_stores() if store.name == "holdout"]
    assert stores[-1].num_images == count
    for store in stores:
        shutil.rmtree(store.path)


def test_only_one_class_gives_that_class(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holdout = class_tree(tmp_path / "holdout", {"green": 3})
    result = evaluated(home, holdout)
    assert [row.support for row in result.per_class] == [0, 3]
    assert main(["eval", str(home / "runs/first"), "--data", str(holdout), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "on 3 images" in shown
    assert " green " in shown
    assert " blue " not in shown


def test_class_folders_without_splits_have_no_test_split(home: Path, tmp_path: Path) -> None:
    holdout = class_tree(tmp_path / "holdout", {"blue": 3, "green": 2})
    with pytest.raises(DataError, match="has class folders but no test folder; leave --split out to evaluate all"):
        evaluated(home, holdout, "test")
    split = class_tree(tmp_path / "split", {"train/blue": 3, "test/green": 2})
    with pytest.raises(DataError, match="has no split 'val'; expected train, test or all"):
        evaluated(home, split, "val")


def test_images_outside_of_class_folders_cannot_be_evaluated(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds images but no class folder; expected the images of each class"):
        evaluated(home, class_tree(tmp_path / "flat", {".": 2}))


@pytest.mark.parametrize("archive", [False, True])
def test_unknown_classes_are_refused_before_an_image_is_decoded(
    home: Path, tmp_path: Path, archive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = class_tree(tmp_path / "zoo", {"blue": 1, "cat": 1, "dog": 1})
    if archive:
        data = Path(shutil.make_archive(str(tmp_path / "zoo"), "zip", data))
    monkeypatch.setattr("tenfold.data.store.writer.decode_all", None)
    expected = r"the data has classes that the model does not know \(cat, dog\); the model knows blue, green"
    with pytest.raises(ModelError, match=expected):
        evaluated(home, data)
    assert [store for store in list_stores() if store.name == "zoo"] == []


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "shapes"])
def test_a_built_in_dataset_of_other_classes_is_refused_before_it_is_read(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.data.evaluation.build_dataset", None)
    with pytest.raises(ModelError, match="the data has classes that the model does not know"):
        evaluated(home, name)


def test_files_that_are_left_out_are_named(home: Path, tmp_path: Path) -> None:
    holdout, notes = class_tree(tmp_path / "holdout", {"blue": 30, "green": 2}), Notes()
    (holdout / "blue/broken.png").write_bytes(b"no image")
    assert evaluated(home, holdout, notes=notes).total == 32
    assert notes.warnings[-1].startswith("1 file left out, the first: blue/broken.png (")


def test_the_data_of_the_run_keeps_its_splits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = RunFolder(home / "runs/first").read_summary()
    stored = summary["evaluation"]
    monkeypatch.chdir(home)
    for data in (None, home / "photos", "photos/", "../home/photos"):
        assert as_stored(evaluated(home, data)) == stored
    counts = summary["dataset"]["pictures"]
    assert evaluated(home, split="val").total == counts["val"]
    assert evaluated(home, split="all").total == sum(counts.values()) == 40


def test_moved_data_of_the_run_keeps_its_splits(home: Path) -> None:
    stored = RunFolder(home / "runs/first").read_summary()["evaluation"]
    (home / "photos").rename(home / "album")
    with pytest.raises(DataError, match=r"photos, the data of .*first, is not there; name its new place with --data"):
        evaluated(home)
    notes = Notes()
    assert as_stored(evaluated(home, home / "album", notes=notes)) == stored
    assert notes.messages[0] == f"{home / 'album'} is the data of the run in a new place"


def test_other_images_of_the_same_names_are_foreign(home: Path, tmp_path: Path) -> None:
    other = class_tree(tmp_path / "other", {"blue": 20, "green": 20})
    assert evaluated(home, other).total == 40


def test_changed_data_of_the_run_is_warned_of(home: Path) -> None:
    shutil.copy(home / "photos/blue/0.png", home / "photos/green/new.png")
    notes = Notes()
    evaluated(home, notes=notes)
    (warning,) = notes.warnings
    assert "has changed since the run: these test images are not those of the run" in warning


def test_a_relative_source_is_found_from_another_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_source(home, "photos")
    stored = RunFolder(home / "runs/first").read_summary()["evaluation"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert as_stored(evaluated(home)) == stored
    assert as_stored(evaluated(home, home / "photos")) == stored


def test_a_dataset_is_evaluated_by_its_splits(home: Path) -> None:
    data = tenfold.dataset(home / "photos", image_size=16)
    assert evaluated(home, data).total == len(data.test)
    assert evaluated(home, data, "all").total == 40
    with pytest.raises(UsageError, match="photos has no split 'val'; expected train, test or all"):
        evaluated(home, data, "val")


def test_images_in_memory_are_evaluated_whole_by_the_names_of_their_labels(home: Path) -> None:
    data = tenfold.dataset(home / "photos", image_size=16)
    names = [data.classes[label] for label in data.test.labels]
    expected = as_stored(evaluated(home, data))
    pair = (data.test.images, names)
    assert as_stored(evaluated(home, pair)) == as_stored(evaluated(home, {"test": pair})) == expected
    assert evaluated(home, {"train": pair, "test": pair}, "all").total == 2 * len(names)
    assert evaluated(home, (data.test.images[:2], ["green", "green"])).total == 2
    with pytest.raises(ModelError, match=r"classes that the model does not know \(cat\); the model knows blue, green"):
        evaluated(home, (data.test.images[:2], ["green", "cat"]))
    with pytest.raises(UsageError, match="data has no split 'val'; expected train or all"):
        evaluated(home, pair, "val")


def test_a_changed_copy_of_the_runs_images_is_warned_of(home: Path, tmp_path: Path) -> None:
    notes, tested = Notes(), len(RunFolder(home / "runs/first").read_predictions())
    shutil.copytree(home / "photos", tmp_path / "moved")
    trained = next(iter(set(range(20)) - {int(Path(row.path).stem) for row in predictions(home) if "blue" in row.path}))
    (tmp_path / f"moved/blue/{trained}.png").unlink()
    assert evaluated(home, tmp_path / "moved", notes=notes).total == 39
    (warning,) = notes.warnings
    assert warning.startswith(f"{tested} of the {tested} test images of this run are in ")
    (home / "runs/first/predictions.csv").unlink()
    (home / "runs/first/summary.json").unlink()
    class_tree(tmp_path / "photos", {"blue": 1, "green": 1})
    evaluated(home, tmp_path / "photos", notes=notes)
    assert notes.warnings[1].endswith(
        "has the name of the data of this model, which may have been trained on these images"
    )


def predictions(home: Path) -> Any:
    return RunFolder(home / "runs/first").read_predictions()


def test_a_relative_source_counts_from_the_folder_of_the_runs_first(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_source(home, "photos")
    monkeypatch.chdir(tmp_path)
    class_tree(tmp_path / "photos", {"blue": 20, "green": 20})
    notes = Notes()
    assert as_stored(evaluated(home, notes=notes)) == RunFolder(home / "runs/first").read_summary()["evaluation"]
    assert notes.warnings == []


@pytest.mark.parametrize(("split", "count"), [("train", 26), ("all", 40)])
def test_images_of_the_training_are_named_as_such(home: Path, split: str, count: int) -> None:
    notes = Notes()
    evaluated(home, split=split, notes=notes)
    trained = f"the model was trained on 26 of these {count} images: expect a lower accuracy on new ones"
    assert notes.messages == [
        trained,
        f"evaluating {'all' if split == 'all' else 'the'} {count} {'' if split == 'all' else 'train '}images of photos",
    ]
    for other in ("val", "test"):
        notes = Notes()
        evaluated(home, split=other, notes=notes)
        assert len(notes.messages) == 1


def test_weights_without_class_names_take_those_of_data_with_as_many_classes(tmp_path: Path) -> None:
    weights, said = tmp_path / "mlp.pth", Notes()
    torch.save(build_model("mlp", {}, num_classes=3, image_size=(32, 32)).state_dict(), weights)
    holdout = class_tree(tmp_path / "holdout", {"wasps": 2, "ants": 3, "bees": 2})
    found = tenfold.eval(weights, model="mlp", data=holdout, device="cpu", progress=said)
    assert [(row.name, row.support) for row in found.per_class] == [("ants", 3), ("bees", 2), ("wasps", 2)]
    assert any("the weights name no classes" in line and line.endswith("ants, bees, wasps") for line in said.messages)
    two = class_tree(tmp_path / "two", {"ants": 3, "bees": 2})
    with pytest.raises(ModelError, match="classes that the model does not know"):
        tenfold.eval(weights, model="mlp", data=two, device="cpu")
