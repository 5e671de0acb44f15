"""What logits say about a classifier: pure functions of logits and labels.

N pictures, C classes. Counts are summed as whole numbers and divided last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate.intervals import wilson


@dataclass(frozen=True)
class ClassResult:
    """How one class fared; a share of nothing is None.

    Args:
        name: the class.
        support: pictures of this class.
        correct: those of them that were recognised.
        predicted: pictures that were taken for this class.
        precision: correct / predicted.
        recall: correct / support, the accuracy within this class.
        f1: harmonic mean of the two.
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


@dataclass(frozen=True, eq=False)  # a tensor has no single truth value to compare by
class Evaluation:
    """What is known about a classifier after one pass over labelled pictures.

    Args:
        accuracy: correct / total.
        interval: 95 % Wilson interval of the accuracy.
        correct: pictures that were recognised.
        total: pictures, at least 1.
        top5: share whose class is among the five largest logits; None with five classes or fewer.
        loss: mean cross-entropy in nats.
        confusion: int64 [C, C], true class × predicted class.
        per_class: one result for each class, in the order of the labels.
        plain_accuracy: the accuracy from one view of each picture, where several were averaged for all the rest; else
            None.
    """

    accuracy: float
    interval: tuple[float, float]
    correct: int
    total: int
    top5: float | None
    loss: float
    confusion: Tensor
    per_class: tuple[ClassResult, ...]
    plain_accuracy: float | None = None

    def to_json(self) -> dict[str, object]:
        """Returns plain lists, numbers and None, fit for `summary.json`."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "correct": self.correct,
            "total": self.total,
            "top5": self.top5,
            "loss": self.loss,
            "confusion": self.confusion.tolist(),
            "per_class": [asdict(result) for result in self.per_class],
            "plain_accuracy": self.plain_accuracy,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evaluation":
        """Returns the object that `to_json` described.

        Raises:
            KeyError: when something is missing.
        """
        results = tuple(
            ClassResult(**{**entry, "interval": None if entry["interval"] is None else tuple(entry["interval"])})
            for entry in value["per_class"]
        )
        plain = {name: value[name] for name in ("accuracy", "correct", "total", "top5", "loss")}
        low, high = value["interval"]
        return cls(
            **plain,
            interval=(low, high),
            confusion=torch.tensor(value["confusion"]),
            per_class=results,
            plain_accuracy=value.get("plain_accuracy"),  # former runs do not have it
        )


def evaluate_logits(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Evaluation:
    """Judges a classifier by its logits.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
        classes: C names, in the order of the labels.

    Returns:
        Accuracy with interval, top-5 accuracy, loss, confusion matrix and the table of classes.

    Raises:
        DataError: when there is no picture, or a label is out of range.
        ModelError: when the logits do not fit labels and classes, or are not all finite.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    _check(logits, labels, classes)
    total = len(labels)
    confusion = confusion_matrix(logits.argmax(1), labels, len(classes))
    correct = int(confusion.trace())
    return Evaluation(
        accuracy=correct / total,
        interval=wilson(correct, total),
        correct=correct,
        total=total,
        top5=int(count_correct(logits, labels, k=5)) / total if len(classes) > 5 else None,
        loss=float(sum_of_losses(logits, labels)) / total,
        confusion=confusion,
        per_class=per_class_results(confusion, classes),
    )


def _check(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    if len(labels) == 0:
        raise DataError("there are no pictures to judge by; expected at least one labelled picture")
    if logits.shape != (len(labels), len(classes)):
        raise ModelError(
            f"the model gave logits {list(logits.shape)}; expected [{len(labels)}, {len(classes)}] "
            f"for {len(labels)} pictures of {len(classes)} classes: use the classes it was trained on"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise DataError(
            f"labels run from {int(labels.min())} to {int(labels.max())}; "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        raise ModelError(
            f"the model gave no finite logits for {broken} of {len(labels)} pictures: "
            "its training diverged or its weights are damaged; use an earlier checkpoint"
        )


def count_correct(logits: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """Returns how many labels are among the k largest logits: int64 scalar, on the device, without a sync.

    Equal logits rank by class, the lower one first, as `argmax` does; NaN is never correct.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
        k: at least 1; above C every finite row counts.
    """
    own = logits.gather(1, labels[:, None])  # [N, 1]
    lower = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    ahead = (logits > own) | ((logits == own) & lower) | logits.isnan()  # [N, C]
    return ((ahead.sum(1) < k) & ~own[:, 0].isnan()).sum()


def accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Returns the share of labels among the k largest logits, or NaN for no pictures.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
        k: 1 for accuracy, 5 for top-5 accuracy.
    """
    return int(count_correct(logits, labels, k)) / len(labels) if len(labels) else float("nan")


def sum_of_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the summed cross-entropy in nats: a scalar on the device, float64 where that has it.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
    """
    precise = logits.float() if logits.device.type == "mps" else logits.double()
    return F.cross_entropy(precise, labels, reduction="sum")


def log_loss(logits: Tensor, labels: Tensor) -> float:
    """Returns the mean cross-entropy in nats, or NaN for no pictures.

    Args:
        logits: float [N, C].
        labels: int64 [N], each in [0, C).
    """
    return float(sum_of_losses(logits, labels)) / len(labels) if len(labels) else float("nan")


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Returns int64 [C, C]: how often each true class (row) was taken for each class (column).

    Args:
        predicted: int64 [N], each in [0, C).
        labels: int64 [N], each in [0, C).
        classes: C.
    """
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)


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
        precision=_share(correct, predicted),
        recall=_share(correct, support),
        f1=_share(2 * correct, predicted + support),
        interval=wilson(correct, support) if support else None,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
