"""Tests of lists with doubtful labels: written, edited in a spreadsheet, read and applied."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.images import class_tree
from harness.tiny import dataset
from tenfold.core.errors import DataError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.labels import ListRow, Suspect, apply_lists, image_names, read_list, write_suspects
from tenfold.data.types import Dataset, Split

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
fractions = st.floats(0, 1)
rows = st.lists(
    st.builds(Suspect, names, st.sampled_from(["train", "val"]), names, names, fractions, fractions, fractions)
)


@given(rows)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[Suspect]) -> None:
    path = tmp_path_factory.mktemp("lists") / "suspects.csv"
    write_suspects(path, written)
    read = read_list(path, "path", "suggested")
    assert [row[1:] for row in read] == [(row.path, row.split, row.suggested) for row in written]


def test_a_name_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    name = b"cat/\xff\xfe.png".decode("utf-8", "surrogateescape")
    write_suspects(tmp_path / "list.csv", [Suspect(name, "train", "cat", "dog", 0.1, 0.1, 0.8)])
    assert read_list(tmp_path / "list.csv", "path")[0].path == name


@pytest.mark.parametrize(
    "text",
    [
        "path,suggested\na.png,dog\nb.png,cat\n",
        "suggested,note,path\ndog,,a.png\ncat,sure,b.png",
        "path;suggested\r\na.png;dog\r\nb.png;cat\r\n",
        "path\tsuggested\na.png\tdog\nb.png\tcat\n",
        '\ufeff"path", suggested \n"a.png",dog\n\n,\nb.png,"cat"\n',
        "picture,suggested\na.png,dog\nb.png,cat\n",
    ],
    ids=["plain", "another order", "semicolons", "tabs", "byte order mark and empty lines", "older name"],
)
def test_an_edited_list_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode())
    found = read_list(path, "path", "suggested")
    assert [(row.path, row.suggested) for row in found] == [("a.png", "dog"), ("b.png", "cat")]


def test_rows_have_the_line_numbers_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('path\n\n"a\nb"\nc\n')
    assert read_list(path, "path") == [ListRow(4, "a\nb", "", ""), ListRow(5, "c", "", "")]


def test_suggestions_are_ignored_where_no_label_changes(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,suggested,split\na,dog,train\n")
    assert read_list(path, "path") == [ListRow(2, "a", "train", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"there is no list .*list.csv; expected a CSV such as `tenfold suspects` writes"),
        (b"", r"list.csv has the columns \(none\); expected path and suggested"),
        (
            b"files,label\na,b\n",
            "has the columns files, label; expected path and suggested, and perhaps others",
        ),
        (
            b"path,suggested\na,dog\nb\n",
            "line 3 of .*list.csv has 1 cell; expected 2 as in line 1",
        ),
        (b'path,suggested\n"a,dog\n', "line 2 of .*list.csv is not valid CSV: unexpected end of data; fix it"),
    ],
    ids=["missing", "empty", "columns", "cells", "quotes"],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_list(path, "path", "suggested")
    assert "\n" not in str(caught.value)


def test_images_are_named_by_their_paths_or_indices() -> None:
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1])
    assert image_names(Split(images, labels, ("a.png", "b.png")), "val") == ("a.png", "b.png")
    assert image_names(Split(images, labels), "train") == ("0", "1")
    assert image_names(Split(images, labels), "val") == ("val/0", "val/1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    tree = {"train/cat": 6, "train/dog": 4, "val/cat": 2, "val/dog": 2, "test/cat": 2, "test/dog": 1}
    return class_tree(tmp_path / "pets", tree)


@pytest.fixture
def list_of(tmp_path: Path):
    def write(*lines: str, name: str = "list.csv") -> str:
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return str(tmp_path / name)

    return write


def dataset_of(source: Path, **keys: object) -> Dataset:
    return build_dataset(DataRequest(str(source), **keys))


def test_listed_images_are_left_out(pets, list_of):
    plain = dataset_of(pets)
    exclude = list_of("path", "train/cat/1.png", "train/dog/0.png", "val/dog/1.png")
    found = dataset_of(pets, exclude=exclude)
    assert found.train.paths == tuple(p for p in plain.train.paths if p not in ("train/cat/1.png", "train/dog/0.png"))
    assert found.val.paths == ("val/cat/0.png", "val/cat/1.png", "val/dog/0.png")
    kept = [index for index, path in enumerate(plain.train.paths) if path in found.train.paths]
    assert (found.train.images == plain.train.images[kept]).all()
    assert (found.train.labels == plain.train.labels[kept]).all()
    assert found.test.paths == plain.test.paths
    assert found.notes[-1] == f"3 training images left out by {exclude}"


def test_listed_labels_are_changed(pets, list_of):
    plain = dataset_of(pets)
    relabel = list_of("suggested,path", "dog,train/cat/1.png", "cat,val/dog/0.png", "cat,train/cat/2.png")
    found = dataset_of(pets, relabel=relabel)
    assert np.flatnonzero(found.train.labels != plain.train.labels).tolist() == [
        plain.train.paths.index("train/cat/1.png")
    ]
    assert np.flatnonzero(found.val.labels != plain.val.labels).tolist() == [plain.val.paths.index("val/dog/0.png")]
    assert found.train.images is not None
    assert (found.train.images == plain.train.images).all()
    assert found.notes[-1] == f"2 training labels changed by {relabel}"  # the third was right already


def test_images_can_be_left_out_and_relabeled_together(pets, list_of):
    exclude = list_of("path", "train/cat/0.png", name="out.csv")
    relabel = list_of("path,suggested", "train/cat/1.png,dog", name="new.csv")
    found = dataset_of(pets, exclude=exclude, relabel=relabel)
    assert found.train.paths[0] == "train/cat/1.png"
    assert found.train.labels[0] == 1
    assert len(found.notes) == 2


def test_files_do_not_change(pets, list_of):
    before = {path: path.read_bytes() for path in pets.rglob("*") if path.is_file()}
    dataset_of(pets, exclude=list_of("path", "train/cat/1.png"))
    assert {path: path.read_bytes() for path in pets.rglob("*") if path.is_file()} == before
    assert len(dataset_of(pets).train) == 10  # nor does the store


def test_the_validation_split_is_drawn_from_the_remaining_images(tmp_path, list_of):
    flat = class_tree(tmp_path / "flat", {"train/cat": 10, "train/dog": 10, "test/cat": 2, "test/dog": 2})
    gone = [f"train/cat/{number}.png" for number in range(4)]
    found = dataset_of(flat, exclude=list_of("path", *gone), val_fraction=0.5)
    assert not set(gone) & {*found.train.paths, *found.val.paths}
    assert np.bincount(found.train.labels).tolist() == [3, 5]
    assert np.bincount(found.val.labels).tolist() == [3, 5]


def test_the_fingerprint_depends_on_the_changes_alone(pets, list_of):
    plain = dataset_of(pets).fingerprint
    one = dataset_of(pets, exclude=list_of("path", "train/cat/1.png")).fingerprint
    other = dataset_of(pets, exclude=list_of("path", "train/cat/2.png")).fingerprint
    as_label = dataset_of(pets, relabel=list_of("path,suggested", "train/cat/1.png,dog")).fingerprint
    assert len({plain, one, other, as_label}) == 4
    noted = list_of("note,path", ",", "doubtful,train/cat/1.png", "again,train/cat/1.png", name="other name.csv")
    assert dataset_of(pets, exclude=noted).fingerprint == one
    assert dataset_of(pets, exclude=list_of("path")).fingerprint == plain
    assert dataset_of(pets, relabel=list_of("path,suggested", "train/cat/1.png,cat")).fingerprint == plain


def test_images_without_files_are_named_by_their_indices(list_of):
    plain = dataset(val=6)
    found = apply_lists(plain, Path(list_of("path", "0", "47", "val/2")), None)
    assert (found.train.images == plain.train.images[1:47]).all()
    assert len(found.val) == 5


def test_an_empty_validation_split_becomes_none(list_of):
    found = apply_lists(dataset(val=2), Path(list_of("path", "val/0", "val/1")), None)
    assert found.val is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["train/cat/1.png", "train/cta/2.png"],
            r"lists 1 image, 'train/cta/2.png' in line 3: no such training image in pets; "
            r"did you mean 'train/cat/2.png'\?",
        ),
        (["cat/1.png", "cat/77.png"], r"lists 2 images, the first 'cat/1.png' in line 2: no such training images"),
        (["cat/1.png"], r"did you mean '(train|val)/cat/1.png'\?"),
        (["nothing"], r"in pets; expected names such as train/cat/0.png"),
        (
            ["test/cat/0.png"],
            r"lists 1 test image, 'test/cat/0.png' in line 2: the test set cannot be edited; delete that",
        ),
        (
            [f"train/cat/{number}.png" for number in range(6)],
            "list.csv leaves no training image of 'cat'; expected at least one",
        ),
    ],
    ids=["mistyped", "several", "near", "nothing near", "test", "a class"],
)
def test_a_list_that_does_not_fit_is_refused_in_one_line(pets, list_of, lines, message):
    with pytest.raises(DataError, match=message):
        dataset_of(pets, exclude=list_of("path", *lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["train/cat/1.png,dgo"],
            r"line 2 of .*list.csv suggests the unknown class 'dgo'; "
            r"did you mean 'dog'\? \(classes: cat, dog\)",
        ),
        (
            ["train/cat/1.png,dog", "train/cat/2.png, "],
            r"line 3 of .*list.csv leaves `suggested` empty; write a class there",
        ),
        (
            ["train/cat/1.png,dog", "train/cat/1.png,cat"],
            r"lists 'train/cat/1.png' twice, in line 2 as 'dog' and in line 3 as 'cat'; delete one of them",
        ),
    ],
    ids=["unknown", "empty", "twice"],
)
def test_an_invalid_suggestion_is_refused_in_one_line(pets, list_of, lines, message):
    with pytest.raises(DataError, match=message):
        dataset_of(pets, relabel=list_of("path,suggested", *lines))


def test_an_image_in_both_lists_is_refused(pets, list_of):
    exclude = list_of("path", "train/cat/3.png", "train/cat/1.png", name="out.csv")
    relabel = list_of("path,suggested", "train/cat/1.png,dog", name="new.csv")
    with pytest.raises(
        DataError, match=r"out.csv lists 1 image, 'train/cat/1.png' in line 3, and .*new.csv lists it too"
    ):
        dataset_of(pets, exclude=exclude, relabel=relabel)


def test_an_index_out_of_range_is_refused_with_the_range(list_of):
    with pytest.raises(DataError, match=r"lists 1 image, '48' in line 2: .*in tiny, whose images are called 0 to 47"):
        apply_lists(dataset(), Path(list_of("path", "48")), None)


def test_an_index_of_a_test_image_is_refused(list_of):
    with pytest.raises(DataError, match="lists 1 test image, '3' in line 2: the test set cannot be edited"):
        apply_lists(dataset(), Path(list_of("path,split", "3,test")), None)


def test_without_lists_the_dataset_is_the_same():
    plain = replace(dataset(), notes=("a note",))
    assert apply_lists(plain, None, None) is plain
