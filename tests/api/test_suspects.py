"""`tenfold.suspects` on tiny datasets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tenfold
from harness.runs import Notes
from harness.tiny import CLASSES, dataset, recipe
from tenfold.api.suspects import Suspects, _row_limit
from tenfold.core.errors import DataError, RecipeError, UsageError
from tenfold.data.labels import apply_lists, read_list
from tenfold.data.types import Dataset, Split

EASY = recipe("mlp", "train.duration=8 epochs", "train.batch_size=4")


@pytest.fixture(scope="module")
def mislabeled() -> tuple[Dataset, list[int]]:
    """Easy images, three of them with a wrong label, and the indices of those."""
    data, wrong = dataset(train=96, val=12), [10, 40, 77]
    labels = data.train.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % len(CLASSES)
    return replace(data, train=replace(data.train, labels=labels)), wrong


@pytest.fixture(scope="module")
def found(mislabeled: tuple[Dataset, list[int]]) -> Suspects:
    return tenfold.suspects(mislabeled[0], recipe=EASY, folds=3, top=6)


def test_wrong_labels_come_first_with_their_true_class(found, mislabeled):
    data, wrong = mislabeled
    first = {row.path: row for row in found.rows[:3]}
    assert set(first) == {str(index) for index in wrong}
    right = dataset(train=96).train.labels
    for index in wrong:
        row = first[str(index)]
        assert (row.label, row.suggested) == (CLASSES[data.train.labels[index]], CLASSES[right[index]])
        assert row.split == "train"
        assert row.probability_of_label < 0.5 < row.probability_of_suggested


def test_rows_are_sorted_and_each_has_a_more_likely_class(found):
    scores = [row.score for row in found.rows]
    assert scores == sorted(scores)
    assert 3 <= len(found.rows) <= 6
    assert all(row.probability_of_label < row.probability_of_suggested for row in found.rows)
    assert len(found.images) == len(found.rows)


def test_validation_images_are_checked_too(found):
    assert found.num_images == 96 + 12


def test_the_saved_list_corrects_the_labels(found, mislabeled, tmp_path):
    path = found.save(tmp_path / "list.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]))  # as a person does who deletes what is right
    assert len(read_list(path, "path", "suggested")) == 3
    mended = apply_lists(mislabeled[0], None, path)
    assert (mended.train.labels == dataset(train=96).train.labels).all()


def test_the_first_images_are_drawn(found, tmp_path):
    with Image.open(found.draw(tmp_path / "sheet.png", count=2)) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > sheet.height


def test_no_suspicious_label_leaves_nothing_to_draw(found, tmp_path):
    with pytest.raises(DataError, match="nothing to draw"):
        replace(found, rows=()).draw(tmp_path / "sheet.png")


def test_the_same_seed_gives_the_same_rows(mislabeled):
    data, short = mislabeled[0], recipe("mlp", "model.hidden=[4]", "train.duration=1 epochs")
    first, again, other = (tenfold.suspects(data, recipe=short, folds=2, seed=seed) for seed in (1, 1, 2))
    assert first.rows == again.rows
    assert first.rows != other.rows


def test_repeats_are_averaged(monkeypatch):
    right = [[0.05, 0.9, 0.05], [0.9, 0.05, 0.05]]
    first, second = [[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]], [[0.5, 0.25, 0.25], [0.6, 0.3, 0.1]]
    said = iter([np.log([*first, *right]), np.log([*second, *right])])
    monkeypatch.setattr("tenfold.api.suspects.out_of_fold_logits", lambda *_: next(said).astype(np.float32))
    data = dataset(train=4)
    flipped = replace(data, train=replace(data.train, labels=np.array([1, 0, 1, 0])))
    rows = tenfold.suspects(flipped, recipe=recipe("mlp"), folds=2, repeats=2, top=2).rows
    assert [(row.path, row.probability_of_label) for row in rows] == [
        ("0", pytest.approx(0.15)),
        ("1", pytest.approx(0.4)),
    ]


@pytest.mark.parametrize(
    ("top", "listed"),
    [(None, 2), (3, 3), (0.1, 4), (1.0, 15)],
    ids=["as estimated, bounded", "number", "fraction", "all"],
)
def test_top_limits_the_number_of_rows(monkeypatch, top, listed):
    labels = np.repeat([0, 1], [30, 10])
    said = np.where(np.arange(40) < 30, np.arange(40) % 2, 1)  # every second of the first thirty labels is doubted
    sure = 10 * np.eye(3, dtype=np.float32)[said]
    monkeypatch.setattr("tenfold.api.suspects.out_of_fold_logits", lambda *_: sure)
    data = dataset(train=40)
    doubted = replace(data, train=replace(data.train, labels=labels))
    assert len(tenfold.suspects(doubted, recipe=recipe("mlp"), top=top).rows) == listed


def test_images_with_paths_are_listed_by_path(monkeypatch):
    monkeypatch.setattr(
        "tenfold.api.suspects.out_of_fold_logits",
        lambda _, whole, *__: np.eye(3, dtype=np.float32)[(whole.train.labels + 1) % 3],
    )
    data = dataset(train=6, val=3)
    named = Split(data.val.images, data.val.labels, ("val/a.png", "val/b.png", "val/c.png"))
    rows = tenfold.suspects(replace(data, val=named), recipe=recipe("mlp"), folds=2, top=9).rows
    assert [(row.path, row.split) for row in rows] == [
        *((str(index), "train") for index in range(6)),
        *((f"val/{letter}.png", "val") for letter in "abc"),
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"folds": 1}, UsageError, "1 folds, 1 repeats; expected 2 folds or more"),
        ({"repeats": 0}, UsageError, "expected 2 folds or more, and 1 repeat or more"),
        ({"overrides": ["data.relabel=list.csv"]}, UsageError, "labels are checked as the source has them"),
        ({"overrides": ["train.sede=1"]}, RecipeError, "unknown key 'train.sede'; did you mean 'seed'"),
        ({"folds": 49}, DataError, "48 images cannot be split into 49 folds"),
    ],
)
def test_a_bad_argument_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tenfold.suspects(dataset(), recipe="mlp", **arguments)


@pytest.mark.parametrize("top", [0, -1, 0.0, 1.5])
def test_a_bad_top_is_refused(top):
    with pytest.raises(UsageError, match=f"top is {top}; expected a number of images, or a fraction"):
        tenfold.suspects(dataset(), recipe="mlp", top=top)


def test_a_source_is_given_by_its_path(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere"):
        tenfold.suspects(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a recipe whose network starts from the weights of a run."""
    run = tenfold.train(EASY, data=dataset(train=96), runs=tmp_path_factory.mktemp("runs"), report=False)
    return [f"model.weights={run.path / 'last.safetensors'}"]


