"""Tests of splits that keep groups together: from file names, from duplicates, in folds."""

from pathlib import Path

import numpy as np
import pytest

from harness.images import class_tree, png, write_tree
from tenfold.core.errors import DataError
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.draw import duplicate_groups, group_counts, with_duplicate_groups, with_fold
from tenfold.data.duplicates.search import Duplicates
from tenfold.data.types import Dataset, Split, no_progress


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def patients(tmp_path):
    names = [f"{'sick' if p % 2 else 'well'}/patient{p:02}_frame{f}.png" for p in range(10) for f in range(4)]
    return write_tree(tmp_path / "patients", {name: png(seed) for seed, name in enumerate(names)})


def dataset_of(source: Path, **keys: object) -> Dataset:
    return build_dataset(DataRequest(str(source), **keys))


def patients_of(split: Split) -> set[str]:
    return {Path(path).name.partition("_")[0] for path in split.paths or ()}


def arrays(labels: list[int], seeds: list[int], **keys: object) -> Dataset:
    """Returns a dataset of noise in which equal seeds are equal images; every second image is for testing."""
    rng = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in seeds]
    whole = Split(np.stack(rng), np.array(labels, np.int64))
    odd = np.arange(len(labels)) % 2 == 1
    parts = [whole.subset(np.flatnonzero(chosen)) for chosen in (~odd, odd)]
    return Dataset("made", ("a", "b"), *parts, fingerprint="1", **keys)


@pytest.mark.parametrize("group", [r"(patient\d+)", r"/(?P<group>[^/]+)_frame()"])
def test_all_images_of_a_patient_land_in_one_split(patients, group):
    dataset = dataset_of(patients, group=group, val_fraction=0.25)
    found = [patients_of(split) for split in dataset.splits().values()]
    assert [len(one) for one in found] == [6, 2, 2]
    assert len(set().union(*found)) == 10
    assert group_counts(dataset) == ({"train": 6, "test": 2, "val": 2}, {"test": 0, "val": 0})
    assert "in whole groups" in " ".join(dataset.notes)


def test_another_seed_draws_other_patients_and_the_same_seed_the_same(patients):
    drawn = [patients_of(dataset_of(patients, group=r"(p\w+)_", split_seed=seed).test) for seed in (0, 0, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_random_split_is_that_of_earlier_versions_where_no_group_is_asked_for(patients):
    assert dataset_of(patients).train.groups is None
    assert dataset_of(patients).fingerprint == dataset_of(patients, group="none").fingerprint


def test_images_that_the_pattern_does_not_match_are_counted_and_stand_alone(patients):
    dataset = dataset_of(patients, group=r"(patient0[0-7])")
    assert any(note.startswith(r"8 images without a group by '(patient0[0-7])', the first") for note in dataset.notes)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("(sick|well)", r"all images of class 'sick' in 1 group \('sick'\); expected 2 or more for train and test"),
        ("(dog)", r"data\.group '\(dog\)' matches none of 40 images, such as 'sick/patient01_frame0\.png'"),
        (r"patient\d+", r"has no group in parentheses; expected a regular expression .* such as '\(patient"),
        ("(patient", "is no regular expression"),
        ("column:person", "columns were named"),
    ],
)
def test_groups_that_make_a_split_impossible_are_refused(patients, group, message):
    with pytest.raises(DataError, match=message):
        dataset_of(patients, group=group)


def test_a_built_in_dataset_has_no_file_names_to_group_by():
    with pytest.raises(DataError, match="the images of cifar10 have no file names and no label table"):
        DataRequest("cifar10", group="(a)")


def test_groups_that_given_splits_share_are_counted_and_the_splits_stay(tmp_path):
    root = class_tree(tmp_path / "pets", {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 2})
    dataset = dataset_of(root, group=r"(\d+)\.png$")
    found = group_counts(dataset)
    assert found is not None
    assert found.shared == {"test": 4}
    assert dataset.fingerprint == dataset_of(root).fingerprint


