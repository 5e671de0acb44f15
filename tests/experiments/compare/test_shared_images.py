"""Pairing runs by the test images that are really the same."""

import numpy as np
import pytest

import tenfold
from harness.written_runs import written_run
from tenfold.data.types import Split

FILES = ("cat/1.jpg", "dog/1.jpg", "cat/2.jpg", "dog/2.jpg")
CIFAR = "10" * 5000


def file_run(root, name, correct="1100", images=FILES, source="/data/pets", **settings):
    overrides = [f"data.source={source}", *settings.pop("overrides", ())]
    return written_run(root, name, correct, overrides, images=images, **{"dataset": "pets", **settings})


def test_the_digest_of_a_split_depends_on_pixels_labels_and_order_only():
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    labels = np.array([0, 1, 0, 1])
    split = Split(images, labels)
    assert len(split.digest()) == 64
    assert Split(images.copy(), labels, ("a", "b", "c", "d")).digest() == split.digest()
    order = np.array([1, 0, 2, 3])
    others = [Split(images, 1 - labels), Split(images + 1, labels), split.subset(order), Split(images[:3], labels[:3])]
    assert len({split.digest(), *(other.digest() for other in others)}) == 5


def test_pixels_are_digested_in_pieces(monkeypatch):
    images = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    split = Split(images, np.zeros(5, np.int64))
    whole = split.digest()
    monkeypatch.setattr("tenfold.data.types._DIGEST_BYTES", 24)
    assert split.digest() == whole


def test_runs_with_other_training_data_are_paired_by_the_digest_of_the_test_split(tmp_path):
    runs = [
        written_run(tmp_path, "a", "1100", digest="d"),
        written_run(tmp_path, "b", "1010", ["data.val_fraction=0.1"], fingerprint="other", digest="d"),
    ]
    result = tenfold.compare(runs)
    assert [pair.total for pair in result.pairs] == [4]
    assert result.unpaired is None
    assert result.notes == ("the training data differ: data.val_fraction",)


def test_equal_names_and_labels_are_no_proof_that_arrays_are_the_same(tmp_path):
    runs = [written_run(tmp_path, name, "1100", fingerprint=name, digest=name) for name in "ab"]
    assert tenfold.compare(runs).pairs == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "/other/pets"},
        {"source": "/data/cats", "dataset": "cats"},
        {"dataset": "arrays"},
        {"images": ("0", "1", "2", "3")},
        {"images": ("cat/7.jpg", "dog/7.jpg", "cat/8.jpg", "dog/8.jpg")},
    ],
)
def test_files_of_another_source_are_not_paired(changes, tmp_path):
    runs = [
        file_run(tmp_path, "a", fingerprint="a", digest="a"),
        file_run(tmp_path, "b", fingerprint="b", digest="b", **changes),
    ]
    result = tenfold.compare(runs)
    assert result.pairs == ()
    assert "not paired because no test image is known to be the same: a on 4 of pets" in str(result.unpaired)


def test_files_of_equal_relative_sources_are_paired_within_one_folder_of_runs(tmp_path):
    runs = [file_run(tmp_path / folder, name, source="pets", fingerprint=name) for folder, name in ("xa", "xb", "yc")]
    assert [(pair.first, pair.second) for pair in tenfold.compare(runs).pairs] == [("a", "b")]


def test_files_that_were_changed_in_between_are_not_paired(tmp_path):
    runs = [file_run(tmp_path, name, fingerprint=name, digest=name) for name in "ab"]
    assert tenfold.compare(runs).pairs == ()


def test_the_same_files_at_another_size_are_paired(tmp_path):
    runs = [
        file_run(tmp_path, name, fingerprint=name, digest=name, overrides=[f"data.image_size={size}"])
        for name, size in (("a", 32), ("b", 64))
    ]
    result = tenfold.compare(runs)
    assert [pair.total for pair in result.pairs] == [4]
    assert result.notes == ("the training data differ: data.image_size",)


