"""Images in Parquet files of Hugging Face and in NumPy archives."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.images import noise, png
from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.sources import parquet_files

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def build(path, **settings):
    return build_dataset(DataRequest(str(path), **settings))


def write_parquet(path, labels, *, names=None, image="image", label="label", seed=0, **columns):
    """Writes one image a row as Hugging Face does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [{"bytes": png(seed + row, 32, 32), "path": f"{row}.png"} for row in range(len(labels))]
    table = pa.table({image: files, label: labels, **columns})
    features = {image: {"_type": "Image"}}
    if names:
        features[label] = {"names": list(names), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_cifar10_in_the_form_of_hugging_face(tmp_path):
    root = tmp_path / "cifar10/plain_text"
    for part in range(2):
        write_parquet(
            root / f"train-0000{part}-of-00002.parquet", list(range(10)), names=CIFAR10, image="img", seed=10 * part
        )
    write_parquet(root / "test-00000-of-00001.parquet", list(range(10)), names=CIFAR10, image="img", seed=50)
    (tmp_path / "cifar10/README.md").write_text("a card")
    dataset = build(tmp_path / "cifar10")
    assert (dataset.classes, len(dataset.train), len(dataset.test), dataset.drawn) == (CIFAR10, 20, 10, ())
    assert dataset.train.paths[11] == "plain_text/train-00001-of-00002.parquet/0000001"
    assert np.array_equal(dataset.train.images[11], noise(32, 32, 11))
    assert dataset.layout == (
        "layout: plain_text/train-00000-of-00002.parquet → train, plain_text/train-00001-of-00002.parquet → train, "
        "plain_text/test-00000-of-00001.parquet → test, label in column label"
    )


def test_one_parquet_file_is_data_whose_test_images_are_drawn(tmp_path):
    path = write_parquet(tmp_path / "pets.parquet", ["cat", "dog"] * 5)
    dataset = build(path, image_size=16)
    assert (dataset.name, dataset.classes, len(dataset.train), dataset.drawn) == ("pets", ("cat", "dog"), 8, ("test",))
    assert dataset.layout == "layout: pets.parquet, label in column label"


def test_columns_of_a_parquet_file_decide_splits_and_groups(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet", ["cat", "dog"] * 4, split=["train"] * 4 + ["test"] * 4, group=list("ppqqrrss")
    )
    dataset = build(path)
    assert (len(dataset.train), dataset.train.groups, dataset.test.groups) == (4, tuple("ppqq"), tuple("rrss"))


def test_unlabeled_rows_are_left_out_and_counted(tmp_path):
    write_parquet(tmp_path / "d/train-0.parquet", [0, 1] * 4, names=("cat", "dog"))
    write_parquet(tmp_path / "d/test-0.parquet", [-1] * 3, names=("cat", "dog"), seed=30)
    dataset = build(tmp_path / "d")
    assert (len(dataset.train) + len(dataset.test), dataset.drawn) == (8, ("test",))
    assert dataset.layout.endswith("left out: test-0.parquet (3 unlabeled images)")


def test_one_of_several_label_columns_is_named(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [0, 1] * 4, label="fine", coarse=["x", "x", "y", "y"] * 2)
    with pytest.raises(
        DataError, match=r"no column that is known as the label \(image, fine, coarse\); name one: --labels label="
    ):
        build(path)
    assert build(path, labels="label=coarse").classes == ("x", "y")
    with pytest.raises(DataError, match="has no column 'corse'; did you mean 'coarse'"):
        build(path, labels="label=corse")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"splits": "a=train"}, "has its own labels and splits"),
        ({"labels": "t.csv"}, "has its own labels and splits"),
        ({"labels": "name:(?P<label>.)"}, "name its columns: --labels label=COLUMN"),
    ],
)
def test_settings_of_folders_do_not_apply(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        build(write_parquet(tmp_path / "a.parquet", ["cat", "dog"]), **settings)


def test_a_damaged_parquet_file_is_one_clear_line(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["cat", "dog"] * 3)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet: .*; it is damaged or cut short"):
        build(path)


def test_a_parquet_file_whose_images_are_damaged_is_one_clear_line(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["cat", "dog"] * 3)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)  # of the images: the labels can still be read
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 30] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet: .*; it is damaged or cut short"):
        build(path)


