"""Lists of doubted labels: what is written is read back, and what a spreadsheet makes of it is read too."""

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
from tenfold.data.labels import Listed, Suspect, edited, picture_names, read_list, write_suspects
from tenfold.data.types import Dataset, Split

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
shares = st.floats(0, 1)
rows = st.lists(st.builds(Suspect, names, st.sampled_from(["train", "val"]), names, names, shares, shares, shares))


@given(rows)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[Suspect]) -> None:
    path = tmp_path_factory.mktemp("lists") / "suspects.csv"
    write_suspects(path, written)
    read = read_list(path, "picture", "suggested")
    assert [row[1:] for row in read] == [(row.picture, row.split, row.suggested) for row in written]


def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    name = b"cat/\xff\xfe.png".decode("utf-8", "surrogateescape")
    write_suspects(tmp_path / "list.csv", [Suspect(name, "train", "cat", "dog", 0.1, 0.1, 0.8)])
    assert read_list(tmp_path / "list.csv", "picture")[0].picture == name


@pytest.mark.parametrize(
    "text",
    [
        "picture,suggested\na.png,dog\nb.png,cat\n",
        "suggested,note,picture\ndog,,a.png\ncat,sure,b.png",
        "picture;suggested\r\na.png;dog\r\nb.png;cat\r\n",
        "picture\tsuggested\na.png\tdog\nb.png\tcat\n",
        '\ufeff"picture", suggested \n"a.png",dog\n\n,\nb.png,"cat"\n',
    ],
    ids=["plain", "another order", "semicolons", "tabs", "byte order mark and empty lines"],
)
def test_an_edited_list_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode())
    found = read_list(path, "picture", "suggested")
    assert [(row.picture, row.suggested) for row in found] == [("a.png", "dog"), ("b.png", "cat")]


def test_a_line_is_told_by_its_number_whatever_stands_before_it(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('picture\n\n"a\nb"\nc\n')
    assert read_list(path, "picture") == [Listed(4, "a\nb", "", ""), Listed(5, "c", "", "")]


def test_suggestions_are_not_looked_at_where_nothing_is_to_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("picture,suggested,split\na,dog,train\n")
    assert read_list(path, "picture") == [Listed(2, "a", "train", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"there is no list .*list.csv; expected a CSV such as `tenfold suspects` writes"),
        (b"", r"list.csv has the columns \(none\); expected picture and suggested"),
        (
            b"pictures,label\na,b\n",
            "has the columns pictures, label; expected picture and suggested, and perhaps more",
        ),
        (
            b"picture,suggested\na,dog\nb\n",
            "line 3 of .*list.csv has another number of cells than line 1: 1, expected 2",
        ),
        (b'picture,suggested\n"a,dog\n', "line 2 of .*list.csv is no CSV: unexpected end of data; correct it"),
    ],
    ids=["missing", "empty", "columns", "cells", "quotes"],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_list(path, "picture", "suggested")
    assert "\n" not in str(caught.value)


def test_pictures_are_called_by_their_paths_or_places() -> None:
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1])
    assert picture_names(Split(images, labels, ("a.png", "b.png")), "val") == ("a.png", "b.png")
    assert picture_names(Split(images, labels), "train") == ("0", "1")
    assert picture_names(Split(images, labels), "val") == ("val/0", "val/1")


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


def ask(source: Path, **keys: object) -> Dataset:
    return build_dataset(DataRequest(str(source), **keys))


def test_listed_pictures_are_left_out(pets, list_of):
    plain = ask(pets)
    exclude = list_of("picture", "train/cat/1.png", "train/dog/0.png", "val/dog/1.png")
    found = ask(pets, exclude=exclude)
    assert found.train.paths == tuple(p for p in plain.train.paths if p not in ("train/cat/1.png", "train/dog/0.png"))
    assert found.val.paths == ("val/cat/0.png", "val/cat/1.png", "val/dog/0.png")
    kept = [place for place, path in enumerate(plain.train.paths) if path in found.train.paths]
    assert (found.train.images == plain.train.images[kept]).all()
    assert (found.train.labels == plain.train.labels[kept]).all()
    assert found.test.paths == plain.test.paths
    assert found.notes[-1] == f"3 training pictures left out by {exclude}"


def test_listed_labels_are_changed(pets, list_of):
    plain = ask(pets)
    relabel = list_of("suggested,picture", "dog,train/cat/1.png", "cat,val/dog/0.png", "cat,train/cat/2.png")
    found = ask(pets, relabel=relabel)
    assert np.flatnonzero(found.train.labels != plain.train.labels).tolist() == [
        plain.train.paths.index("train/cat/1.png")
    ]
    assert np.flatnonzero(found.val.labels != plain.val.labels).tolist() == [plain.val.paths.index("val/dog/0.png")]
    assert found.train.images is not None
    assert (found.train.images == plain.train.images).all()
    assert found.notes[-1] == f"2 training labels changed by {relabel}"  # the third was right already


