"""What must hold of the data before anything is trained."""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.data.decode import one_line
from tenfold.data.layout import shortened


def check_unreadable(unreadable: list[tuple[str, str]], found: int, most: float, source: str) -> None:
    """Checks that not too many pictures were left out.

    Args:
        unreadable: name and reason of each.
        found: number of pictures in the source, readable or not.
        most: the share that is tolerated, in [0, 1).
        source: what to call the source in the message.

    Raises:
        DataError: when the share is larger; with the first three reasons and the way out.
    """
    share = len(unreadable) / max(1, found)
    if share <= most:
        return
    examples = "; ".join(f"{one_line(name)}: {reason}" for name, reason in unreadable[:3])
    way_out = "mend or remove them"
    if share < 0.99:
        way_out += f", or go on without them: --set data.max_unreadable={np.ceil(share * 100) / 100:g}"
    raise DataError(
        f"{len(unreadable)} of {found} pictures in {one_line(source)} cannot be read "
        f"(at most {most:.0%} may be): {examples}; {way_out}"
    )


def check_labels(classes: tuple[str, ...], labels: dict[str, NDArray[np.int64]], source: str) -> None:
    """Checks, before anything is trained, that there is something to learn and something to test on.

    Raises:
        DataError: when there are fewer than two classes, a label is out of range, a class has no training
            picture or there is nothing to test on.
    """
    if len(classes) < 2:
        raise DataError(f"{source} has {len(classes)} class; expected two or more to tell apart")
    everything = np.fromiter(chain.from_iterable(labels.values()), dtype=np.int64)
    if len(everything) and not 0 <= everything.min() <= everything.max() < len(classes):
        raise DataError(
            f"{source} has labels from {everything.min()} to {everything.max()}; "
            f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
        )
    counts = np.bincount(labels["train"], minlength=len(classes))
    if (counts == 0).any():
        missing = [classes[label] for label in np.flatnonzero(counts == 0)]
        raise DataError(f"{source} has no readable training picture of {shortened(missing)}; add some")
    if not len(labels.get("test", ())):
        raise DataError(f"{source} has no readable test picture; add some, or remove the test folder to draw them")
