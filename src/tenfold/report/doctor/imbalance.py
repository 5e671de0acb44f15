"""Doctor rule on classes of uneven size: whether the smallest one is overlooked."""

from typing import NamedTuple

import numpy as np

from tenfold.core.text import count, interval, percent, plural
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.macro import Estimate, balanced_accuracy, is_uneven
from tenfold.report.doctor.evidence import Diagnosis, Evidence, quoted
from tenfold.report.doctor.optimization import always_predicted


class _Recall(NamedTuple):
    """How many test images of a class were predicted correctly, of how many."""

    correct: int
    total: int


def uneven_classes(evidence: Evidence) -> Diagnosis | None:
    """The classes are uneven, and the smallest one is recognized less often than the others."""
    trained, tested = evidence.train_counts, evidence.true_counts
    counts = trained if is_uneven(trained.values()) else tested
    counts = {name: number for name, number in counts.items() if number and tested[name]}
    if len(counts) < 2 or not is_uneven(counts.values()):
        return None
    smallest, largest = (choose(counts, key=counts.__getitem__) for choose in (min, max))
    if always_predicted(evidence) not in (None, largest):
        return None  # not the sizes of the classes are to blame
    recalls = _recalls(evidence)
    own = recalls.pop(smallest)
    if wilson(*own)[1] >= np.mean([other.correct / other.total for other in recalls.values()]):
        return None
    kind = "training images" if counts.keys() <= trained.keys() and is_uneven(trained.values()) else "test images"
    balanced = _balanced(evidence)
    return Diagnosis(
        "uneven-classes",
        f"Balanced accuracy is {percent(balanced.value)} (95 % interval {interval(balanced.interval)}), accuracy "
        f"{percent(evidence.accuracy)}: of {quoted(largest)} there are {count(counts[largest])} {kind}, of "
        f"{quoted(smallest)} {count(counts[smallest])}, whose recall is {percent(own.correct / own.total)} of "
        f"{plural(own.total, 'test image')}.",
        _remedy(evidence, smallest, trained=kind == "training images"),
    )


def _remedy(evidence: Evidence, smallest: str, *, trained: bool) -> str:
    recipe = evidence.recipe
    if not trained:
        return "Go by the balanced accuracy: --set train.monitor=balanced_accuracy lets it choose the best model."
    set_already = [] if recipe is None else _remedies_of(recipe.optim.class_weights, recipe.data.balance)
    if set_already:
        return f"Add training images of {quoted(smallest)}: {' and '.join(set_already)} alone cannot make up for them."
    return (
        "Let each class count alike: --set optim.class_weights=balanced, or else --set data.balance=1. More training "
        f"images of {quoted(smallest)} help most."
    )


def _remedies_of(class_weights: object, balance: float) -> list[str]:
    weights = [] if class_weights == "none" else ["optim.class_weights"]
    return [*weights, *(["data.balance"] if balance else [])]


def _recalls(evidence: Evidence) -> dict[str, _Recall]:
    correct = dict.fromkeys(evidence.true_counts, 0)
    for row in evidence.predictions:
        correct[row.true] += row.true == row.predicted
    return {name: _Recall(correct[name], total) for name, total in evidence.true_counts.items()}


def _balanced(evidence: Evidence) -> Estimate:
    recalls = _recalls(evidence).values()
    hits = np.diag([one.correct for one in recalls])
    return balanced_accuracy(np.column_stack([hits, [one.total - one.correct for one in recalls]]))
