"""Tests of layouts as people have them: which folders are splits, which are classes, and what is asked for."""

import zipfile

import pytest

from harness.images import class_tree, write_tree
from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.rules import SourceRules, parse_splits, split_role


def counts(layout):
    return {split: len(found) for split in ("train", "test", "val") if (found := layout.indices_of(split))}


@pytest.mark.parametrize(
    ("folders", "understood"),
    [
        (("Training", "Testing"), "Training → train, Testing → test"),
        (("dataset/training_set", "dataset/test_set"), "dataset/training_set → train, dataset/test_set → test"),
        (("seg_train/seg_train", "seg_test/seg_test"), "seg_train → train, seg_test → test"),
        (("x/x/train", "x/x/test"), "x/x/train → train, x/x/test → test"),
        (("TrainSet", "myDevSet", "test2017"), "TrainSet → train, test2017 → test, myDevSet → val"),
        (("train/train", "test/images"), "train → train, test → test"),
    ],
)
def test_splits_are_recognized_by_words_and_wrappers_are_looked_through(tmp_path, folders, understood):
    layout = scan(class_tree(tmp_path, {f"{folder}/{name}": 2 for folder in folders for name in ("cats", "dogs")}))
    assert layout.classes == ("cats", "dogs")
    assert layout.understood == f"layout: {understood}"
    assert sum(counts(layout).values()) == 4 * len(folders)


def test_the_splits_of_an_archive_are_recognized_in_its_wrapper(tmp_path):
    root = class_tree(
        tmp_path / "files", {f"d/{split}/{name}": 1 for split in ("training", "testing") for name in "ab"}
    )
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in root.rglob("*.png"):
            archive.write(path, path.relative_to(root))
    assert counts(scan(tmp_path / "d.zip")) == {"train": 2, "test": 2}


def test_unlabeled_images_beside_splits_are_listed_and_no_class(tmp_path):
    folders = {f"{split}/{split}/{name}": 2 for split in ("seg_train", "seg_test") for name in ("sea", "street")}
    layout = scan(class_tree(tmp_path, folders | {"seg_pred/seg_pred": 3}))
    assert layout.classes == ("sea", "street")
    assert layout.understood == "layout: seg_train → train, seg_test → test; left out: seg_pred (3 unlabeled images)"
    assert layout.skipped == ()


def test_a_copy_of_the_splits_beside_them_is_left_out(tmp_path):
    folders = {f"x/{place}{split}/{name}": 1 for place in ("", "x/") for split in ("train", "test") for name in "ab"}
    layout = scan(class_tree(tmp_path, folders))
    assert counts(layout) == {"train": 2, "test": 2}
    assert {file.reason for file in layout.skipped} == {"outside train, test and val"}


def test_the_only_held_out_split_is_the_test_split_whatever_its_name(tmp_path):
    root = class_tree(tmp_path / "d", {f"{split}/{name}": 5 for split in ("train", "valid") for name in ("ant", "bee")})
    dataset = build_dataset(DataRequest(str(root), val_fraction=0.2))
    assert (len(dataset.train), len(dataset.test), dataset.drawn) == (8, 10, ("val",))
    assert dataset.test.paths[0] == "valid/ant/0.png"
    assert dataset.layout == "layout: train → train, valid → val"
    assert dataset.notes[0] == "val is the only held-out split, so it is the test split"


