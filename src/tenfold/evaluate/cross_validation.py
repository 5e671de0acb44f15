"""The interval of an out-of-fold accuracy, which Wilson's on all images would make too narrow. N images, K folds.

C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003) 239–281. J. N. K. Rao and
A. J. Scott, "A simple method for the analysis of clustered binary data", Biometrics 48 (1992) 577–585. E. L. Korn and
B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
survey data", Survey Methodology 24 (1998) 193–201.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.spread import t_quantile


def out_of_fold_interval(
    correct: NDArray[np.bool_], folds: int, groups: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """Returns a 95 % interval of the accuracy of a recipe on new images, from predictions out of fold.

    It is Wilson's with fewer images than there are, see `effective_images`.

    Args:
        correct: bool [N], whether each image was predicted correctly by the network that was not trained on it.
        folds: K, at least 2.
        groups: int64 [N], number of each image's group; None for independent images.

    Example:
        >>> correct = np.arange(100) < 80
        >>> [round(bound, 3) for bound in out_of_fold_interval(correct, 5)]
        [0.677, 0.884]
    """
    images = effective_images(correct, folds, groups)
    return wilson(float(correct.mean()) * images, images)


def effective_images(correct: NDArray[np.bool_], folds: int, groups: NDArray[np.int64] | None = None) -> float:
    """Returns the number of independent test images that would tell as much as N predictions out of fold.

    Folds share most of their training images, so their accuracies are correlated, by about 1 / K (Nadeau and Bengio).
    The variance of their mean is 2 − 1 / K times as large as that of independent ones. Images of a group are alike: the
    ratio of the variance between groups to the binomial one divides N too (Rao and Scott), and few groups know it
    badly, which Student's t accounts for (Korn and Graubard).

    Args:
        correct: see `out_of_fold_interval`.
        folds: K.
        groups: see `out_of_fold_interval`.
    """
    images = len(correct) / (2 - 1 / folds)
    if groups is None:
        return images
    sizes = np.bincount(groups)
    sizes, hits = sizes[sizes > 0], np.bincount(groups, correct)[sizes > 0]
    if len(sizes) in (1, len(correct)):
        return images if len(sizes) > 1 else 1.0
    accuracy = float(correct.mean())
    binomial = accuracy * (1 - accuracy) * len(correct)
    between = float(((hits - accuracy * sizes) ** 2).sum()) * len(sizes) / (len(sizes) - 1)
    # Without an error, or without a hit, the groups do not show how alike their images are: each counts as one image.
    effect = max(1.0, between / binomial) if binomial else len(correct) / len(sizes)
    few = (t_quantile(len(sizes) - 1) / t_quantile(math.inf)) ** 2
    return max(1.0, images / (effect * few))
