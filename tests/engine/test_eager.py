"""The eager training step against plain PyTorch, and the running metrics that it feeds."""

import pytest
import torch
from classic import Net
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import TrainingError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch, Mixture
from tenfold.engine.eager import EagerStep, LossNotFiniteError
from tenfold.engine.precision import Hardware
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.models.build import build_model
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer

HALF = Preprocessing((32, 32), "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CPU = Hardware(torch.device("cpu"), None, threads=1)
# The loss is not checked at every step on a device that runs ahead of the host; the tensors may be anywhere.
ASYNCHRONOUS = Hardware(torch.device("cuda"), None, threads=1)
SGD = OptimizerSettings("sgd", 0.001, 0.9, False, 0.0, 0.24, 0.6)


class Perceptron(nn.Module):
    """Three linear layers on raw pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3072, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def batches(count: int, size: int = 4) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    return [
        Batch(
            torch.randint(0, 256, (size, 3, 32, 32), generator=generator, dtype=torch.uint8),
            torch.randint(0, 10, (size,), generator=generator),
            torch.arange(size),
        )
        for _ in range(count)
    ]


def model_and_optimizer(name: str = "mlp", lr: float = 0.001) -> tuple[nn.Module, CombinedOptimizer]:
    torch.manual_seed(0)
    model = build_model(name, {}, num_classes=10, image_size=(32, 32)).to(memory_format=torch.channels_last)
    settings = OptimizerSettings("sgd", lr, 0.9, False, 0.0, 0.24, 0.6)
    return model, build_optimizer(model, settings)


def run(step: EagerStep, *batches: Batch) -> RunningMetrics:
    """Takes a step for each batch and returns their metrics."""
    metrics = RunningMetrics()
    for batch in batches:
        metrics.update(*step(batch), batch.labels)
    return metrics


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize(("name", "plain"), [("tutorial", Net), ("mlp", Perceptron)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_twenty_steps_equal_those_of_plain_pytorch(name: str, plain: type[nn.Module], smoothing: float) -> None:
    model, optimizer = model_and_optimizer(name)
    net = plain()
    net.load_state_dict(model.state_dict())
    metrics = run(EagerStep(model, optimizer, HALF, CPU, smoothing), *batches(20))
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    sgd = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    losses, hits = [], 0
    for batch in batches(20):
        inputs = (batch.images.float() / 255 - 0.5) / 0.5
        sgd.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, batch.labels)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        hits += int((outputs.argmax(1) == batch.labels).sum())
    for key, weight in net.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], weight, rtol=0, atol=1e-6)
    loss, accuracy, _ = metrics.compute()
    assert loss == pytest.approx(sum(losses) / 20, rel=1e-5)
    assert accuracy == hits / 80


def test_label_smoothing_spreads_its_fraction_over_all_classes() -> None:
    model, optimizer = model_and_optimizer()
    (batch,) = batches(1)
    log_probabilities = model(HALF.normalize(batch.images)).log_softmax(1)
    true = log_probabilities.gather(1, batch.labels[:, None]).squeeze(1)
    expected = -(0.7 * true + 0.3 * log_probabilities.mean(1)).mean()
    metrics = run(EagerStep(model, optimizer, HALF, CPU, label_smoothing=0.3), batch)
    assert metrics.compute().loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_mixed_image_has_both_labels_as_target(smoothing: float) -> None:
    model, optimizer = model_and_optimizer()
    (batch,) = batches(1)
    labels, weight = torch.tensor([1, 9, 4, 0]), torch.tensor([1.0, 0.0, 0.25, 0.9])
    target = weight[:, None] * F.one_hot(batch.labels, 10) + (1 - weight[:, None]) * F.one_hot(labels, 10)
    target = (1 - smoothing) * target + smoothing / 10
    logits = model(HALF.normalize(batch.images))
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    gradient = torch.autograd.grad(expected, model.get_parameter("fc3.bias"))[0]
    before = copied(model)
    step = EagerStep(model, optimizer, HALF, CPU, smoothing)
    loss, accuracy, _ = run(step, batch._replace(mixture=Mixture(labels, weight))).compute()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == batch.labels).sum() / 4  # by their own labels
    torch.testing.assert_close(model.state_dict()["fc3.bias"], before["fc3.bias"] - 0.001 * gradient)


def test_a_mixing_weight_of_one_is_the_plain_loss() -> None:
    losses = []
    (batch,) = batches(1)
    for mixture in (None, Mixture(torch.zeros(4, dtype=torch.int64), torch.ones(4))):
        model, optimizer = model_and_optimizer()
        step = EagerStep(model, optimizer, HALF, CPU, label_smoothing=0.2)
        losses.append(run(step, batch._replace(mixture=mixture)).compute().loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_on_a_cpu_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    model, optimizer = model_and_optimizer()
    step = EagerStep(model, optimizer, HALF, CPU)
    first, second = batches(2)
    step(first)
    with torch.no_grad():
        model.get_parameter("fc1.bias")[0] = torch.inf
    before = copied(model)
    with pytest.raises(LossNotFiniteError, match="the loss is not finite") as caught:
        step(second)
    assert caught.value.steps_ago == 0
    assert isinstance(caught.value, TrainingError)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_elsewhere_the_first_bad_loss_is_found_when_metrics_are_computed(bad: int) -> None:
    model, optimizer = model_and_optimizer(lr=1e-6)
    step, metrics = EagerStep(model, optimizer, HALF, ASYNCHRONOUS), RunningMetrics()
    for number, batch in enumerate(batches(5), start=1):
        if number == bad:
            with torch.no_grad():
                model.get_parameter("fc3.bias")[0] = torch.nan
        metrics.update(*step(batch), batch.labels)
    with pytest.raises(LossNotFiniteError) as caught:
        metrics.compute()
    assert 5 + 1 - caught.value.steps_ago == bad
    with pytest.raises(LossNotFiniteError):
        metrics.state_tensors()
