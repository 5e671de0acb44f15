"""Labels that are likely wrong, from out-of-fold predictions.

Confident learning: C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty in dataset
labels", Journal of Artificial Intelligence Research 70 (2021), arXiv:1911.00068. Scores: J. Kuan and J. Mueller,
"Model-agnostic label quality scoring to detect real-world label errors", ICML DataPerf workshop (2022).

N images, C classes. Probabilities are out-of-fold: each image is predicted by a classifier not trained on it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]

_ROUNDING = 1e-9  # a mean of equal probabilities may exceed each of them by about this much
_MIN_PROBABILITY = 1e-12


class LabelErrorEstimate(NamedTuple):
    """Estimated number of wrong labels.

    Args:
        total: over all classes.
        pairs: given label, likely class and number of images of each pair that has any, most first.
    """

    total: int
    pairs: tuple[tuple[int, int, int], ...]


class Ranking(NamedTuple):
    """Images ranked by how suspicious their labels are.

    Args:
        order: int64 [N], image indices, the most suspicious first; equal scores keep the image order.
        scores: float64 [N] in [0, 1], by image: the lower, the more suspicious its label.
        suggested: int64 [N], by image: the most likely class other than its label.
    """

    order: NDArray[np.int64]
    scores: Scores
    suggested: NDArray[np.int64]


def self_confidence(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns the probability of each label, float64 [N] in [0, 1].

    Example:
        >>> self_confidence(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.25]
    """
    return np.asarray(probabilities[np.arange(len(labels)), labels], np.float64)


def normalized_margin(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns the margin over the most likely other class, (p − p of that + 1) / 2: float64 [N] in [0, 1].

    Example:
        >>> normalized_margin(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.25]
    """
    other = probabilities[np.arange(len(labels)), likeliest_other(probabilities, labels)]
    return np.asarray((self_confidence(probabilities, labels) - other + 1) / 2, np.float64)


def confidence_weighted_entropy(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns log(1 + h) / h for h = normalized entropy / self-confidence: float64 [N] in [0, 1].

    A label is suspicious if the prediction is confident, but of another class. Entropies are clipped at 1e-6, so that
    the label decides where the prediction is certain.
    """
    classes = probabilities.shape[1]
    entropy = -(probabilities * np.log(np.maximum(probabilities, _MIN_PROBABILITY))).sum(1) / np.log(classes)  # [N]
    confidence = np.maximum(self_confidence(probabilities, labels), _MIN_PROBABILITY)
    weighted = np.maximum(entropy, 1e-6) / confidence
    return np.asarray(np.log1p(weighted) / weighted, np.float64)


def off_diagonal(probabilities: Probabilities, labels: Labels) -> Scores:
    """Returns half the self-confidence of images off the diagonal of the confident joint, plus 0.5 for the others.

    Images off the diagonal thus come first; float64 [N] in [0, 1].
    """
    confident = confident_class(probabilities, labels)
    off = (confident >= 0) & (confident != labels)
    return np.asarray((self_confidence(probabilities, labels) + ~off) / 2, np.float64)


SCORES: dict[str, Callable[[Probabilities, Labels], Scores]] = {
    "self-confidence": self_confidence,
    "normalized-margin": normalized_margin,
    "confidence-weighted-entropy": confidence_weighted_entropy,
    "off-diagonal": off_diagonal,
}
"""Label quality scores by name."""


def rank(probabilities: Probabilities, labels: Labels, score: str = "self-confidence") -> Ranking:
    """Ranks all images, the most suspicious label first.

    Args:
        probabilities: float [N, C], C at least 2, each row summing to 1.
        labels: int64 [N] in [0, C).
        score: a name in `SCORES`.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> rank(probabilities, np.array([0, 0, 0])).order.tolist()
        [1, 2, 0]
    """
    scores = SCORES[score](probabilities, labels)
    return Ranking(np.argsort(scores, kind="stable"), scores, likeliest_other(probabilities, labels))


def likeliest_other(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the most likely class other than each label, int64 [N]; the first of equal ones."""
    others = np.array(probabilities, np.float64)
    others[np.arange(len(labels)), labels] = -1.0
    return np.asarray(others.argmax(1), np.int64)


def class_thresholds(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Returns the mean self-confidence of the images of each class, float64 [C]; infinity for an empty class."""
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, self_confidence(probabilities, labels), minlength=probabilities.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_class(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the class that each image confidently belongs to, int64 [N], or −1 for none.

    It is the most likely of the classes whose probability reaches the class threshold.
    """
    reached = probabilities >= class_thresholds(probabilities, labels) - _ROUNDING  # [N, C]
    likeliest = np.where(reached, probabilities, -1.0).argmax(1)
    return np.where(reached.any(1), likeliest, -1)


def confident_joint(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Returns the number of images of each label that confidently belong to each class: int64 [C, C], label × class."""
    classes, confident = probabilities.shape[1], confident_class(probabilities, labels)
    known = confident >= 0
    cells = labels[known] * classes + confident[known]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def estimate_label_errors(probabilities: Probabilities, labels: Labels) -> LabelErrorEstimate:
    """Estimates the number of wrong labels by confident learning.

    Each row of the confident joint is scaled to the number of images with that label. Errors of a weak classifier are
    counted too.

    Args:
        probabilities: float [N, C], each row summing to 1.
        labels: int64 [N] in [0, C).

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.2, 0.8]])
        >>> estimate_label_errors(probabilities, np.array([0, 0, 0, 1, 1, 1]))
        LabelErrorEstimate(total=1, pairs=((0, 1, 1),))
    """
    joint = confident_joint(probabilities, labels)
    support = np.bincount(labels, minlength=len(joint))  # [C]
    errors = joint * (support / np.maximum(joint.sum(1), 1))[:, None]  # [C, C]
    np.fill_diagonal(errors, 0)
    counts = errors.round().astype(np.int64)
    pairs = sorted((-int(counts[given, other]), int(given), int(other)) for given, other in np.argwhere(counts))
    return LabelErrorEstimate(round(errors.sum()), tuple((given, other, -count) for count, given, other in pairs))
