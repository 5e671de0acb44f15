"""Logits do not depend on threads, and a user's own network runs as it is."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tenfold
from harness.tiny import CLASSES, dataset, make_split, recipe
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.models.build import build_model
from tenfold.runs.artifact import Classifier
from tenfold.runs.inference import cpu_batch_size

HALF = (0.5, 0.5, 0.5)


def classifier(model: nn.Module | None = None, views: str = "mirror", side: int = 32) -> Classifier:
    torch.manual_seed(0)
    model = model or build_model("quick", {}, num_classes=3, image_size=(side, side))
    return Classifier(model, CLASSES, Preprocessing((side, side), "crop", HALF, HALF), views=views)


def test_logits_have_the_same_bits_with_one_thread_and_with_two() -> None:
    ours, images = classifier(), make_split(150, 1, (32, 32)).images
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(ours.logits(images))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_one_image_has_the_logits_that_it_has_among_others() -> None:
    ours, images = classifier(), make_split(9, 1, (32, 32)).images
    alone = torch.cat([ours.logits(images[index : index + 1]) for index in range(9)])
    torch.testing.assert_close(alone, ours.logits(images), rtol=1e-5, atol=1e-6)


def test_memory_mapped_images_are_read_batch_by_batch(tmp_path: Path) -> None:
    images = make_split(9, 1, (160, 160)).images
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    ours = classifier(build_model("mlp", {}, num_classes=3, image_size=(160, 160)), side=160)
    assert cpu_batch_size((160, 160)) == 5
    assert torch.equal(ours.logits(mapped), ours.logits(images))


class _Counting(nn.Module):
    """A user's own network that notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3))
        self.layers(torch.zeros(2, 3, 32, 32))
        self.batch_sizes: list[int] = []
        self.output = torch.zeros(0)

    def forward(self, images: Tensor) -> Tensor:
        self.batch_sizes.append(len(images))
        self.output = self.layers(images)  # another thread would replace it before it is returned
        return self.output


def test_an_own_network_with_state_runs_as_it_is_one_batch_after_another() -> None:
    own = _Counting()
    logits = classifier(own, "plain").logits(make_split(300, 1, (32, 32)).images)
    assert own.batch_sizes == [128, 128, 44]
    assert torch.equal(own.output, logits[256:])
    assert own.training


@pytest.mark.parametrize("layers", ["all", "head"])
def test_the_predictions_of_a_run_are_those_of_its_model_file(
    layers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    data, small = dataset(), ("model.widths=[4,4]", "train.execution=eager")
    how = recipe("quick", f"train.layers={layers}", "evaluate.views=mirror", *small)
    run = tenfold.train(how, data=data, runs=tmp_path, report=False)
    rows = list(csv.DictReader((run.path / "predictions.csv").read_text().splitlines()))
    predictor = tenfold.load(run.path)
    found = list(predictor.predict_all(data.test.images))
    assert [row["predicted"] for row in rows] == [each.label for each in found]
    expected = [float(row["probability"]) for row in rows]
    assert [each.raw_probability for each in found] == pytest.approx(expected, abs=1e-6)
    assert predictor.predict(data.test.images[0]).raw_probability == pytest.approx(expected[0], abs=1e-6)
    assert predictor.evaluate(data.test).accuracy == run.summary["test_accuracy"]