def test_folders_with_the_same_classes_under_other_names_are_asked_for(tmp_path):
    root = class_tree(
        tmp_path, {f"{part}/{name}": n for part, n in (("old", 3), ("new", 1)) for name in ("cat", "dog")}
    )
    with pytest.raises(DataError) as error:
        scan(root)
    message = str(error.value)
    assert "folders 'new', 'old', which hold the same folders: splits or classes?" in message
    assert message.endswith("for splits: --splits 'new=test,old=train', for classes: --classes-are-folders")
    assert counts(scan(root, rules=SourceRules(splits=parse_splits("new=test,old=train")))) == {"train": 6, "test": 2}
    assert scan(root, rules=SourceRules(classes_are_folders=True)).classes == ("new", "old")


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (("train/a", "train/b", "holdout/a", "holdout/b"), "--splits 'holdout=test,train=train'"),
        (("train/a", "train/b", "train_2/a", "train_2/b", "test/a"), "several like train"),
        (("train/a", "train/b", "train_2/a", "train_2/b", "test/a"), "--splits 'test=test,train=train,train_2=train'"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "--labels 'name:(?P<label>[^/]+)/(?P<split>"),
        (("raw/train/a", "raw/train/b", "raw/test/a", "crops/train/a", "crops/train/b", "crops/test/a"),
         "--splits 'crops/test=test,crops/train=train'"),
        (("train", "test"), "'test', 'train', which are named like splits and hold images but no class folders"),
        (("train_station/day", "train_station/night", "bus"), "is named like a split and holds folders"),
        (("data/train/a", "data/train/b", "data/test/a", "samples"), "--splits 'data/test=test,data/train=train'"),
        (("cat/train", "cat/test", "dog/train", "dog/test", "eel/train", "eel/test", "fox/train", "fox/test"),
         r"--labels 'name:(?P<label>[^/]+)/(?P<split>[^/]+)/[^/]+$'"),
    ],
)  # fmt: skip
def test_what_may_be_splits_or_classes_is_refused_with_the_flag_that_decides(tmp_path, folders, found):
    with pytest.raises(DataError) as error:
        scan(class_tree(tmp_path, dict.fromkeys(folders, 1)))
    assert found in str(error.value)


def test_words_are_found_within_names_and_not_within_words():
    names = [
        "Train",
        "training_data",
        "my-test",
        "TESTING",
        "valid2",
        "devSet",
        "evaluated",
        "contest",
        "strain",
        "train-test",
    ]
    assert [split_role(name) for name in names] == ["train", "train", "test", "test", "val", "val", "", "", "", ""]


def test_folders_that_are_named_as_splits_may_lie_deep(tmp_path):
    root = class_tree(tmp_path, {f"x/{part}/in/{name}": 1 for part in ("p", "q", "r") for name in "ab"})
    layout = scan(root, rules=SourceRules(splits={"p/in": "train", "q": "test"}))
    assert counts(layout) == {"train": 2, "test": 2}
    assert layout.classes == ("a", "b")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ("a=train,b=tset", "data.splits has 'b=tset'; expected each folder once, as FOLDER=train"),
        ("a=test", "expected a folder for train: a=train,b=test"),
        ("a=train,a=test", "expected each folder once"),
        ("a", "data.splits has 'a'"),
    ],
)
def test_invalid_splits_are_refused_before_any_file_is_read(tmp_path, splits, message):
    with pytest.raises(DataError, match=message):
        DataRequest(str(tmp_path / "missing"), splits=splits)


def test_a_split_folder_that_is_not_there_is_named(tmp_path):
    root = class_tree(tmp_path, {"a/x": 1, "a/y": 1, "b/x": 1})
    with pytest.raises(DataError, match=r"no folder 'c' with images, which data\.splits names; .* \(found: 'a', 'b'\)"):
        scan(root, rules=SourceRules(splits={"a": "train", "c": "test"}))


def test_built_in_data_is_not_read_otherwise():
    with pytest.raises(DataError, match="cifar10 has its own labels and splits"):
        DataRequest("cifar10", splits="a=train")


def test_another_reading_of_the_same_files_is_prepared_anew(tmp_path):
    root = class_tree(tmp_path / "d", {f"{part}/{name}": 4 for part in ("one", "two") for name in ("cat", "dog")})
    split = build_dataset(DataRequest(str(root), splits="one=train,two=test"))
    folders = build_dataset(DataRequest(str(root), classes_are_folders=True))
    assert (split.classes, folders.classes) == (("cat", "dog"), ("one", "two"))


def test_the_tree_shows_splits_classes_and_what_is_left_out(tmp_path):
    folders = {f"{split}/{name}": 2 for split in ("train", "val") for name in ("ant", "bee")}
    layout = scan(class_tree(tmp_path / "d", folders | {"pred": 1}))
    assert layout.tree == (
        "d/",
        "├── pred/  1 image → unlabeled, left out",
        "├── train/  4 images → train",
        "│   ├── ant/  2 images",
        "│   └── bee/  2 images",
        "└── val/  4 images → test",
        "    ├── ant/  2 images",
        "    └── bee/  2 images",
    )


def test_of_many_classes_the_tree_shows_some(tmp_path):
    layout = scan(write_tree(tmp_path, {f"class{number}/1.png": b"x" for number in range(40)}))
    assert len(layout.tree) == 14
    assert layout.tree[-1] == "└── … and 28 more folders with 28 images"
