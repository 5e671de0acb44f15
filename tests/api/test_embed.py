"""`tenfold.embed` and `tenfold embed`: features of datasets and of images without labels."""

from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.images import png, write_tree
from harness.tiny import CLASSES, dataset, photo_folder, recipe
from tenfold.api.training_run import Run
from tenfold.api.unlabeled import is_unlabeled
from tenfold.cli.main import main
from tenfold.core.errors import DataError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose network gives four features."""
    return tenfold.train(recipe("mlp", "model.hidden=[4]"), data=dataset(), runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images in a folder, without a class, and another file."""
    return write_tree(tmp_path / "new", {"b.png": png(1), "a.png": png(2), "notes.txt": b"x"})


def logits_of(run: Run, features: np.ndarray) -> np.ndarray:
    """Returns what the last layer of the run makes of features."""
    head = list(run.load().model.children())[-1]
    return np.asarray(features @ head.weight.detach().numpy().T + head.bias.detach().numpy())


def test_features_of_all_splits_with_their_labels(run: Run) -> None:
    data = dataset(val=6)
    found = tenfold.embed(data, run)
    assert found.features.shape == (48 + 24 + 6, 4)
    assert found.features.dtype == np.float32
    assert found.splits == ("train",) * 48 + ("test",) * 24 + ("val",) * 6
    assert found.names[:2] + found.names[48:49] + found.names[-1:] == ("0", "1", "test/0", "val/5")
    assert found.labels.tolist() == [*data.train.labels, *data.test.labels, *data.val.labels]
    assert found.classes == CLASSES
    expected = run.load().classifier.with_views("plain").logits(data.train.images).numpy()
    np.testing.assert_allclose(logits_of(run, found.features[:48]), expected, atol=1e-4)


def test_images_without_labels_have_the_label_minus_one(run: Run, folder: Path) -> None:
    found = tenfold.embed(folder, run)
    assert (found.names, found.splits, found.labels.tolist(), found.classes) == (
        ("a.png", "b.png"), ("", ""), [-1, -1], ()
    )  # fmt: skip
    np.testing.assert_array_equal(tenfold.embed(folder / "b.png", run).features[0], found.features[1])


def test_a_pattern_names_images_from_the_folder_before_it(run: Run, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "new", {"x/a.png": png(1), "y/z/b.png": png(2)})
    assert tenfold.embed(f"{root}/**/*.png", run).names == ("x/a.png", "y/z/b.png")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.jpg", "b.png"], True),
        (["a.jpg", "b.png", "metadata.csv"], False),
        (["a.jpg", "cat/b.png"], False),
        (["cat/a.jpg", "dog/b.png"], False),
        (["x.parquet"], False),
    ],
)
def test_only_a_flat_folder_is_read_without_labels(tmp_path: Path, files: list[str], expected: bool) -> None:
    assert is_unlabeled(str(write_tree(tmp_path, dict.fromkeys(files, b"")))) is expected


def test_unreadable_images_are_an_error_only_where_no_other_is_left(run: Run, tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a.png": b"no", "b.png": b"no"})
    with (
        pytest.warns(UserWarning, match="left out: "),
        pytest.raises(DataError, match=r"none of the images of .* can be read"),
    ):
        tenfold.embed(root, run)


def test_the_command_writes_a_file_that_numpy_reads(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "f.npz"
    write_tree(folder, {"broken.png": b"no"})
    command = ["embed", str(folder), str(run.path), "--output", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().err
    assert "1 other file skipped, the first: notes.txt" in shown
    assert "left out: " in shown
    assert f"wrote {out}: 4 features of 2 images" in shown
    with np.load(out) as arrays:  # without pickles
        assert {name: (array.shape, array.dtype.kind) for name, array in arrays.items()} == {
            "features": ((2, 4), "f"), "labels": ((2,), "i"), "names": ((2,), "U"), "splits": ((2,), "U"),
            "classes": ((0,), "U"),
        }  # fmt: skip
    assert main(command) == 2
    assert "exists and is not overwritten; choose another file for --output, or add --force" in capsys.readouterr().err
    assert main(["embed", "--data", str(folder), str(run.path), "-o", str(out), "--force"]) == 0


def test_class_folders_have_the_labels_and_splits_of_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    photos = photo_folder(tmp_path / "photos", each=5)
    found = tenfold.embed(photos, run)
    assert found.classes == ("blue", "green")
    assert sorted(found.splits) == ["test"] * 2 + ["train"] * 8
    assert all(name.startswith(found.classes[label]) for name, label in zip(found.names, found.labels, strict=True))


def test_lite0_gives_its_1280_features_without_a_run(folder: Path) -> None:
    found = tenfold.embed(folder)
    assert found.features.shape == (2, 1280)
    assert (found.features >= 0).all()
    assert repr(found) == "Embedding(2 images, 1,280 features, 0 classes)"


def test_images_in_memory_are_brought_to_the_size_of_the_network(run: Run) -> None:
    large = dataset(train=3, test=3)
    images = large.train.images.repeat(2, 1).repeat(2, 2)
    found = tenfold.embed({"train": (images, large.train.labels), "test": (images, large.test.labels)}, run)
    assert found.features.shape == (6, 4)
    np.testing.assert_array_equal(found.features[:3], found.features[3:])
