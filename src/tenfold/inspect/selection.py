"""Which unlabeled images to label first: those that the classifier is unsure about, and that differ from one another.

Greedy k-center (O. Sener and S. Savarese, "Active learning for convolutional neural networks: a core-set approach",
arXiv:1708.00489) in which each distance is multiplied by the uncertainty of the image; BADGE (J. T. Ash et al.,
arXiv:1906.03671) joins both in a similar way. It draws nothing at random.

N images, C classes, D features.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


def margins(probabilities: Values) -> NDArray[np.float64]:
    """Returns the probability of the most likely class minus that of the second, float64 [N] in [0, 1].

    Args:
        probabilities: float [N, C], C at least 2, each row summing to 1.

    Example:
        >>> margins(np.array([[0.75, 0.25], [0.5, 0.5]])).tolist()
        [0.5, 0.0]
    """
    ordered = np.sort(np.asarray(probabilities, np.float64), 1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def most_informative(probabilities: Values, features: Values, count: int) -> NDArray[np.int64]:
    """Returns the images to label first, the most informative first.

    The first one is the image with the smallest margin. Each of the next maximizes (1 − margin) × squared distance to
    the nearest image before it, where features have length 1.

    Args:
        probabilities: float [N, C], C at least 2, each row summing to 1.
        features: float [N, D].
        count: number of images to choose.

    Returns:
        int64 [min(count, N)], indices of images.

    Example:
        >>> unsure, features = np.array([[0.6, 0.4], [0.6, 0.4], [0.7, 0.3]]), np.array([[1, 0], [1, 0], [0, 1]])
        >>> most_informative(unsure, features, 2).tolist()
        [0, 2]
    """
    uncertainty = 1 - margins(probabilities)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
    distance = np.ones(len(uncertainty))  # squared, to the nearest chosen image; equal for all before the first
    left = np.ones(len(uncertainty), np.bool_)
    chosen: list[int] = []
    for _ in range(min(count, len(uncertainty))):
        score = np.where(left, uncertainty * distance, -1.0)
        if score.max() <= 0:  # only certain images and copies are left
            score = np.where(left, uncertainty, -1.0)
        best = int(score.argmax())
        chosen.append(best)
        left[best] = False
        # A rounding error of the product makes a copy's distance negative.
        distance = np.minimum(distance, np.maximum(0.0, 2 - 2 * (directions @ directions[best])))
    return np.array(chosen, np.int64)
