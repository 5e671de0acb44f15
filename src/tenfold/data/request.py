"""What is asked of the data, whoever asks: the command line, a recipe, a Python program."""

from dataclasses import dataclass
from typing import Literal

from tenfold.core.errors import DataError
from tenfold.data.decode.pixels import LARGEST, SMALLEST
from tenfold.data.decode.preprocessing import FITS


@dataclass(frozen=True)
class DataRequest:
    """What is asked of the data; the keys are those of a recipe's `[data]`, and mean the same.

    Args:
        source: `auto`, `shapes`, `cifar10`, `cifar100`, a folder or an archive of class folders.
        data_dir: where CIFAR lies or is downloaded to; empty means the cache folder.
        image_size: pixels (square), height and width, or `auto`.
        fit: `crop`, `pad` or `stretch`.
        val_fraction: share of train set apart for validation, in [0, 1); ignored where the source has a val split.
        test_fraction: share drawn for testing where the source has no test split, in (0, 1).
        split_seed: seed of those draws.
        max_unreadable: share of unreadable pictures above which preparing fails, in [0, 1).
        exclude: a list of training pictures to leave out, see `labels.py`; empty means none.
        relabel: a list of training pictures whose suggested class becomes their label; empty means none.

    Raises:
        DataError: when the size or the fit makes no sense.
    """

    source: str = "auto"
    data_dir: str = ""
    image_size: Literal["auto"] | int | tuple[int, int] = "auto"
    fit: str = "crop"
    val_fraction: float = 0.0
    test_fraction: float = 0.2
    split_seed: int = 0
    max_unreadable: float = 0.05
    exclude: str = ""
    relabel: str = ""

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise DataError(f"data.fit is '{self.fit}'; expected {', '.join(FITS)}")
        sides = self.size or (SMALLEST, SMALLEST)
        if not SMALLEST <= min(sides) <= max(sides) <= LARGEST:
            raise DataError(f"data.image_size is {self.image_size}; expected {SMALLEST} to {LARGEST} pixels, or auto")

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, or None where they are to be chosen."""
        if self.image_size == "auto":
            return None
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size
