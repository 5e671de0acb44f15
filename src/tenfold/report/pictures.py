"""Words for pictures: what they are and what they were taken for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.report.names import printable


def ground_truth_lines(true_names: Sequence[str], predicted_names: Sequence[str]) -> str:
    """Returns the two lines of the CIFAR-10 tutorials, with columns that line up.

    Args:
        true_names: what each picture shows.
        predicted_names: what each was taken for; as many.

    Raises:
        ValueError: when there are more of one than of the other.

    Example:
        >>> print(ground_truth_lines(["cat", "ship", "plane"], ["cat", "ship", "ship"]))
        GroundTruth:  cat   ship  plane
        Predicted:    cat   ship  ship
    """
    pairs = [(printable(a), printable(b)) for a, b in zip(true_names, predicted_names, strict=True)]
    width = max((len(name) for pair in pairs for name in pair), default=0)
    truth = " ".join(f"{true:<{width}}" for true, _ in pairs)
    guess = " ".join(f"{predicted:<{width}}" for _, predicted in pairs)
    return f"GroundTruth:  {truth}".rstrip() + "\n" + f"Predicted:    {guess}".rstrip()


def prediction_titles(true_names: Sequence[str], predicted_names: Sequence[str]) -> list[str]:
    """Returns a title for each picture: its name, or for a wrong one the guess above the truth.

    Raises:
        ValueError: when there are more of one than of the other.

    Example:
        >>> prediction_titles(["cat", "ship"], ["cat", "plane"])
        ['cat', 'plane\\ntruth: ship']
    """
    pairs = zip(true_names, predicted_names, strict=True)
    return [true if true == guess else f"{guess}\ntruth: {true}" for true, guess in pairs]


def sample(total: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns places of some pictures, int64 [at most `count`], the same for the same seed.

    Args:
        total: pictures to choose from.
        count: pictures to choose.
        seed: of the draw.
    """
    return np.random.Generator(np.random.Philox(seed)).permutation(total)[:count]
