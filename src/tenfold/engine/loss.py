"""The loss that training minimizes, and the weights of the classes in it.

Shapes: N training images, B images in a batch, C classes.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.errors import RecipeError
from tenfold.core.registry import did_you_mean
from tenfold.data.sampling import balanced_counts
from tenfold.data.types import Dataset, Mixture


def mean_loss(
    logits: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
    mixture: Mixture | None = None,
) -> Tensor:
    """Returns the mean cross-entropy of a batch, float []; for mixed images that of both labels, by the mixing ratio.

    Class weights multiply the loss of each image, and the sum is divided by the number of images: the effect of an
    image does not depend on the others in its batch. PyTorch's `cross_entropy` divides by the sum of the weights; then
    all images of a batch without the small class have full weight, and with batches of four images weights do nothing.
    An image has the weight of its own class, also for the part of its target that label smoothing spreads. PyTorch
    weighs that part by the class it falls on, which teaches images of a large class to look like a small one.

    Args:
        logits: float [B, C].
        labels: int64 [B].
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        weights: float32 [C], of the classes, see `class_weights`; None for none.
        mixture: the partners of mixed images; None for none.
    """
    if weights is None and mixture is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    losses = _weighted(logits, labels, label_smoothing, weights)
    if mixture is not None:
        others = _weighted(logits, mixture.labels, label_smoothing, weights)
        losses = mixture.weight * losses + (1 - mixture.weight) * others
    return losses.mean()


def _weighted(logits: Tensor, labels: Tensor, label_smoothing: float, weights: Tensor | None) -> Tensor:
    """Returns the weighted loss of each image, float [B]."""
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    return losses if weights is None else weights[labels] * losses


def class_weights(
    setting: str | Mapping[str, float], dataset: Dataset, balance: float = 0.0
) -> tuple[float, ...] | None:
    """Returns the weight of each class, with a mean of 1 over the images that an epoch shows; None for no weights.

    Images are counted as an epoch shows them: beside `data.balance`, weights make up for what it leaves uneven.

    Args:
        setting: `optim.class_weights`. `balanced` is N / (C · images of the class), `sqrt` in proportion to its root.
        dataset: its training images are counted; a class without any has the weight 0.
        balance: `data.balance`.

    Raises:
        RecipeError: when a class that is named does not exist.
    """
    if setting == "none":
        return None
    shown = balanced_counts(torch.from_numpy(dataset.train.labels), balance).numpy()
    counts = np.pad(shown, (0, len(dataset.classes) - len(shown)))
    if isinstance(setting, Mapping):
        _check_names(setting, dataset.classes)
        weights = np.array([setting.get(name, 1.0) for name in dataset.classes])
    else:
        weights = np.maximum(counts, 1) ** (-1.0 if setting == "balanced" else -0.5)
    weights *= (counts > 0) * counts.sum() / (weights * counts).sum()
    return tuple(weights.tolist())


def _check_names(names: Mapping[str, float], classes: tuple[str, ...]) -> None:
    for name in names:
        if name not in classes:
            hint = did_you_mean(name, classes)
            listed = ", ".join(classes[:10]) + (" and more" if len(classes) > 10 else "")
            raise RecipeError(f"optim.class_weights names the class {name!r}{hint} (the data has {listed})")
