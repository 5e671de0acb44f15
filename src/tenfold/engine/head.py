"""The head of a network as a logistic regression on its features.

Shapes: M rows (images as they were shown), D features, C classes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from tenfold.core.text import percent, plural
from tenfold.engine.cross_fit import DEFAULT_STRENGTH, ROWS_PER_CLASS, CrossFit, Shown, cross_fit
from tenfold.engine.running_metrics import TrainMetrics
from tenfold.engine.setup import Setup
from tenfold.models.features import head_of
from tenfold.optim.logistic import LinearHead, Standardized, fit_logistic


@dataclass(frozen=True)
class FittedHead:
    """A head that was fitted to features.

    Args:
        l2: strength of the penalty.
        cross_fit: how it was chosen, of several strengths or of the given one; None where nothing can be held out, or
            where a strength was given and validation images calibrate.
        metrics: of the training images as they were shown, with the fitted head.
        num_images: number of training images.
    """

    l2: float
    cross_fit: CrossFit | None
    metrics: TrainMetrics
    num_images: int

    def to_json(self) -> dict[str, Any]:
        """Returns the part of `summary.json` about the head."""
        found = self.cross_fit
        chosen = None if found is None else {"folds": found.folds, "accuracy": found.accuracy, "losses": found.losses}
        return {"l2": self.l2, "chosen": chosen}

    def sentence(self) -> str:
        """Returns one line on the fit."""
        if self.cross_fit is None:
            return f"head: fitted with L2 strength {self.l2:g}"
        found = self.cross_fit
        chosen = "chosen by" if len(found.losses) > 1 else "as given;"
        used, (_, num_classes) = len(found.labels), found.logits.shape
        of_all = "" if used == self.num_images else f"{used:,} of "
        per_class = used / num_classes
        rough = f"; a rough choice: {per_class:.2g} images a class" if per_class < ROWS_PER_CLASS else ""
        return (
            f"head: fitted with L2 strength {self.l2:g}, {chosen} {found.folds}-fold cross-validation on {of_all}"
            f"{plural(self.num_images, 'training image')} ({percent(found.accuracy, 1)} correct out of fold{rough})"
        )


def fit_head(
    setup: Setup, shown: Shown, class_weights: tuple[float, ...] | None, *, calibrated: bool = False
) -> FittedHead:
    """Fits the head of `setup`'s model, which is changed, and says how.

    Args:
        setup: of the run; `optim.head_l2` is the strength of the penalty, 0 chooses it.
        shown: features of the training images.
        class_weights: see `Plan`.
        calibrated: whether the weights are divided by the temperature of the cross-validation, so that the loss of the
            head can be compared with that of trained layers.
    """
    optim, train, classes = setup.recipe.optim, setup.dataset.train, setup.classifier.classes
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    found = None
    if not optim.head_l2 or setup.dataset.val is None:  # without validation images it also calibrates
        found = cross_fit(
            shown,
            len(classes),
            seed=setup.recipe.train.seed,
            groups=train.groups,
            class_weights=weights,
            label_smoothing=optim.label_smoothing,
            **({"strengths": (optim.head_l2,)} if optim.head_l2 else {}),
        )
    l2 = optim.head_l2 or (found.l2 if found is not None else DEFAULT_STRENGTH)
    data = Standardized(shown.features)
    fitted = fit_logistic(
        data.rows,
        shown.labels,
        len(classes),
        l2,
        weights=None if weights is None else weights[shown.labels],
        label_smoothing=optim.label_smoothing,
    )
    head = data.head(*fitted)
    if calibrated and found is not None:
        head = LinearHead(*(each / found.temperature for each in head))
    layer = head_of(setup.classifier.model, len(classes))
    with torch.no_grad():
        layer.weight.copy_(head.weight)
        if layer.bias is not None:
            layer.bias.copy_(head.bias)
    setup.processes.broadcast_tensors(list(layer.parameters()))  # another kind of CPU may have fitted others
    logits = head.logits(shown.features)  # M C
    loss = float(F.cross_entropy(logits, shown.labels))
    accuracy = float((logits.argmax(1) == shown.labels).double().mean())
    result = FittedHead(l2, found, TrainMetrics(loss, accuracy), len(train))
    setup.progress.message(result.sentence())
    return result
