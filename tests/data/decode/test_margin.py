"""Tests of the margin: stored images have one around what a network sees, where the fit has a fraction."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tenfold.api.data import dataset_from_arrays
from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.augment import Augmentation
from tenfold.data.build import DataRequest, build_dataset
from tenfold.data.decode.decode import decode_sized
from tenfold.data.decode.fit_rule import network_size, stored_size
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.evaluation import labeled_images, scan_source
from tenfold.data.loader import Loader
from tenfold.data.sampling import Order
from tenfold.data.store.cache_key import size_key
from tenfold.data.store.store import open_or_build, store_key
from tenfold.data.store.writer import fill_from_arrays
from tenfold.data.types import no_progress
from tenfold.deploy.predictor import Predictor
from tenfold.runs.artifact import Classifier

HALF = (0.5, 0.5, 0.5)
SIZES = ((70, 90), (90, 70), (64, 64), (300, 200), (620, 710), (40, 30))
"""Width and height of JPEG files; the decoder scales some of them."""


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Returns an image with structure of all sizes."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for side in (3, 9, 40):
        noise = Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray((total / 3).astype(np.uint8))


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
    for index, size in enumerate(SIZES):
        for split in ("train", "test"):
            path = tmp_path / "photos" / split / ("cat", "dog")[index % 2] / f"{index}.jpg"
            photo(*size, seed=index).save(path, quality=90)
    return tmp_path / "photos"


@given(st.integers(8, 1024), st.integers(1, 100))
def test_a_network_size_comes_back_from_its_stored_size(side, percent):
    fit = f"crop:{percent / 100}"
    assert network_size(stored_size((side, 8), fit), fit) == (side, 8)


def test_only_a_fraction_makes_a_margin():
    assert stored_size((224, 160), "crop:0.875:bilinear") == (256, 183)
    assert all(stored_size((224, 160), fit) == (224, 160) for fit in ("crop", "crop:1", "pad", "stretch:lanczos"))


def test_the_margin_of_stored_images_alone_is_left_out():
    preprocessing = Preprocessing((7, 14), "crop:0.875", HALF, HALF)
    stored = torch.arange(3 * 8 * 16, dtype=torch.uint8).reshape(1, 3, 8, 16)
    assert (preprocessing.center(stored) == stored[:, :, :7, 1:15]).all()
    as_array = stored.permute(0, 2, 3, 1).numpy()
    assert (preprocessing.center(as_array) == as_array[:, :7, 1:15]).all()
    assert np.shares_memory(preprocessing.center(as_array), as_array)
    for other in (preprocessing.center(stored), torch.zeros(2, 3, 5, 5, dtype=torch.uint8)):
        assert preprocessing.center(other) is other
    assert torch.equal(preprocessing.normalize(stored), preprocessing.normalize(stored[:, :, :7, 1:15]))
    channels_last = stored.to(memory_format=torch.channels_last)
    assert preprocessing.normalize(channels_last).is_contiguous(memory_format=torch.channels_last)


def test_a_file_and_its_stored_image_have_the_same_logits(photos):
    """Bit for bit, also where the decoder scales a JPEG."""
    request = DataRequest(str(photos), image_size=56, fit="crop:0.875")
    dataset = build_dataset(request)
    assert dataset.image_size == (56, 56)
    assert dataset.test.images.shape[1:3] == (64, 64)
    preprocessing = Preprocessing(dataset.image_size, dataset.fit, HALF, (0.2, 0.3, 0.4))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 13 * 13, 2))
    classifier = Classifier(model, dataset.classes, preprocessing)
    files = [photos / path for path in dataset.test.paths or ()]
    scaled = [decode_sized(file, preprocessing.stored_size) for file in files]
    assert any((image.height, image.width) != size for size, image in scaled)

    logits = classifier.logits(dataset.test.images)
    assert torch.equal(classifier.logits(np.stack([preprocessing.load(file) for file in files])), logits)
    found = [each.probabilities for each in Predictor(classifier).predict_all(files)]
    assert [[each[name] for name in dataset.classes] for each in found] == logits.softmax(1).tolist()
    other = labeled_images(scan_source(request, SilentProgress().prepare), request, None, lambda _: None, print)
    assert torch.equal(classifier.logits(other.parts[0].images), logits)


def test_a_center_crop_is_that_of_other_libraries():
    """Short side to 256, then the center of 224: as timm and torchvision evaluate."""
    image = photo(640, 512)
    resized = image.resize((320, 256), Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((48, 16, 48 + 224, 16 + 224))).astype(int)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    found = Preprocessing((224, 224), "crop:0.875", HALF, HALF).load(stream.getvalue())
    assert np.abs(found - expected).max() <= 2


def test_a_batch_has_the_size_of_the_network(photos):
    dataset = build_dataset(DataRequest(str(photos), image_size=28, fit="crop:0.875"))
    order = Order(len(dataset.train), 6, seed=0, shuffle=False)
    loader = Loader(dataset.train, order, Augmentation(image_size=dataset.image_size), torch.device("cpu"))
    (batch,) = loader.epoch(0)
    seen = dataset.without_margin(dataset.train).images
    assert seen.shape == (6, 28, 28, 3)
    assert (batch.images.permute(0, 2, 3, 1).numpy() == seen).all()


def test_arrays_are_stored_with_a_margin_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    images, labels = np.zeros((4, 14, 14, 3), np.uint8), np.array([0, 1, 0, 1])
    arrays = dataset_from_arrays((images, labels), (images, labels), ["cat", "dog"])
    for fit, side in (("crop:0.875", 16), ("pad", 14)):
        request = DataRequest("shapes", fit=fit)
        key = store_key(fit)
        stored = open_or_build("arrays", key, lambda to: fill_from_arrays(to, arrays, request, "", no_progress))  # noqa: B023
        assert (stored.image_size, stored.train.images.shape[1:3]) == ((14, 14), (side, side))


def test_a_store_without_a_margin_is_not_taken_for_one_with_it():
    assert size_key((256, 256), "crop") == ((256, 256), "crop")  # as before
    parts = [size_key(size, "crop:0.875") for size in ((224, 224), (256, 256), None)]
    assert [store_key(*part) for part in parts].count(store_key((256, 256), "crop:0.875")) == 0
    assert store_key(*parts[2]) != store_key(None, "crop:0.875")


def test_a_fraction_that_would_fill_the_disk_is_refused():
    with pytest.raises(DataError, match=r"data.fit is crop:0.1, for which images of 2240×2240 are stored; expected at"):
        DataRequest("photos", image_size=224, fit="crop:0.1")
    with pytest.raises(DataError, match="image size is"):
        replace(Preprocessing((1024, 1024), "crop", HALF, HALF), fit="crop:0.01")
