"""Out-of-fold predictions from the features of a frozen, pretrained network: a linear layer is all that is fitted.

N images, M rows (each image and its mirror image), C classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.progress import Progress
from tenfold.data.splits import stratified_folds
from tenfold.data.types import Split
from tenfold.engine.cross_fit import DEFAULT_STRENGTH, STRENGTHS, Shown, cross_fit
from tenfold.inspect.out_of_fold import check_folds, report_fold
from tenfold.optim.logistic import Standardized, fit_logistic
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor

_STRENGTHS = STRENGTHS[:5]
"""Wrong labels ask for a strong penalty; weak ones take the longest to fit."""


def shown_twice(classifier: Classifier, split: Split, progress: Progress) -> Shown:
    """Returns the features of the images of a split and of their mirror images.

    Args:
        classifier: whose network computes them; its head is not used.
        split: N images.
        progress: receives how many features are computed.

    Raises:
        ModelError: when the network does not end in one linear layer.
    """
    extractor = FeatureExtractor(classifier)
    shown = [extractor.all_of(split.images, progress.prepare, mirrored=mirrored) for mirrored in (False, True)]
    labels, indices = torch.from_numpy(split.labels), torch.arange(len(split))
    return Shown(torch.from_numpy(np.concatenate(shown)), torch.cat([labels, labels]), torch.cat([indices, indices]))


def feature_logits(shown: Shown, num_classes: int, folds: int, seed: int, progress: Progress) -> NDArray[np.float32]:
    """Returns logits for every image from a logistic regression on the features of the other folds.

    The strength of its L2 penalty is chosen by cross-validation. Logits are averaged over the rows of an image.

    Args:
        shown: features of N images.
        num_classes: C.
        folds: number of folds, in [2, N].
        seed: of the folds.
        progress: receives a message for each fold.

    Returns:
        Logits, float32 [N, C].

    Raises:
        DataError: when there are fewer images than folds.
    """
    num_images = int(shown.images.max()) + 1
    labels = np.zeros(num_images, np.int64)
    labels[shown.images.numpy()] = shown.labels.numpy()
    check_folds(folds, num_images)
    plain = shown.at(torch.arange(num_images))  # half of the rows choose as well, in half of the time
    found = cross_fit(plain, num_classes, seed=seed, strengths=_STRENGTHS)
    strength = DEFAULT_STRENGTH if found is None else found.l2
    fold_of = torch.from_numpy(stratified_folds(labels, folds, seed))
    rows = Standardized(shown.features).rows.float()  # M
    row_fold = fold_of[shown.images]  # M
    logits = torch.zeros(num_images, num_classes)
    for fold in range(folds):
        held_out = row_fold == fold
        weight, bias = fit_logistic(rows[~held_out], shown.labels[~held_out], num_classes, strength)
        logits.index_add_(0, shown.images[held_out], rows[held_out] @ weight.T + bias)
        report_fold(progress, fold, folds, logits.numpy(), labels, np.flatnonzero(fold_of.numpy() == fold))
    return np.asarray((logits / shown.images.bincount()[:, None]).numpy())