def test_overlapping_test_splits_are_paired_on_the_images_that_both_have(tmp_path):
    first = file_run(tmp_path, "a", "1101", fingerprint="a", digest="a")
    images = ("cat/2.jpg", "dog/9.jpg", "cat/1.jpg", "dog/1.jpg", "cat/8.jpg")
    second = file_run(tmp_path, "b", "11010", images, fingerprint="b", digest="b", overrides=["data.split_seed=1"])
    result = tenfold.compare([first, second])
    (pair,) = result.pairs
    # cat/1: a right, b wrong; dog/1: both right; cat/2: b right only
    assert (pair.total, pair.only_first, pair.only_second, pair.difference) == (3, 1, 1, 0.0)
    assert result.disagreements is not None
    assert (result.disagreements.only_first, result.disagreements.only_second) == ((0,), (2,))
    assert [(row.name, row.num_images, row.difference) for row in result.classes] == [("cat", 2, 0.0), ("dog", 1, 0.0)]
    assert result.notes == (
        "the test splits differ: a pair is compared on the images that both have, 3 of 4 to 5",
        "the training data differ: data.split_seed",
    )
    assert result.to_json()["notes"] == list(result.notes)


def test_of_several_runs_only_those_with_the_same_test_images_are_compared_by_class(tmp_path):
    runs = [file_run(tmp_path, name, fingerprint="a", digest="a") for name in ("a", "again")]
    images = ("cat/2.jpg", "dog/9.jpg", "cat/1.jpg", "dog/1.jpg")
    other = file_run(tmp_path, "other", images=images, fingerprint="b", digest="b")
    result = tenfold.compare([*runs, other])
    assert {row.run for row in result.classes} == {"again"}
    assert result.notes[0].endswith("on the images that both have, 3 of 4 (a with 1 more and other)")


def test_images_whose_labels_differ_are_left_out_and_counted(tmp_path):
    images = ("cat/1.jpg", "dog/1.jpg", "dog/2.jpg", "cat/2.jpg")  # labels go by position: the last two are swapped
    runs = [file_run(tmp_path, "a", fingerprint="a"), file_run(tmp_path, "b", images=images, fingerprint="b")]
    result = tenfold.compare(runs)
    assert [pair.total for pair in result.pairs] == [2]
    assert "2 of 4; up to 2 that both have are left out because their labels differ" in result.notes[0]


def test_older_runs_on_all_of_cifar_are_paired_in_its_order(tmp_path):
    def cifar_run(name, correct=CIFAR, **settings):
        return written_run(tmp_path, name, correct, ["data.source=cifar10"], dataset="cifar10", **settings)

    old = [cifar_run(name, fingerprint=name) for name in "ab"]
    assert [pair.total for pair in tenfold.compare(old).pairs] == [10_000]
    part = cifar_run("c", CIFAR[:-2], fingerprint="c")
    other_pixels = [cifar_run(name, fingerprint=name, digest=name) for name in "de"]
    assert tenfold.compare([old[0], part]).pairs == ()
    assert tenfold.compare(other_pixels).pairs == ()


def test_runs_that_overlap_only_through_a_third_are_one_group_of_pairs(tmp_path):
    runs = [
        file_run(tmp_path, name, "11", images, fingerprint=name, digest=name)
        for name, images in (("a", FILES[:2]), ("b", (FILES[2], FILES[1])), ("c", (FILES[2], "dog/9.jpg")))
    ]
    result = tenfold.compare([runs[0], runs[2], runs[1]])
    assert [(pair.first, pair.second) for pair in result.pairs] == [("a", "b"), ("c", "b")]
    assert result.unpaired is None


def test_copies_of_one_image_list_are_one_setting(tmp_path):
    lists = {}
    for name, text in (("a", "path\n3\n"), ("b", "path\n3\n"), ("c", "path\n3\n5\n")):
        lists[name] = tmp_path / f"{name}.csv"
        lists[name].write_text(text, "utf-8")
    runs = [
        written_run(tmp_path, name, "1100", [f"data.exclude={file}", f"train.seed={ord(name)}"])
        for name, file in lists.items()
    ]
    differences = tenfold.compare(runs).differences["data.exclude"]
    assert [str(value).partition(" (")[0] for value in differences] == ["1 image", "1 image", "2 images"]
    assert differences[0] == differences[1]
    assert [group.runs for group in tenfold.compare(runs).groups] == [("a", "b"), ("c",)]


def test_keys_of_hardware_and_bookkeeping_are_no_settings(tmp_path):
    keys = ("threads=2", "execution=eager", "device=cpu", "log_every=7", "checkpoint_every=9 steps")
    runs = [
        written_run(tmp_path, "a", "1100"),
        written_run(tmp_path, "b", "1010", ["train.seed=1", *(f"train.{key}" for key in keys)]),
        written_run(tmp_path, "c", "1010", ["train.precision=bfloat16"]),
    ]
    result = tenfold.compare(runs)
    assert list(result.differences) == ["train.precision", "train.seed"]
    assert [group.runs for group in result.groups] == [("a", "b"), ("c",)]
