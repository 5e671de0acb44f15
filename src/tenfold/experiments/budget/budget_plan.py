"""Plans how to spend a time budget: on which network, and how much of it on training."""

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.errors import UsageError
from tenfold.core.text import one_line, plural
from tenfold.experiments.budget.accuracy_table import IMAGES_PER_EPOCH, Network
from tenfold.recipes.durations import Duration

_MARGIN = 0.03
"""Fraction of a budget that is kept in reserve, because a calibration is never exact."""

LOAD = 1.3
"""Factor on the time of features and head: unlike steps they have no time limit, and other programs slow them down."""

_WRITE_SECONDS = 0.8
"""Approximate time for model files, predictions, summary, printing and the exit of the process."""

_MAX_EPOCHS = 200.0
"""More epochs on a small dataset do not help, and the files written after each would outgrow the plan."""

_MIN_STEPS = 20
"""A shorter training is not worth a plan."""


@dataclass(frozen=True)
class Cost:
    """What a network costs on a device.

    Args:
        step: seconds of a training step.
        image: seconds to evaluate one image.
        compiling: additional seconds of its first step.
    """

    step: float
    image: float
    compiling: float = 0.0


@dataclass(frozen=True)
class HeadCost:
    """What a head that is fitted to the features of a frozen network costs on a device.

    Args:
        image: seconds to compute the features of one image.
        fit: seconds to choose the strength of its penalty and to fit it, once the features are there.
        evaluation: seconds to evaluate one image with the whole network.
    """

    image: float
    fit: float
    evaluation: float

    def seconds(self, num_images: int, passes: int) -> float:
        """Returns the seconds for all features of some images, each shown so many times, and the head."""
        return num_images * passes * self.image + self.fit


@dataclass(frozen=True)
class Candidate:
    """A network that may be chosen.

    Args:
        name: for messages.
        cost: see `Cost`.
        steps_per_epoch: on the user's dataset, at least 1.
        evaluations: number of evaluations of the validation split per epoch; 0 without a validation split.
        network: with its measured accuracies; None if none were measured and there is nothing to choose.
    """

    name: str
    cost: Cost
    steps_per_epoch: int
    evaluations: int = 0
    network: Network | None = None


@dataclass(frozen=True)
class Overhead:
    """Sizes of the splits, and times that do not depend on the network.

    Args:
        train: number of training images.
        val: number of validation images.
        test: number of test images.
        spent: seconds from the start of the command to the plan.
        setup: seconds from the plan to the first step, without compilation.
        drawing: seconds for charts at the end.
        checkpoint: seconds to write one; there is one after each evaluation and epoch.
        head: seconds to fit a head before the first step; 0 where all layers are trained at once.
    """

    train: int
    val: int
    test: int
    spent: float
    setup: float
    drawing: float
    checkpoint: float = 0.0
    head: float = 0.0


