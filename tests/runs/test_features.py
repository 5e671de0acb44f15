"""Features of images are computed once, and progress counts those that are new."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.tiny import CLASSES, make_split
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.models.build import build_model
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureExtractor:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    torch.manual_seed(0)
    model = build_model("mlp", {"hidden": [4]}, num_classes=3, image_size=(16, 16))
    return FeatureExtractor(Classifier(model, CLASSES, Preprocessing((16, 16), "crop", HALF, HALF)))


def test_progress_counts_the_images_that_are_new(extractor: FeatureExtractor) -> None:
    images = make_split(6, 0).images
    images[5] = images[4]
    extractor(images[:3])
    calls: list[tuple[str, int, int]] = []
    found = extractor.all_of(images, lambda *call: calls.append(call))
    assert calls == [("Computing features", 2, 2)]
    assert (extractor.num_missing(images), extractor.num_computed) == (0, 5)
    np.testing.assert_array_equal(found, extractor(images).numpy())
    assert extractor.all_of(images[:0], lambda *call: calls.append(call)).shape == (0, 4)
    assert len(calls) == 1


def test_mirrored_images_have_the_features_of_their_mirror_images(extractor: FeatureExtractor) -> None:
    images = make_split(3, 0).images
    np.testing.assert_array_equal(extractor.all_of(images, mirrored=True), extractor(images[:, :, ::-1]).numpy())
