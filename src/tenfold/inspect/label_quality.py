"""Labels that are likely wrong, told from what classifiers say that have not learnt from the pictures.

Confident learning: C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty in dataset
labels", Journal of Artificial Intelligence Research 70 (2021), arXiv:1911.00068. Scores: J. Kuan and J. Mueller,
"Model-agnostic label quality scoring to detect real-world label errors", ICML DataPerf workshop (2022).

Shapes: N pictures, C classes. Probabilities are out-of-fold: of pictures that the classifier has not learnt from.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]

_ROUNDING = 1e-9  # by which a mean of equal probabilities may lie above each of them
_LEAST = 1e-12


class Estimate(NamedTuple):
    """How many labels are likely wrong.

    Args:
        total: labels, in all.
        pairs: given label, likely class and pictures of each pair that has a picture, most first.
    """

    total: int
    pairs: tuple[tuple[int, int, int], ...]


class Ranking(NamedTuple):
    """Pictures in the order in which their labels deserve a look.

    Args:
        order: int64 [N], places of pictures, the most suspicious first; equal scores keep the order of the pictures.
        scores: float64 [N] in [0, 1], by picture: the lower, the more suspicious its label.
        suggested: int64 [N], by picture: the likeliest class other than its label.
    """

    order: NDArray[np.int64]
    scores: Scores
    suggested: NDArray[np.int64]


def self_confidence(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns each label's own probability, float64 [N] in [0, 1].

    Example:
        >>> self_confidence(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.25]
    """
    return np.asarray(probabilities[np.arange(len(labels)), labels], np.float64)


def normalized_margin(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns how far each label is ahead of the likeliest other class, (p − p of that + 1) / 2: float64 [N] in [0, 1].

    Example:
        >>> normalized_margin(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.25]
    """
    rival = probabilities[np.arange(len(labels)), likeliest_other(probabilities, labels)]
    return np.asarray((self_confidence(probabilities, labels) - rival + 1) / 2, np.float64)


def confidence_weighted_entropy(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns log(1 + h) / h of h = entropy / self-confidence, with the entropy as a share of its most: float64 [N].

    A label is suspicious where the classifier is sure, and not of it. An entropy below 1e-6 counts as that much, so
    that an answer without any doubt is judged by the label.
    """
    classes = probabilities.shape[1]
    entropy = -(probabilities * np.log(np.maximum(probabilities, _LEAST))).sum(1) / np.log(classes)  # N
    doubt = np.maximum(entropy, 1e-6) / np.maximum(self_confidence(probabilities, labels), _LEAST)
    return np.asarray(np.log1p(doubt) / doubt, np.float64)


def off_diagonal(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns half the self-confidence where confident learning counts a picture to another class, else a half more.

    Pictures off the diagonal of the confident joint thus come first, float64 [N] in [0, 1].
    """
    counted = confident_class(probabilities, labels)
    doubted = (counted >= 0) & (counted != labels)
    return np.asarray((self_confidence(probabilities, labels) + ~doubted) / 2, np.float64)


SCORES: dict[str, Callable[[Probabilities, Labels], Scores]] = {
    "self-confidence": self_confidence,
    "normalized-margin": normalized_margin,
    "confidence-weighted-entropy": confidence_weighted_entropy,
    "off-diagonal": off_diagonal,
}
"""The scores by name."""


def rank(probabilities: Probabilities, labels: Labels, score: str = "self-confidence") -> Ranking:
    """Returns all pictures, the most suspicious label first.

    Args:
        probabilities: float [N, C], C at least 2, rows adding up to 1.
        labels: int64 [N] in [0, C).
        score: a name of `SCORES`.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> rank(probabilities, np.array([0, 0, 0])).order.tolist()
        [1, 2, 0]
    """
    scores = SCORES[score](probabilities, labels)
    return Ranking(np.argsort(scores, kind="stable"), scores, likeliest_other(probabilities, labels))


def likeliest_other(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the likeliest class other than each label, int64 [N]; the first of equal ones."""
    others = np.array(probabilities, np.float64)
    others[np.arange(len(labels)), labels] = -1.0
    return np.asarray(others.argmax(1), np.int64)


def class_thresholds(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Returns the mean self-confidence of each class's pictures, float64 [C]; infinity for a class without any."""
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, self_confidence(probabilities, labels), minlength=probabilities.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_class(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the class that each picture confidently belongs to, int64 [N], or −1 where there is none.

    It is the likeliest of those whose probability is at least what pictures labelled so get on the average.
    """
    reached = probabilities >= class_thresholds(probabilities, labels) - _ROUNDING  # N C
    likeliest = np.where(reached, probabilities, -1.0).argmax(1)
    return np.where(reached.any(1), likeliest, -1)


def confident_joint(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the pictures of each label that confidently belong to each class: int64 [C, C], label × class."""
    classes, counted = probabilities.shape[1], confident_class(probabilities, labels)
    sure = counted >= 0
    cells = labels[sure] * classes + counted[sure]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def estimate_wrong(probabilities: Probabilities, labels: Labels) -> Estimate:
    """Estimates how many labels are wrong, by confident learning.

    The confident joint is scaled up, label by label, to the pictures that bear the label. The weaker the classifiers,
    the more of what they mistake is counted in.

    Args:
        probabilities: float [N, C], rows adding up to 1.
        labels: int64 [N] in [0, C).

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.2, 0.8]])
        >>> estimate_wrong(probabilities, np.array([0, 0, 0, 1, 1, 1]))
        Estimate(total=1, pairs=((0, 1, 1),))
    """
    joint = confident_joint(probabilities, labels)
    per_label = np.bincount(labels, minlength=len(joint))  # C
    wrong = joint * (per_label / np.maximum(joint.sum(1), 1))[:, None]  # C C
    np.fill_diagonal(wrong, 0)
    whole = wrong.round().astype(np.int64)
    pairs = sorted((-int(whole[given, other]), int(given), int(other)) for given, other in np.argwhere(whole))
    return Estimate(round(wrong.sum()), tuple((given, other, -count) for count, given, other in pairs))