def test_the_same_data_can_be_left_out_and_changed(pets, list_of):
    exclude = list_of("picture", "train/cat/0.png", name="out.csv")
    relabel = list_of("picture,suggested", "train/cat/1.png,dog", name="new.csv")
    found = ask(pets, exclude=exclude, relabel=relabel)
    assert found.train.paths[0] == "train/cat/1.png"
    assert found.train.labels[0] == 1
    assert len(found.notes) == 2


def test_files_stay_as_they_are(pets, list_of):
    before = {path: path.read_bytes() for path in pets.rglob("*") if path.is_file()}
    ask(pets, exclude=list_of("picture", "train/cat/1.png"))
    assert {path: path.read_bytes() for path in pets.rglob("*") if path.is_file()} == before
    assert len(ask(pets).train) == 10  # nor does the store remember


def test_validation_is_set_apart_from_what_is_left(tmp_path, list_of):
    flat = class_tree(tmp_path / "flat", {"train/cat": 10, "train/dog": 10, "test/cat": 2, "test/dog": 2})
    gone = [f"train/cat/{number}.png" for number in range(4)]
    found = ask(flat, exclude=list_of("picture", *gone), val_fraction=0.5)
    assert not set(gone) & {*found.train.paths, *found.val.paths}
    assert np.bincount(found.train.labels).tolist() == [3, 5]
    assert np.bincount(found.val.labels).tolist() == [3, 5]


def test_the_fingerprint_tells_what_is_changed_and_nothing_else(pets, list_of):
    plain = ask(pets).fingerprint
    one = ask(pets, exclude=list_of("picture", "train/cat/1.png")).fingerprint
    other = ask(pets, exclude=list_of("picture", "train/cat/2.png")).fingerprint
    as_label = ask(pets, relabel=list_of("picture,suggested", "train/cat/1.png,dog")).fingerprint
    assert len({plain, one, other, as_label}) == 4
    noted = list_of("note,picture", ",", "doubtful,train/cat/1.png", "again,train/cat/1.png", name="other name.csv")
    assert ask(pets, exclude=noted).fingerprint == one
    assert ask(pets, exclude=list_of("picture")).fingerprint == plain
    assert ask(pets, relabel=list_of("picture,suggested", "train/cat/1.png,cat")).fingerprint == plain


def test_pictures_without_files_are_called_by_their_places(list_of):
    plain = dataset(val=6)
    found = edited(plain, Path(list_of("picture", "0", "47", "val/2")), None)
    assert (found.train.images == plain.train.images[1:47]).all()
    assert len(found.val) == 5


def test_a_validation_split_of_which_nothing_is_left_is_none(list_of):
    found = edited(dataset(val=2), Path(list_of("picture", "val/0", "val/1")), None)
    assert found.val is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["train/cat/1.png", "train/cta/2.png"],
            r"lists 1 picture, 'train/cta/2.png' in line 3: no such training picture in pets; "
            r"did you mean 'train/cat/2.png'\?",
        ),
        (["cat/1.png", "cat/77.png"], r"lists 2 pictures, the first 'cat/1.png' in line 2: no such training pictures"),
        (["cat/1.png"], r"did you mean '(train|val)/cat/1.png'\?"),
        (["nothing"], r"in pets; expected names such as train/cat/0.png"),
        (
            ["test/cat/0.png"],
            r"lists 1 test picture, 'test/cat/0.png' in line 2: the test set is not edited; delete that",
        ),
        ([f"train/cat/{number}.png" for number in range(6)], "no training picture of 'cat' is left by .*list.csv"),
    ],
    ids=["mistyped", "several", "near", "nothing near", "test", "a class"],
)
def test_a_list_that_does_not_fit_is_refused_in_one_line(pets, list_of, lines, message):
    with pytest.raises(DataError, match=message):
        ask(pets, exclude=list_of("picture", *lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["train/cat/1.png,dgo"],
            r"line 2 of .*list.csv suggests the class 'dgo', which there is not; "
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
def test_a_suggestion_that_cannot_be_followed_is_refused_in_one_line(pets, list_of, lines, message):
    with pytest.raises(DataError, match=message):
        ask(pets, relabel=list_of("picture,suggested", *lines))


def test_a_picture_in_both_lists_is_refused(pets, list_of):
    exclude = list_of("picture", "train/cat/3.png", "train/cat/1.png", name="out.csv")
    relabel = list_of("picture,suggested", "train/cat/1.png,dog", name="new.csv")
    with pytest.raises(
        DataError, match=r"out.csv lists 1 picture, 'train/cat/1.png' in line 3, that .*new.csv lists too"
    ):
        ask(pets, exclude=exclude, relabel=relabel)


def test_a_place_that_is_none_is_told_the_range(list_of):
    with pytest.raises(
        DataError, match=r"lists 1 picture, '48' in line 2: .*in tiny, whose pictures are called 0 to 47"
    ):
        edited(dataset(), Path(list_of("picture", "48")), None)


def test_a_place_among_the_test_pictures_is_known_by_its_split(list_of):
    with pytest.raises(DataError, match="lists 1 test picture, '3' in line 2: the test set is not edited"):
        edited(dataset(), Path(list_of("picture,split", "3,test")), None)


def test_without_lists_the_dataset_is_the_same():
    plain = replace(dataset(), notes=("a note",))
    assert edited(plain, None, None) is plain