@pytest.mark.parametrize("label", [-2, 2])
def test_a_label_without_a_name_in_the_metadata_is_refused(tmp_path, label):
    path = write_parquet(tmp_path / "a.parquet", [0, 1, label], names=["cat", "dog"])
    with pytest.raises(DataError, match=rf"a\.parquet/0000002 has the label '{label}'; expected a number from 0 to 1"):
        build(path)


def test_a_parquet_file_without_images_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has the columns x, label, and not exactly one of them holds images"):
        build(tmp_path / "a.parquet")


def test_without_pyarrow_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", ["cat", "dog"])
    monkeypatch.setattr(parquet_files, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"a\.parquet needs pyarrow, .* run: pip install -e '\.\[parquet\]'"):
        build(path)


def images(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize(
    "shape", [(12, 10, 3), (12, 10), (12, 10, 1), (3, 12, 10)], ids=["color", "gray", "one channel", "channels first"]
)
def test_a_numpy_archive_as_medmnist_has_it(tmp_path, shape):
    arrays = {}
    for seed, (split, count) in enumerate({"train": 8, "val": 4, "test": 6}.items()):
        arrays |= {
            f"{split}_images": images(count, *shape, seed=seed),
            f"{split}_labels": np.arange(count)[:, None] % 2,
        }
    np.savez(tmp_path / "pathmnist.npz", **arrays)
    dataset = build(tmp_path / "pathmnist.npz")
    assert {name: len(split) for name, split in dataset.splits().items()} == {"train": 8, "test": 6, "val": 4}
    assert (dataset.classes, dataset.image_size) == (("0", "1"), (12, 10))
    assert dataset.layout == "layout: train_images → train, test_images → test, val_images → val"
    first = arrays["train_images"][0]
    rgb = {(12, 10, 3): first, (3, 12, 10): first.transpose(1, 2, 0) if first.shape[0] == 3 else first}.get(shape)
    expected = rgb if rgb is not None else np.repeat(first.reshape(12, 10, 1), 3, axis=2)
    assert np.array_equal(dataset.train.images[0], expected)


@pytest.mark.parametrize("keys", [("x_train", "y_train"), ("images", "labels"), ("x", "y")])
def test_other_names_of_arrays_are_known(tmp_path, keys):
    np.savez_compressed(
        tmp_path / "a.npz", **dict(zip(keys, (images(10, 8, 8), np.array(["cat", "dog"] * 5)), strict=True))
    )
    dataset = build(tmp_path / "a.npz")
    assert (dataset.classes, len(dataset.train), dataset.drawn) == (("cat", "dog"), 8, ("test",))


def test_names_replace_the_numbers_of_a_numpy_archive(tmp_path):
    np.savez(tmp_path / "a.npz", images=images(10, 8, 8), labels=np.arange(10) % 2)
    (tmp_path / "n.txt").write_text("cat\ndog\n")
    assert build(tmp_path / "a.npz", labels=f"names={tmp_path / 'n.txt'}").classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": images(2, 8, 8)}, r"has the arrays a; expected uint8 images with labels: train_images"),
        ({"images": images(2, 8, 8) / 255, "labels": np.arange(2)},
         r"are an array of float64 \[1, 8, 8\]; expected uint8"),
        ({"images": np.array(3), "labels": np.array(2)}, r"expected uint8 \[N, H, W, 3\]"),
        ({"images": images(2, 8, 8), "labels": np.zeros((2, 14), int)},
         r"labels .* are int64 \[2, 14\]; expected one integer or name"),
        ({"images": images(2, 8, 8), "labels": np.array([{}, {}])},
         "holds arrays of Python objects, which may run code"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_labeled_images_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        build(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"text", b"\x93NUMPY\x01\0"])
def test_a_file_that_is_no_numpy_archive_is_one_clear_line(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is not a NumPy archive, or is cut short; expected uint8 images"):
        build(tmp_path / "a.npz")


def test_a_single_array_is_no_numpy_archive(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, images(2, 8, 8))
    with pytest.raises(DataError, match=r"a\.npz is not a NumPy archive"):
        build(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_numpy_archive_is_one_clear_line(tmp_path, save):
    save(tmp_path / "a.npz", images=np.zeros((20, 32, 32), np.uint8), labels=np.arange(20) % 2)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[60:70] = b"\xff" * 10
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz cannot be read as a NumPy archive: .*; it is damaged, so fetch it"):
        build(tmp_path / "a.npz")
