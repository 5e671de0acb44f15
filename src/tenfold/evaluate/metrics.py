"""Classification metrics: pure functions of logits and labels.

N images, C classes. Counts are summed as integers and divided last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tenfold.core.errors import DataError, ModelError
from tenfold.core.text import interval as interval_text
from tenfold.core.text import percent, plural
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.macro import Estimate, balanced_accuracy, macro_f1, roc_auc

_TOP5_FROM = 11
"""Number of classes from which the top-5 accuracy is a figure of its own; among ten it is half a guess."""


@dataclass(frozen=True)
class ClassResult:
    """Results of one class; a fraction with denominator 0 is None.

    Args:
        name: class name.
        support: number of images of this class.
        correct: number of images of this class that were predicted correctly.
        predicted: number of images predicted as this class.
        precision: correct / predicted.
        recall: correct / support, the accuracy within this class.
        f1: harmonic mean of precision and recall.
        interval: 95 % Wilson interval of the recall.
    """

    name: str
    support: int
    correct: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, eq=False)  # == of tensors gives no single truth value
class Evaluation:
    """Results of a classifier on labeled images.

    Args:
        accuracy: correct / total.
        interval: 95 % Wilson interval of the accuracy.
        correct: number of images predicted correctly.
        total: number of images, at least 1.
        top5: fraction of images whose class is among the five largest logits; None for five classes or fewer.
        loss: mean cross-entropy in nats; NaN where only the predicted classes are known.
        confusion: int64 [C, C], true class × predicted class.
        per_class: one result per class, in the order of the labels.
        estimates: further figures by name, each with its 95 % interval: `balanced_accuracy` and `macro_f1`; where the
            images have more than one class `roc_auc_ovr`; for more than ten classes `top5_accuracy`.
        plain_accuracy: accuracy without test-time augmentation (TTA), where all other results use TTA; else None.
        folds: number of folds of a cross-validation, where each image was predicted out of fold; else None.
    """

    accuracy: float
    interval: tuple[float, float]
    correct: int
    total: int
    top5: float | None
    loss: float
    confusion: Tensor
    per_class: tuple[ClassResult, ...]
    estimates: Mapping[str, Estimate]
    plain_accuracy: float | None = None
    folds: int | None = None

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images."""
        return balanced_accuracy(self.confusion.numpy()).value

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have images or are predicted."""
        return macro_f1(self.confusion.numpy()).value

    def __repr__(self) -> str:
        return f"Evaluation({self.sentence('image')})"

    def sentence(self, noun: str) -> str:
        """Returns accuracy, number of images and interval in words; `noun` names an image, such as `test image`."""
        found = f"{percent(self.accuracy)} of {plural(self.total, noun)}"
        return f"{found}, 95 % interval {interval_text(self.interval)}"

    def to_json(self) -> dict[str, object]:
        """Returns plain lists, numbers and None, as written to `summary.json`."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "correct": self.correct,
            "total": self.total,
            "top5": self.top5,
            "loss": None if isnan(self.loss) else self.loss,
            "confusion": self.confusion.tolist(),
            "per_class": [asdict(result) for result in self.per_class],
            "plain_accuracy": self.plain_accuracy,
            **({} if self.folds is None else {"folds": self.folds}),
            **{name: estimate.value for name, estimate in self.estimates.items()},
            "intervals": {name: list(estimate.interval) for name, estimate in self.estimates.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evaluation":
        """Returns the evaluation that `to_json` wrote.

        Raises:
            KeyError: when an entry is missing.
        """
        results = tuple(
            ClassResult(**{**entry, "interval": None if entry["interval"] is None else tuple(entry["interval"])})
            for entry in value["per_class"]
        )
        plain = {name: value[name] for name in ("accuracy", "correct", "total", "top5", "loss")}
        low, high = value["interval"]
        confusion = torch.tensor(value["confusion"])
        intervals = value.get("intervals", {})  # runs of earlier versions do not have them
        known = {name: Estimate(value[name], (bounds[0], bounds[1])) for name, bounds in intervals.items()}
        return cls(
            **plain,
            interval=(low, high),
            confusion=confusion,
            per_class=results,
            estimates=known or mean_of_classes(confusion),
            plain_accuracy=value.get("plain_accuracy"),  # runs of earlier versions do not have it
        )


def evaluate_logits(logits: Tensor, labels: Tensor, classes: Sequence[str], *, roc_curves: bool = True) -> Evaluation:
    """Evaluates a classifier by its logits.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
        classes: C names, in the order of the labels.
        roc_curves: whether to compute `roc_auc_ovr`, the only figure that sorts all images, once for each class.

    Returns:
        Accuracy with interval, top-5 accuracy, loss, confusion matrix, per-class results and further figures.

    Raises:
        DataError: when there are no images, or a label is out of range.
        ModelError: when the logits do not fit the labels and classes, or are not all finite.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    _check(logits, labels, classes)
    total = len(labels)
    confusion = confusion_matrix(logits.argmax(1), labels, len(classes))
    correct = int(confusion.trace())
    top5 = accuracy(logits, labels, k=5) if len(classes) > 5 else None
    estimates = mean_of_classes(confusion)
    area = roc_auc(logits.double().softmax(1).numpy(), labels.numpy()) if roc_curves else None
    if area is not None:
        estimates["roc_auc_ovr"] = area
    if top5 is not None and len(classes) >= _TOP5_FROM:
        estimates["top5_accuracy"] = Estimate(top5, wilson(round(top5 * total), total))
    return Evaluation(
        accuracy=correct / total,
        interval=wilson(correct, total),
        correct=correct,
        total=total,
        top5=top5,
        loss=float(F.cross_entropy(logits.double(), labels, reduction="sum")) / total,
        confusion=confusion,
        per_class=per_class_results(confusion, classes),
        estimates=estimates,
    )


def mean_of_classes(confusion: Tensor) -> dict[str, Estimate]:
    """Returns `balanced_accuracy` and `macro_f1` of a confusion matrix, int64 [C, C], with their intervals."""
    counts = confusion.numpy().astype(np.int64)
    return {"balanced_accuracy": balanced_accuracy(counts), "macro_f1": macro_f1(counts)}


def _check(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    if len(labels) == 0:
        raise DataError("there are no images to evaluate; expected at least one labeled image")
    if logits.shape != (len(labels), len(classes)):
        raise ModelError(
            f"the model gave logits {list(logits.shape)}; expected [{len(labels)}, {len(classes)}] "
            f"for {len(labels)} images of {len(classes)} classes: use the classes it was trained on"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise DataError(
            f"labels range from {int(labels.min())} to {int(labels.max())}; "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    num_broken = int((~logits.isfinite()).any(1).sum())
    if num_broken:
        raise ModelError(
            f"the model gave non-finite logits for {num_broken} of {len(labels)} images: "
            "its training diverged or its weights are damaged; use an earlier checkpoint"
        )


def accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Returns the fraction of labels among the k largest logits.

    Equal logits rank by class index, the lowest first, as in `argmax`; a row with NaN at its label is wrong.

    Args:
        logits: float [N, C], N at least 1.
        labels: int64 [N], each in [0, C).
        k: 1 for accuracy, 5 for top-5 accuracy.
    """
    own = logits.gather(1, labels[:, None])  # N 1
    lower = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    ahead = (logits > own) | ((logits == own) & lower) | logits.isnan()  # N C
    return int(((ahead.sum(1) < k) & ~own[:, 0].isnan()).sum()) / len(labels)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Returns the confusion matrix, int64 [C, C]: true class (row) × predicted class (column).

    Args:
        predicted: int64 [N], each in [0, C).
        labels: int64 [N], each in [0, C).
        num_classes: C.
    """
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


def per_class_results(confusion: Tensor, classes: Sequence[str]) -> tuple[ClassResult, ...]:
    """Returns precision, recall and F1 of each class.

    Args:
        confusion: int64 [C, C], true × predicted.
        classes: C names.
    """
    columns = confusion.diagonal().tolist(), confusion.sum(1).tolist(), confusion.sum(0).tolist()
    return tuple(_class_result(name, *counts) for name, *counts in zip(classes, *columns, strict=True))


def _class_result(name: str, correct: int, support: int, predicted: int) -> ClassResult:
    return ClassResult(
        name=name,
        support=support,
        correct=correct,
        predicted=predicted,
        precision=_fraction(correct, predicted),
        recall=_fraction(correct, support),
        f1=_fraction(2 * correct, predicted + support),
        interval=wilson(correct, support) if support else None,
    )


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None
