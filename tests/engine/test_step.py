import pytest
import torch
from classic import Net
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import TrainingError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch, Mixture
from tenfold.engine.eager import Eager, LossNotFiniteError
from tenfold.engine.precision import Hardware
from tenfold.engine.step import Step
from tenfold.models.build import build_model
from tenfold.optim.build import CombinedOptimizer, OptimizerSettings, build_optimizer

torch.set_num_threads(1)

HALF = Preprocessing((32, 32), "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CPU = Hardware(torch.device("cpu"), None, threads=1)
# A device that runs ahead is not asked at every step; the tensors may lie anywhere.
AHEAD = Hardware(torch.device("cuda"), None, threads=1)
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


def parts(name: str = "mlp", lr: float = 0.001) -> tuple[nn.Module, CombinedOptimizer]:
    torch.manual_seed(0)
    model = build_model(name, {}, classes=10, image_size=(32, 32)).to(memory_format=torch.channels_last)
    settings = OptimizerSettings("sgd", lr, 0.9, False, 0.0, 0.24, 0.6)
    return model, build_optimizer(model, settings)


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize(("name", "plain"), [("tutorial", Net), ("mlp", Perceptron)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_twenty_steps_are_those_of_plain_pytorch(name: str, plain: type[nn.Module], smoothing: float) -> None:
    model, optimizer = parts(name)
    step = Step(Eager(model, optimizer, HALF, CPU, smoothing))
    net = plain()
    net.load_state_dict(model.state_dict())
    criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)
    sgd = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    losses, hits = [], 0
    for batch in batches(20):
        step(batch)
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
    tally = step.tally()
    assert tally.loss == pytest.approx(sum(losses) / 20, rel=1e-5)
    assert tally.accuracy == hits / 80


def test_label_smoothing_spreads_that_share_over_all_classes() -> None:
    model, optimizer = parts()
    step = Step(Eager(model, optimizer, HALF, CPU, label_smoothing=0.3))
    (batch,) = batches(1)
    logarithms = model(HALF.normalize(batch.images)).log_softmax(1)
    right = logarithms.gather(1, batch.labels[:, None]).squeeze(1)
    expected = -(0.7 * right + 0.3 * logarithms.mean(1)).mean()
    step(batch)
    assert step.tally().loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_mixed_picture_is_to_be_both_of_its_classes_in_their_shares(smoothing: float) -> None:
    model, optimizer = parts()
    step = Step(Eager(model, optimizer, HALF, CPU, smoothing))
    (batch,) = batches(1)
    labels, share = torch.tensor([1, 9, 4, 0]), torch.tensor([1.0, 0.0, 0.25, 0.9])
    target = share[:, None] * F.one_hot(batch.labels, 10) + (1 - share[:, None]) * F.one_hot(labels, 10)
    target = (1 - smoothing) * target + smoothing / 10
    logits = model(HALF.normalize(batch.images))
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    gradient = torch.autograd.grad(expected, model.get_parameter("fc3.bias"))[0]
    before = copied(model)
    step(batch._replace(mixture=Mixture(labels, share)))
    tally = step.tally()
    assert tally.loss == pytest.approx(expected.item(), rel=1e-5)
    assert tally.accuracy == (logits.argmax(1) == batch.labels).sum() / 4  # by their own labels
    torch.testing.assert_close(model.state_dict()["fc3.bias"], before["fc3.bias"] - 0.001 * gradient)


def test_a_share_of_one_is_the_plain_loss() -> None:
    losses = []
    (batch,) = batches(1)
    for mixture in (None, Mixture(torch.zeros(4, dtype=torch.int64), torch.ones(4))):
        model, optimizer = parts()
        step = Step(Eager(model, optimizer, HALF, CPU, label_smoothing=0.2))
        step(batch._replace(mixture=mixture))
        losses.append(step.tally().loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_a_tally_forgets_what_it_has_told() -> None:
    model, optimizer = parts()
    step = Step(Eager(model, optimizer, HALF, CPU))
    first, second = batches(2)
    step(first)
    step.tally()
    with torch.no_grad():
        expected = F.cross_entropy(model(HALF.normalize(second.images)), second.labels)
    step(second)
    assert step.tally().loss == pytest.approx(expected.item(), rel=1e-5)


def test_a_single_step_adds_up_as_many_do() -> None:
    tallies = []
    for gathered in (False, True):
        model, optimizer = parts()
        step = Step(Eager(model, optimizer, HALF, CPU))
        step(batches(1, size=6)[0])
        if gathered:
            step.state_tensors()
        tallies.append(step.tally())
    assert tallies[0] == tallies[1]


def test_a_single_loss_that_is_no_number_is_found_and_cannot_be_saved_either() -> None:
    step = Step(lambda batch: (torch.tensor(float("nan")), torch.zeros(4, 10)))
    step(batches(1)[0])
    for ask in (step.tally, step.state_tensors):
        with pytest.raises(LossNotFiniteError) as caught:
            ask()
        assert caught.value.steps_ago == 1


def test_batches_of_different_sizes_count_by_their_pictures() -> None:
    model, optimizer = parts()
    step = Step(Eager(model, optimizer, HALF, CPU))
    for batch in (*batches(1, size=4), *batches(1, size=2)):
        step(batch)
    tensors = step.state_tensors()
    assert int(tensors["seen"].sum()) == 6
    assert step.tally().accuracy == int(tensors["hits"].sum()) / 6


def test_long_stretches_are_compacted_to_the_same_tally(monkeypatch: pytest.MonkeyPatch) -> None:
    def tally() -> object:
        model, optimizer = parts()
        step = Step(Eager(model, optimizer, HALF, CPU))
        for batch in batches(7):
            step(batch)
        return step.tally()

    whole = tally()
    monkeypatch.setattr("tenfold.engine.step._COMPACT_AFTER", 2)
    assert tally() == whole


def test_what_is_pending_survives_a_round_trip_through_a_checkpoint() -> None:
    model, optimizer = parts()
    step, other = Step(Eager(model, optimizer, HALF, CPU)), Step(Eager(model, optimizer, HALF, CPU))
    *early, late = batches(4)
    for batch in early:
        step(batch)
    saved = {name: tensor.clone() for name, tensor in step.state_tensors().items()}
    other.load_state_tensors(saved)
    before = copied(model)
    momenta = {name: value.clone() for name, value in optimizer.state_tensors().items()}
    step(late)
    model.load_state_dict(before)
    optimizer.load_state_tensors(momenta)
    other(late)
    assert other.tally() == step.tally()


def test_nothing_pending_survives_the_round_trip_too() -> None:
    model, optimizer = parts()
    step, other = Step(Eager(model, optimizer, HALF, CPU)), Step(Eager(model, optimizer, HALF, CPU))
    other.load_state_tensors(step.state_tensors())
    (batch,) = batches(1)
    other(batch)
    assert other.tally().loss > 0


def test_on_a_cpu_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    model, optimizer = parts()
    step = Step(Eager(model, optimizer, HALF, CPU))
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
def test_elsewhere_the_first_bad_loss_is_found_when_the_log_asks(bad: int) -> None:
    model, optimizer = parts(lr=1e-6)
    step = Step(Eager(model, optimizer, HALF, AHEAD))
    for number, batch in enumerate(batches(5), start=1):
        if number == bad:
            with torch.no_grad():
                model.get_parameter("fc3.bias")[0] = torch.nan
        step(batch)
    with pytest.raises(LossNotFiniteError) as caught:
        step.tally()
    assert 5 + 1 - caught.value.steps_ago == bad
    with pytest.raises(LossNotFiniteError):
        step.state_tensors()