def test_features_of_a_pretrained_network_find_wrong_labels_without_training(mislabeled, pretrained, monkeypatch):
    monkeypatch.setattr("tenfold.api.suspects.out_of_fold_logits", None)
    data, wrong = mislabeled
    found = tenfold.suspects(data, recipe="mlp", overrides=pretrained, folds=3, top=3)
    assert {row.path for row in found.rows} == {str(index) for index in wrong}
    assert found.num_images == 96 + 12
    again, other = (
        tenfold.suspects(data, recipe="mlp", method="features", overrides=pretrained, folds=3, top=3, seed=seed)
        for seed in (0, 1)
    )
    assert again.rows == found.rows
    assert other.rows != found.rows


def test_an_image_alone_in_its_class_is_left_out_which_is_said(mislabeled, pretrained):
    data, notes = mislabeled[0], Notes()
    labels = data.train.labels
    kept = np.flatnonzero((labels != 2) | (np.arange(len(labels)) == np.flatnonzero(labels == 2)[0]))
    lonely = replace(data, train=data.train.subset(kept), val=None)
    found = tenfold.suspects(lonely, recipe="mlp", overrides=pretrained, folds=3, top=1.0, progress=notes)
    assert found.num_images == len(kept) - 1
    assert CLASSES[2] not in {row.label for row in found.rows}
    assert f"1 image is not checked, alone in its class: '{CLASSES[2]}'" in notes.messages


def test_one_image_of_each_class_has_nothing_to_compare_with():
    single = dataset(train=9)
    single = replace(single, train=single.train.subset(np.unique(single.train.labels, return_index=True)[1]))
    with pytest.raises(DataError, match="has at most one image of each class"):
        tenfold.suspects(single, recipe="mlp")


def test_few_images_list_one_suspicious_label_at_least():
    assert [_row_limit(None, *numbers) for numbers in ((3, 10), (0, 10), (9, 100))] == [1, 0, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "feature"}, "method is 'feature'; expected auto, features, networks"),
        ({"method": "features"}, "features needs a network with pretrained weights, but mlp starts from random ones"),
        ({"recipe": "photo", "longer": 2.0}, "longer is 2, but with features nothing is trained longer; leave it out"),
        ({"recipe": "photo", "method": "networks"}, "networks trains all layers, but train.layers is head; expected"),
    ],
)
def test_a_method_that_does_not_fit_the_recipe_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        tenfold.suspects(dataset(), **{"recipe": "mlp"} | arguments)


def test_photos_are_checked_by_features_and_small_images_by_networks(monkeypatch):
    asked = []
    monkeypatch.setattr("tenfold.api.suspects.given_dataset", lambda _, section: asked.append(section) or 1 / 0)
    large = np.zeros((4, 100, 120, 3), np.uint8)
    with pytest.raises(ZeroDivisionError):
        tenfold.suspects((large, [0, 1, 0, 1]))
    with pytest.raises(ZeroDivisionError):
        tenfold.suspects((large[:, :32, :32], [0, 1, 0, 1]))
    assert [section.normalize for section in asked] == [{"mean": (0.5,) * 3, "std": (0.5,) * 3}, "data"]
