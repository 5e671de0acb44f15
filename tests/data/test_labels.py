"""Lists of doubted labels: what is written is read back, and what a spreadsheet makes of it is read too."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.labels import Listed, Suspect, picture_names, read_list, write_suspects
from tenfold.data.types import Split

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