@dataclass(frozen=True)
class BudgetPlan:
    """How a budget is spent; all parts are in seconds and add up to it.

    Args:
        budget: the whole budget.
        network: name of the chosen network.
        epochs: expected number of epochs; of a head alone, the number of passes over the training images.
        accuracy: expected on CIFAR-10 after as many images; None if no accuracy was measured.
        spent: from the start of the command to the plan, calibration included.
        setup: from the plan to the first step, without compilation.
        compiling: compilation of the step.
        training: training steps; 0 where only the head is fitted.
        validating: evaluations of the validation split, and checkpoints.
        testing: evaluation of the test split.
        finishing: charts and files.
        margin: reserve for the error of the calibration; of a head alone, also for other programs.
        unused: left over, if the dataset is so small that 200 epochs fit, or only the head is fitted.
        head: features and fit of a head, with that reserve where layers follow; 0 where all are trained at once.
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
    head: float = 0.0

    def text(self) -> str:
        """Returns the plan as one line for the user."""
        expected = "" if self.accuracy is None else f" (expected accuracy on CIFAR-10: {self.accuracy * 100:.0f} %)"
        parts = {
            "start and plan": self.spent,
            "set-up": self.setup,
            "features and head": self.head,
            "compiling": self.compiling,
            "training": self.training,
            "validation and checkpoints": self.validating,
            "test": self.testing,
            "charts and files": self.finishing,
            "reserve": self.margin,
            "not needed": self.unused,
        }
        total = " + ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items() if seconds >= 0.05)
        length = f"about {self.epochs:.3g} epochs"
        if not self.training:
            length = f"{'one pass' if self.epochs == 1 else f'{self.epochs:g} passes'} over the training images"
        return f"plan: {self.network} for {length}{expected}; {self.budget:g} s = {total}"


def parse_budget(text: str) -> float:
    """Returns the seconds of a budget such as `60s`, `2 min` or `1 h`.

    Raises:
        UsageError: when the text is not a time.
    """
    try:
        duration = Duration.parse(text)
    except ValueError:
        duration = None
    if duration is None or duration.unit != "s":
        raise UsageError(f"--budget is {one_line(str(text))!r}; expected a time, e.g. 60s or '2 min'")
    return duration.amount


def plan_budget(budget: float, overhead: Overhead, candidates: Sequence[Candidate]) -> BudgetPlan:
    """Returns the plan with the highest expected accuracy.

    Args:
        budget: in seconds, above 0.
        overhead: see `Overhead`.
        candidates: at least one; all of them with measured accuracies, or a single one.

    Raises:
        UsageError: when not even the shortest training fits; contains a budget that is long enough.
    """
    fitting = [candidate for candidate in candidates if budget >= _min_budget(overhead, candidate)]
    if not fitting:
        min_budget = min(_min_budget(overhead, candidate) for candidate in candidates)
        fixed = overhead.spent + overhead.setup + overhead.head + _finishing_seconds(overhead)
        head = "features and head, " if overhead.head else ""
        raise UsageError(
            f"--budget {budget:g} s is too short on this machine: start, plan, {head}charts and files alone take "
            f"{fixed:.1f} s; expected at least {_round_up(min_budget)} s"
        )
    plans = [_plan(budget, overhead, candidate) for candidate in fitting]
    return max(plans, key=lambda plan: plan.accuracy or 0.0)


def plan_head(budget: float, overhead: Overhead, name: str, cost: HeadCost, passes: int) -> BudgetPlan:
    """Returns the plan of a head alone, which is fitted to as many passes over the training images as fit.

    The first pass may take what is left; further ones leave a reserve for other programs.

    Args:
        budget: in seconds, above 0.
        overhead: see `Overhead`.
        name: of the recipe.
        cost: see `HeadCost`.
        passes: number of passes that the recipe asks for, at least 1.

    Raises:
        UsageError: when not even one pass fits; contains a budget that is long enough.
    """
    testing, validating = overhead.test * cost.evaluation, overhead.val * cost.evaluation
    finishing, margin = _finishing_seconds(overhead), _MARGIN * budget
    fixed = overhead.spent + overhead.setup + testing + validating + finishing
    left, one = budget - margin - fixed, cost.seconds(overhead.train, 1)
    count = max((n for n in range(2, passes + 1) if LOAD * cost.seconds(overhead.train, n) <= left), default=1)
    if one > left:
        raise UsageError(
            f"--budget {budget:g} s is too short on this machine: one pass over "
            f"{plural(overhead.train, 'training image')} takes {one:.1f} s, everything else {fixed:.1f} s; "
            f"expected at least {_round_up((fixed + one) / (1 - _MARGIN))} s"
        )
    head = cost.seconds(overhead.train, count)
    reserve = min((LOAD - 1) * head, left - head)
    return BudgetPlan(
        budget=budget,
        network=name,
        epochs=count,
        accuracy=None,
        spent=overhead.spent,
        setup=overhead.setup,
        compiling=0.0,
        training=0.0,
        validating=validating,
        testing=testing,
        finishing=finishing,
        margin=margin + reserve,
        unused=left - head - reserve,
        head=head,
    )


def _min_budget(overhead: Overhead, candidate: Candidate) -> float:
    """Returns the smallest budget in which a candidate trains for a few steps."""
    seconds = _MIN_STEPS / candidate.steps_per_epoch * sum(_epoch_seconds(overhead, candidate))
    return (_fixed_seconds(overhead, candidate) + seconds) / (1 - _MARGIN)


def _fixed_seconds(overhead: Overhead, candidate: Candidate) -> float:
    """Returns the seconds that do not depend on the training length."""
    evaluation = (overhead.val + overhead.test) * candidate.cost.image
    start = overhead.spent + overhead.setup + overhead.head + candidate.cost.compiling
    return start + evaluation + _finishing_seconds(overhead)


def _finishing_seconds(overhead: Overhead) -> float:
    """Returns the seconds for charts and files, including the last checkpoint."""
    return overhead.drawing + overhead.checkpoint + _WRITE_SECONDS


def _epoch_seconds(overhead: Overhead, candidate: Candidate) -> tuple[float, float]:
    """Returns the seconds of an epoch: of its steps, and of evaluations and checkpoints between them."""
    evaluation = candidate.evaluations * overhead.val * candidate.cost.image
    checkpoints = max(1, candidate.evaluations) * overhead.checkpoint
    return candidate.steps_per_epoch * candidate.cost.step, evaluation + checkpoints


def _plan(budget: float, overhead: Overhead, candidate: Candidate) -> BudgetPlan:
    steps, between = _epoch_seconds(overhead, candidate)
    margin = _MARGIN * budget
    available = budget - margin - _fixed_seconds(overhead, candidate)
    epochs = min(available / (steps + between), _MAX_EPOCHS)
    cost, network = candidate.cost, candidate.network
    return BudgetPlan(
        budget=budget,
        network=candidate.name,
        epochs=epochs,
        accuracy=None if network is None else network.accuracy(epochs * overhead.train / IMAGES_PER_EPOCH),
        spent=overhead.spent,
        setup=overhead.setup,
        compiling=cost.compiling,
        training=epochs * steps,
        validating=epochs * between + overhead.val * cost.image,
        testing=overhead.test * cost.image,
        finishing=_finishing_seconds(overhead),
        margin=margin,
        unused=max(0.0, available - epochs * (steps + between)),
        head=overhead.head,
    )


def _round_up(seconds: float) -> int:
    """Returns whole seconds and at least 10 % more, because the next calibration may find the machine slower."""
    return int(1.1 * seconds) + 1
