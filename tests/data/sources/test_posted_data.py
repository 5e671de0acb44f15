"""Folders, tables and arrays as people post them: what is passed over is said, and names are read as they are meant."""

import re

import numpy as np
import pytest

from harness.images import class_tree, png, write_tree
from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources.class_folders import scan
from tenfold.data.sources.rules import parse_splits

ROWS = [(f"{name}{number}", name * 2) for name in "ab" for number in range(5)]
IMAGES = {f"images/{stem}.png": png(seed) for seed, (stem, _) in enumerate(ROWS)}


def message(root, labels=""):
    with pytest.raises(DataError) as error:
        build_dataset(DataRequest(str(root), labels=labels))
    return str(error.value)


def with_table(root, content):
    return write_tree(root, IMAGES | {"t.csv": content})


def labeled(root):
    return build_dataset(DataRequest(str(root), labels="t.csv"))


def table(file):
    return ("path,label\n" + "".join(f"{file(stem)},{label}\n" for stem, label in ROWS)).encode()


def test_names_beside_numbered_test_images_are_proposed_with_a_pattern_that_works(tmp_path):
    files = {f"train/{name}.{number}.jpg": png(number) for name in ("cat", "dog") for number in range(5)}
    root = write_tree(tmp_path, files | {f"test1/{number}.jpg": png(number) for number in range(1, 31)})
    flag = re.search(r"--labels '(.*)'$", message(root))[1]
    dataset = build_dataset(DataRequest(str(root), labels=flag))
    assert dataset.classes == ("cat", "dog")
    assert "test1 (30 unlabeled images)" in dataset.layout


def test_what_a_source_without_images_holds_is_said(tmp_path):
    root = write_tree(tmp_path / "d", {"train.zip": b"", "train.csv": b""})
    assert "holds no images, only train.csv (not an image: .csv) and 1 other file; expected" in message(root)
    (root / "train.csv").unlink()
    assert "holds no images, only train.zip (an archive inside; unpack it); expected" in message(root)
    (root / "train.zip").unlink()
    (root / "a").symlink_to(tmp_path, target_is_directory=True)
    assert "holds no images, only a (a link; links are not followed); expected" in message(root)


@pytest.mark.parametrize("folder", ["{root}/images/", "/home/me/pets/images/", "C:\\pets\\images\\", "pets/"])
def test_paths_from_anywhere_down_to_the_source_name_its_images(tmp_path, folder):
    root = tmp_path / "pets"
    with_table(root, table(lambda stem: f"{folder.format(root=root)}{stem}.png"))
    assert labeled(root).classes == ("aa", "bb")


def test_paths_into_another_folder_name_no_image(tmp_path):
    with_table(tmp_path / "train", table(lambda stem: f"/data/test/images/{stem}.png"))
    error = message(tmp_path / "train", "t.csv")
    assert "line 2: there is no image '/data/test/images/a0.png', but images/a0.png; line 3" in error


def test_tables_in_utf_16_are_read_and_those_in_other_encodings_refused(tmp_path):
    text = "id,label\n" + "".join(f"{stem},{label}ä\n" for stem, label in ROWS)
    assert labeled(with_table(tmp_path / "a", text.encode("utf-16"))).classes == ("aaä", "bbä")
    root = with_table(tmp_path / "b", text.encode("latin-1"))
    assert message(root, "t.csv") == "line 2 of t.csv is not text in UTF-8; save the file as UTF-8"


def test_names_that_may_mean_one_class_are_pointed_out(tmp_path):
    root = class_tree(tmp_path / "a", {"Red fox": 1, "red_fox": 1, "0": 1, "0.0": 1, "1": 1, "dog": 1})
    assert scan(root).notes == (
        "'0' and '0.0' are different classes, and 1 more such names: if they mean the same, give them one name",
    )
    assert scan(class_tree(tmp_path / "b", {"cat": 1, "dog": 1, "1": 1, "10": 1})).notes == ()


def test_single_images_of_classes_leave_none_to_draw_for_testing(tmp_path):
    assert "two images of a class" in message(class_tree(tmp_path, dict.fromkeys("abc", 1)))


def test_arrays_are_named_in_any_case_and_those_left_out_are_said(tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), np.uint8), np.arange(10) % 2
    arrays = {"X_train": images, "y_train": labels, "x_valid": images[:4] // 2, "y_valid": labels[:4], "extra": labels}
    np.savez(tmp_path / "x.npz", **arrays)
    dataset = build_dataset(DataRequest(str(tmp_path / "x.npz")))
    assert (len(dataset.train), len(dataset.test)) == (10, 4)
    assert dataset.layout == "layout: X_train → train, x_valid → val; left out: extra"


def test_folders_of_splits_may_be_written_with_a_dot():
    assert parse_splits("./a/=train,b=test") == {"a": "train", "b": "test"}


def test_a_table_as_the_data_and_no_data_are_told_what_works(tmp_path):
    with_table(tmp_path, table(str))
    assert message(tmp_path / "t.csv").endswith(f"the folder of its images, and --labels {tmp_path}/t.csv")
    with pytest.raises(DataError, match="source is empty"):
        DataRequest("")


def test_several_labels_of_an_image_are_no_class(tmp_path):
    root = write_tree(tmp_path, IMAGES | {"t.jsonl": b'{"file": "a0", "label": ["aa", "bb"]}'})
    assert 'line 1 of t.jsonl has the label \'["aa", "bb"]\', which is no single class' in message(root, "t.jsonl")


def test_splits_without_train_are_refused(tmp_path):
    assert "(train has: no images)" in message(class_tree(tmp_path, {"test/a": 1, "test/b": 1, "val/a": 1}))


def test_a_table_without_a_first_line_of_names_is_refused(tmp_path):
    error = message(with_table(tmp_path, b"a0,aa\na1,aa\nb0,bb\n"), "t.csv")
    assert "has the columns a0, aa, and none is known as the file or the label" in error
    assert "category in the first line, or name it: --labels 't.csv:file=COLUMN,label=COLUMN'" in error
