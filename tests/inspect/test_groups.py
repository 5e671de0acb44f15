"""Tests of groups that file names suggest: series are found, and usual names raise no alarm."""

import re

import numpy as np
import pytest

from harness.images import class_tree
from tenfold.data.request import DataRequest
from tenfold.data.types import Dataset, Split
from tenfold.inspect.dataset_check import inspect_dataset, inspect_source
from tenfold.inspect.groups import frame_groups, group_lines, group_warnings


def dataset_of(names: list[str], drawn: tuple[str, ...] = ("test",), groups: tuple[str, ...] | None = None) -> Dataset:
    """Returns a dataset whose classes are the folders of the names; every fourth image is for testing."""
    classes = sorted({name.partition("/")[0] for name in names})
    labels = np.array([classes.index(name.partition("/")[0]) for name in names], np.int64)
    whole = Split(np.zeros((len(names), 8, 8, 3), np.uint8), labels, tuple(names), groups)
    tested = np.arange(len(names)) % 4 == 3
    parts = [whole.subset(np.flatnonzero(chosen)) for chosen in (~tested, tested)]
    return Dataset("made", tuple(classes), *parts, drawn=drawn)


PATIENTS = [f"{'sick' if p % 2 else 'well'}/patient{p:02}_frame{f:03}.jpg" for p in range(10) for f in range(10)]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (PATIENTS, r"(patient\d+)"),
        ([f"{c}/IMG_{i:04}_{k}.jpg" for c in "ab" for i in range(4) for k in range(4)], r"(IMG_\d+)"),
        ([f"{c}/video{i}.f{k}.png" for c in "ab" for i in range(4) for k in range(9)], r"(video\d+)"),
        ([f"{c}/{c}case_{i}_slice_{k}.png" for c in "ab" for i in range(4) for k in range(4)], None),
        ([f"{c}/patient{i}/{k}.png" for c in "ab" for i in range(4) for k in range(4)], r"(patient\d+)"),
    ],
)
def test_series_are_found_with_a_pattern_that_groups_them(names, pattern):
    found = frame_groups(dataset_of(names))
    assert found is not None
    assert pattern in (None, found.pattern)
    by_pattern = {re.search(found.pattern, name)[1] for name in names}  # type: ignore[index]
    assert len(by_pattern) == found.groups


@pytest.mark.parametrize(
    "names",
    [
        [f"{c}/{c}.{i}.jpg" for c in ("cat", "dog") for i in range(50)],
        [f"{c}/IMG_{i:04}.jpg" for c in "ab" for i in range(50)],
        [f"{c}/{i}.png" for c in "ab" for i in range(50)],
        [f"{c}/{breed}_{i}.jpg" for c in "ab" for breed in ("pug", "corgi") for i in range(20)],  # kinds, no series
        [f"{c}/n0144076{c}_{i}.jpg" for c in "12" for i in range(20)],  # one stem per class
        [f"{c}/{i * 7919}_{i * 104729:x}.jpg" for c in "ab" for i in range(50)],
        [f"{c}/2021-03-05_12-{i // 60}-{i % 60}.jpg" for c in "ab" for i in range(0, 3000, 97)],
        [f"class{c}/{i}.png" for c in "12" for i in range(20)],
    ],
)
def test_usual_names_raise_no_alarm(names):
    assert frame_groups(dataset_of(names)) is None


def test_a_random_draw_of_series_is_warned_of_with_the_pattern_to_use():
    (line,) = group_warnings(dataset_of(PATIENTS))
    assert line.startswith("file names look like 10 series of about 10 images each, such as 'patient00'")
    assert r"--group '(patient\d+)' keeps them together" in line


def test_the_check_warns_of_series():
    found = {finding.rule: finding.sentence for finding in inspect_dataset(dataset_of(PATIENTS)).findings}
    assert r"--group '(patient\d+)' keeps them together" in found["groups"]


def test_the_check_says_what_was_said_of_the_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    found = inspect_source(DataRequest(str(class_tree(tmp_path / "pets", {"Cat": 3, "cat": 3})))).findings
    assert [finding.sentence for finding in found if finding.rule == "layout"] == [
        "'Cat' and 'cat' are different classes: if they mean the same, give them one name"
    ]


def test_folds_of_series_are_warned_of_too():
    (line,) = group_warnings(dataset_of(PATIENTS, drawn=()), in_folds=True)
    assert "the draw of folds tore them apart" in line


def test_nothing_is_warned_of_where_the_splits_are_given_or_grouped():
    assert list(group_warnings(dataset_of(PATIENTS, drawn=()))) == []
    assert list(group_warnings(dataset_of(PATIENTS, groups=tuple(str(i) for i in range(100))))) == []


def test_groups_that_are_also_in_train_are_counted():
    dataset = dataset_of(PATIENTS, drawn=(), groups=tuple(name[5:14] for name in PATIENTS))
    (line,) = group_warnings(dataset)
    assert line.startswith("25 of 25 test images are of a group that is also in train: accuracy on them measures mem")
    assert list(group_lines(dataset)) == ["groups: 10 in train · 10 in test"]
