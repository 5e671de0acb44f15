"""How a given time is best spent: on which network, and how much of it on training."""

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.errors import UsageError
from tenfold.experiments.budget.measured import EPOCH, Network
from tenfold.recipes.durations import Duration

_MARGIN = 0.03
"""Share of a budget that is kept for what no calibration foresees."""

_WRITING = 0.8
"""Seconds for models, predictions, summary, printing and the way out of the process, about."""

_MOST_EPOCHS = 200.0
"""More passes over a small set teach nothing, and what is written after each would outgrow the plan."""

_LEAST_STEPS = 20
"""A training of fewer steps teaches nothing worth a plan."""


@dataclass(frozen=True)
class Cost:
    """What a network costs on a device.

    Args:
        step: seconds of a training step.
        picture: seconds of judging one picture.
        compiling: seconds that its first step takes beyond the others.
    """

    step: float
    picture: float
    compiling: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """A network that may be chosen.

    Args:
        name: for people.
        cost: see `Cost`.
        steps_per_epoch: of the pictures at hand, at least 1.
        judgements: of the validation pictures in each epoch; 0 without them.
        network: with its accuracies; None where nothing was measured, and there is nothing to choose.
    """

    name: str
    cost: Cost
    steps_per_epoch: int
    judgements: int = 0
    network: Network | None = None


@dataclass(frozen=True)
class Surroundings:
    """What there is beside the network.

    Args:
        train: pictures to learn from.
        val: pictures judged during training.
        test: pictures judged at the end.
        spent: seconds from the start of the command up to the plan.
        setup: seconds from the plan to the first step, compiling apart.
        drawing: seconds of charts at the end.
        checkpoint: seconds of writing one; there is one after each judgement and epoch.
    """

    train: int
    val: int
    test: int
    spent: float
    setup: float
    drawing: float
    checkpoint: float = 0.0


@dataclass(frozen=True)
class BudgetPlan:
    """How a budget is spent; all parts are seconds, and add up to it.

    Args:
        budget: in all.
        network: name of the one that was chosen.
        epochs: expected.
        accuracy: expected on CIFAR-10 after so many pictures, or None where nothing was measured.
        spent: from the start of the command up to the plan, its calibration included.
        setup: from the plan to the first step, compiling apart.
        compiling: of the step.
        training: steps alone.
        validating: validation pictures and checkpoints on the way.
        testing: test pictures at the end.
        finishing: charts and files.
        margin: kept for what no calibration foresees.
        unused: left over where the pictures are so few that 200 epochs fit.
    """

    budget: float
    network: str
    epochs: float
    accuracy: float | None
    spent: float
    setup: float
    compiling: float
    training: float
    validating: float
    testing: float
    finishing: float
    margin: float
    unused: float = 0.0

    def text(self) -> str:
        """Returns the plan as a line for the user."""
        expected = "" if self.accuracy is None else f" (on CIFAR-10, {self.accuracy * 100:.0f} % are to be expected)"
        parts = {
            "start and plan": self.spent,
            "set-up": self.setup,
            "compiling": self.compiling,
            "training": self.training,
            "validation and checkpoints": self.validating,
            "test": self.testing,
            "charts and files": self.finishing,
            "reserve": self.margin,
            "not needed": self.unused,
        }
        listed = " + ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items() if seconds >= 0.05)
        return f"plan: {self.network} for about {self.epochs:.3g} epochs{expected}; {self.budget:g} s = {listed}"


def parse_budget(text: str) -> float:
    """Returns the seconds of a budget such as `60s`, `2 min` or `1 h`.

    Raises:
        UsageError: when it is no time.
    """
    try:
        duration = Duration.parse(text)
    except ValueError:
        duration = None
    if duration is None or duration.unit != "s":
        raise UsageError(f"--budget is {' '.join(str(text).split())!r}; expected a time, e.g. 60s or '2 min'")
    return duration.amount


def plan_budget(budget: float, surroundings: Surroundings, candidates: Sequence[Candidate]) -> BudgetPlan:
    """Returns the plan with the best accuracy to expect.

    Args:
        budget: seconds, above 0.
        surroundings: see `Surroundings`.
        candidates: at least one; all of them with measured accuracies, or a single one.

    Raises:
        UsageError: when not even the smallest training fits; names the smallest budget that would do.
    """
    fitting = [each for each in candidates if budget >= _least(surroundings, each)]
    if not fitting:
        least = min(_least(surroundings, each) for each in candidates)
        around = surroundings.spent + surroundings.setup + _finishing(surroundings)
        raise UsageError(
            f"--budget {budget:g} s is too short on this machine: start, plan, charts and files alone take "
            f"{around:.1f} s; expected at least {_rounded_up(least)} s"
        )
    plans = [_plan(budget, surroundings, each) for each in fitting]
    return max(plans, key=lambda plan: plan.accuracy or 0.0)


def _least(around: Surroundings, candidate: Candidate) -> float:
    """Returns the smallest budget with which a candidate takes a few steps."""
    seconds = _LEAST_STEPS / candidate.steps_per_epoch * sum(_epoch(around, candidate))
    return (_fixed(around, candidate) + seconds) / (1 - _MARGIN)


def _fixed(around: Surroundings, candidate: Candidate) -> float:
    """Returns the seconds that are spent however long the training is."""
    judging = (around.val + around.test) * candidate.cost.picture
    return around.spent + around.setup + candidate.cost.compiling + judging + _finishing(around)


def _finishing(around: Surroundings) -> float:
    """Returns the seconds of charts and files, the last checkpoint among them."""
    return around.drawing + around.checkpoint + _WRITING


def _epoch(around: Surroundings, candidate: Candidate) -> tuple[float, float]:
    """Returns the seconds of an epoch: of its steps, and of what comes between them."""
    judging = candidate.judgements * around.val * candidate.cost.picture
    return candidate.steps_per_epoch * candidate.cost.step, judging + max(1, candidate.judgements) * around.checkpoint


def _plan(budget: float, around: Surroundings, candidate: Candidate) -> BudgetPlan:
    steps, between = _epoch(around, candidate)
    margin = _MARGIN * budget
    free = budget - margin - _fixed(around, candidate)
    epochs = min(free / (steps + between), _MOST_EPOCHS)
    cost, network = candidate.cost, candidate.network
    return BudgetPlan(
        budget=budget,
        network=candidate.name,
        epochs=epochs,
        accuracy=None if network is None else network.accuracy(epochs * around.train / EPOCH),
        spent=around.spent,
        setup=around.setup,
        compiling=cost.compiling,
        training=epochs * steps,
        validating=epochs * between + around.val * cost.picture,
        testing=around.test * cost.picture,
        finishing=_finishing(around),
        margin=margin,
        unused=max(0.0, free - epochs * (steps + between)),
    )


def _rounded_up(seconds: float) -> int:
    """Returns whole seconds with a little to spare: the next calibration may find the machine slower."""
    return int(1.1 * seconds) + 1
