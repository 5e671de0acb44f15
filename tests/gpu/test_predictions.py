"""A model answers the same on a GPU and on the CPU."""

import pytest
import torch
from torch import Tensor

import tenfold
from harness.gpu import DEVICE, DRY_RUN, GRAPH, gpu_tests, trained
from tenfold.data.types import Dataset

pytestmark = gpu_tests

NETWORKS = {
    "quick": ("train.batch_size=50", "train.duration=3 epochs", "optim.lr=0.5", "model.widths=[32, 64]"),
    "tutorial": ("train.duration=1000 steps", "train.batch_size=4", "optim.lr=0.005", "data.normalize=data"),
    "resnet18": ("train.batch_size=50", "train.duration=3 epochs", "model.width=16", "optim.lr=0.05"),
}
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=NETWORKS)
def run(
    request: pytest.FixtureRequest, shapes_to_learn: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tenfold.Run:
    """A run in bfloat16 on the device; evaluation is in float32 all the same."""
    precision = "float32" if DRY_RUN or request.param == "tutorial" else "bfloat16"
    more = (f"train.precision={precision}", f"train.execution={GRAPH}", "train.log_every=0", "evaluate.unsure_below=1")
    folder = tmp_path_factory.mktemp(request.param)
    return trained(folder, request.param, *NETWORKS[request.param], *more, data=shapes_to_learn)


def probabilities(run: tenfold.Run, device: str, data: Dataset, views: str) -> Tensor:
    classifier = tenfold.load(run.path, device=device, views=views).classifier
    assert classifier.device.type == device
    return classifier.probabilities(classifier.logits(data.test.images)).double()


@pytest.mark.parametrize("views", ["plain", "mirror", "shifts"])
def test_probabilities_and_labels_agree(run: tenfold.Run, shapes_to_learn: Dataset, views: str) -> None:
    ours, theirs = (probabilities(run, name, shapes_to_learn, views) for name in (DEVICE.type, "cpu"))
    assert theirs.std(0).max() > 10 * TOLERANCE, "the images are told apart"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)
    first, second = theirs.topk(2).values.T
    clear = first - second > 2 * TOLERANCE
    assert clear.float().mean() > 0.9
    assert torch.equal(ours.argmax(1)[clear], theirs.argmax(1)[clear])


def test_evaluation_agrees(run: tenfold.Run, shapes_to_learn: Dataset) -> None:
    ours, theirs = (tenfold.eval(run, data=shapes_to_learn, device=name) for name in (DEVICE.type, "cpu"))
    assert abs(ours.accuracy - theirs.accuracy) <= 1 / len(shapes_to_learn.test), "one image may be a tie"
    assert abs(ours.loss - theirs.loss) < TOLERANCE
    assert ours.accuracy == pytest.approx(run.accuracy, abs=1 / len(shapes_to_learn.test))


def test_predicted_images_agree(run: tenfold.Run, shapes_to_learn: Dataset) -> None:
    images = list(shapes_to_learn.test.images[:40])
    ours, theirs = (list(tenfold.load(run.path, device=name).predict_all(images)) for name in (DEVICE.type, "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=TOLERANCE)
        ranked = sorted(other.probabilities.values())
        if ranked[-1] - ranked[-2] > 2 * TOLERANCE:
            assert one.label == other.label