def test_duplicates_are_drawn_together():
    dataset = arrays([0] * 10 + [1] * 10, [i // 2 for i in range(20)], drawn=("test",))
    redrawn = with_duplicate_groups(dataset, 0.2, 0, no_progress)
    groups = [set(split.groups or ()) for split in (redrawn.train, redrawn.test)]
    assert not groups[0] & groups[1]
    assert (len(redrawn.train), len(redrawn.test)) == (16, 4)
    assert redrawn.fingerprint != dataset.fingerprint
    again = with_duplicate_groups(dataset, 0.2, 0, lambda *_: pytest.fail("the groups should be remembered"))
    assert again.fingerprint == redrawn.fingerprint


def test_what_was_said_of_drawn_test_images_is_not_said_of_others(tmp_path):
    files = {f"{name}/{i}.png": png(i // 2 + 20 * ord(name)) for name in "ab" for i in range(10)}
    drawn = write_tree(tmp_path / "drawn", files)
    shared = [note for note in dataset_of(drawn).notes if note.startswith("the same image is in train and test")]
    assert len(shared) == 1
    for keys in ({"group": "duplicates"}, {"folds": 2}, {"folds": 2, "fold": 1}):
        assert not [note for note in dataset_of(drawn, **keys).notes if "the same image" in note]
    own = write_tree(tmp_path / "own", {f"{s}/{name}": data for s in ("train", "test") for name, data in files.items()})
    assert any("the same image is in train and test" in note for note in dataset_of(own, folds=2).notes)


def test_duplicates_of_duplicates_are_one_group():
    first, second = np.array([0, 2, 4]), np.array([1, 3, 5])
    chain = Duplicates(np.array([0, 1, 1, 3, 3, 5, 6]), first, second, *[np.zeros(0)] * 3, False)  # type: ignore[arg-type]
    assert duplicate_groups(chain).tolist() == [0, 0, 0, 0, 0, 0, 6]


def test_each_image_is_tested_in_one_fold_and_groups_stay_together(patients):
    folds = [dataset_of(patients, group=r"(patient\d+)", folds=5, fold=fold) for fold in range(1, 6)]
    tested = [path for one in folds for path in one.test.paths or ()]
    assert len(tested) == len(set(tested)) == 40
    assert all(not patients_of(one.train) & patients_of(one.test) for one in folds)
    assert [np.bincount(one.test.labels).tolist() for one in folds] == [[4, 4]] * 5
    assert len({one.fingerprint for one in folds}) == 5
    everything = dataset_of(patients, folds=5)
    assert (len(everything.train), len(everything.test), everything.drawn) == (40, 0, ())


def test_test_images_of_ones_own_are_in_no_fold(tmp_path):
    root = class_tree(tmp_path / "pets", {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 2})
    fold, everything = dataset_of(root, folds=2, fold=1), dataset_of(root, folds=2)
    assert all(path.startswith("train/") for path in (*(fold.train.paths or ()), *(fold.test.paths or ())))
    assert (len(everything.train), len(everything.test)) == (8, 4)


def test_more_folds_than_images_or_groups_of_a_class_are_refused(patients, tmp_path):
    root = class_tree(tmp_path / "pets", {"cat": 4, "dog": 9})
    with pytest.raises(DataError, match=r"pets has 4 images of class 'cat'; expected 5 or more for 5 folds"):
        dataset_of(root, folds=5, fold=1)
    with pytest.raises(DataError, match=r"class 'sick' in 5 groups \('patient01'\); expected 6 or more for 6 folds"):
        dataset_of(patients, group=r"(patient\d+)", folds=6, fold=1)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (0, 1), (3, 4)])
def test_folds_that_do_not_exist_are_refused(folds, fold):
    with pytest.raises(DataError, match=r"expected 2 folds or more, and one of them or 0"):
        DataRequest("shapes", folds=folds, fold=fold)


def test_with_fold_leaves_no_class_out_of_training():
    labels = [0, 0, 1, 1, 0, 0, 1, 1]
    for fold in (1, 2):
        assert set(with_fold(arrays(labels, list(range(8)), drawn=("test",)), 2, fold, 0).train.labels) == {0, 1}
