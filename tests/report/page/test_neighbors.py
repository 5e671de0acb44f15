"""Nearest training images beside the worst mistakes of a run that starts from pretrained weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tenfold
from harness.pages import read_page
from harness.tiny import CLASSES, dataset, recipe
from tenfold.data.types import Dataset, Split
from tenfold.report.page import neighbors
from tenfold.report.page.neighbors import Neighbors, nearest_in_training
from tenfold.report.page.run_page import page
from tenfold.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Test images that are copies of training images 7, 0 and 30, with wrong labels."""
    whole = dataset()
    copies = whole.train.images[[7, 0, 30]]
    labels = (whole.train.labels[[7, 0, 30]] + 1) % 3
    return replace(whole, test=Split(copies, labels), fingerprint="copies")


@pytest.fixture(scope="module")
def first(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = tenfold.train(recipe("mlp", "model.hidden=[8]"), data=data, runs=tmp_path_factory.mktemp("a"), report=False)
    return RunFolder.open(run.path)


@pytest.fixture(scope="module")
def run(data: Dataset, first: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that starts from the weights of the first one."""
    overrides = ["train.duration=8 epochs", "train.batch_size=8", "train.threads=1", "train.device=cpu"]
    second = tenfold.train(
        "mlp", data=data, start_from=first.path, overrides=overrides, runs=tmp_path_factory.mktemp("b"), report=False
    )
    return RunFolder.open(second.path)


def test_the_nearest_training_image_is_the_one_that_was_copied(run: RunFolder, data: Dataset) -> None:
    found = nearest_in_training(run, data, np.array([0, 2]))
    assert isinstance(found, Neighbors)
    assert [image[0].name for image in found.images] == ["7", "30"]
    assert [image[0].class_name for image in found.images] == [CLASSES[data.train.labels[i]] for i in (7, 30)]
    assert [len(image) for image in found.images] == [3, 3]
    tiles = {each.tile: each.name for image in found.images for each in image}
    assert found.sheet is not None
    assert (found.sheet.count, sorted(tiles)) == (len(tiles), list(range(len(tiles))))


def test_the_page_shows_them_below_the_errors(run: RunFolder, data: Dataset) -> None:
    html = read_page(page(run, data))
    errors, unsure = html.all("ul", class_="gallery")
    assert len(errors.all("ul", class_="neighbors")) == len(errors.all("li", class_="card")) > 0
    assert len(errors.all("ul", class_="neighbors")[0].all("span", role="img")) == 3
    assert unsure.all("ul", class_="neighbors") == []
    assert "the training images that look most alike to the network" in html.text


def test_a_run_from_random_weights_has_none_and_says_nothing(first: RunFolder, data: Dataset) -> None:
    assert nearest_in_training(first, data, np.array([0])) is None
    assert "earest training images" not in page(first, data)


def test_features_are_looked_up_as_the_device_of_the_run_computed_them(
    run: RunFolder, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(neighbors, "choose_device", lambda name: asked.append(name) or torch.device("cpu"))
    nearest_in_training(run, data, np.array([0]))
    assert asked == ["cpu"]
    monkeypatch.undo()
    recipe_text = run.recipe.read_text()
    try:
        run.recipe.write_text(recipe_text.replace('device = "cpu"', 'device = "cuda:99"'))  # made on another machine
        assert isinstance(nearest_in_training(run, data, np.array([0])), Neighbors)
    finally:
        run.recipe.write_text(recipe_text)


def test_features_that_would_take_long_are_not_computed(
    run: RunFolder, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(neighbors, "_MAX_COMPUTED", 47)
    html = read_page(page(run, data))
    assert (
        "Nearest training images are not shown: the features of 48 training images are not in the cache." in html.text
    )
