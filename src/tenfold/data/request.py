"""The data settings of a recipe or a command, checked."""

from dataclasses import dataclass
from typing import Literal

from tenfold.core.errors import DataError
from tenfold.core.text import escaped, size_text
from tenfold.data.decode.fit_rule import parse_fit, stored_size
from tenfold.data.decode.preprocessing import MAX_SIDE, MIN_SIDE
from tenfold.data.decode.tasks import MAX_KEPT_SIDE
from tenfold.data.sources.groups import GroupRule, parse_group, with_group_column
from tenfold.data.sources.rules import SourceRules, parse_labels, parse_splits
from tenfold.data.store.shards import SHARD_BYTES

BUILT_IN = ("auto", "shapes", "cifar10", "cifar100")
"""Names of datasets that are no paths."""

_MAX_STORED_SIDE = 2 * MAX_SIDE


@dataclass(frozen=True)
class DataRequest:
    """Which data to prepare, and how; the fields are the keys of a recipe's `[data]` section.

    Args:
        source: `auto`, `shapes`, `cifar10`, `cifar100`, or the path of a folder or an archive of class folders.
        labels: where labels come from, see `parse_labels`; empty for class folders.
        splits: split by folder, such as `a=train,b=test`; empty to recognize them by their names.
        classes_are_folders: whether the outer folders are classes, whatever their names.
        data_dir: folder where CIFAR is found or downloaded to; empty means the cache folder.
        image_size: side of a square in pixels, (height, width) in pixels, or `auto`.
        fit: `crop`, `pad` or `stretch`, and more: see `fit_image`.
        val_fraction: fraction of train that becomes the validation split, in [0, 1); ignored where the source has one.
        test_fraction: fraction that is drawn for testing where the source has no test split, in (0, 1).
        split_seed: seed of all draws.
        group: which images no draw tears apart, see `parse_group`; empty means the groups that labels name.
        folds: number of folds of a cross-validation; 0 means none.
        fold: the fold that is tested, from 1; 0 trains on all folds.
        max_unreadable: fraction of unreadable images above which preparing fails, in [0, 1).
        exclude: CSV file that lists training images to leave out, see `labels.py`; empty means none.
        relabel: CSV file that lists training images with new labels, see `labels.py`; empty means none.
        store: `cache` decodes images once and keeps them, `none` decodes them each time, see `unstored.py`.
        shard_size: bytes of images above which a split is stored in several files, and of each such file.

    Raises:
        DataError: when the image size, the fit, the labels or the splits are invalid, or a built-in dataset is to be
            read another way.
    """

    source: str = "auto"
    labels: str = ""
    splits: str = ""
    classes_are_folders: bool = False
    data_dir: str = ""
    image_size: Literal["auto"] | int | tuple[int, int] = "auto"
    fit: str = "crop"
    val_fraction: float = 0.0
    test_fraction: float = 0.2
    split_seed: int = 0
    group: str = ""
    folds: int = 0
    fold: int = 0
    max_unreadable: float = 0.05
    exclude: str = ""
    relabel: str = ""
    store: Literal["cache", "none"] = "cache"
    shard_size: int = SHARD_BYTES

    def __post_init__(self) -> None:
        if not self.source.strip():  # an unset variable in a script; as a path it would be the current folder
            raise DataError(
                "data.source is empty; expected a dataset, a folder, an archive or another source of images"
            )
        if self.store == "none" and self.source in BUILT_IN:
            raise DataError(
                f'data.store = "none" reads folders of images and tar files of WebDataset, not {self.source}; leave it '
                "out"
            )
        parse_fit(self.fit)
        sides = self.size or (MIN_SIDE, MIN_SIDE)
        if not MIN_SIDE <= min(sides) <= max(sides) <= MAX_SIDE:
            raise DataError(f"data.image_size is {self.image_size}; expected {MIN_SIDE} to {MAX_SIDE} pixels, or auto")
        if max(stored := stored_size(self.size or (MAX_KEPT_SIDE, MAX_KEPT_SIDE), self.fit)) > _MAX_STORED_SIDE:
            raise DataError(
                f"data.fit is {self.fit}, for which images of {size_text(stored)} are stored; expected at most "
                f"{_MAX_STORED_SIDE} pixels per side: a larger fraction, or a smaller data.image_size"
            )
        if not 0 <= self.fold <= self.folds or self.folds == 1:
            raise DataError(
                f"data.fold is {self.fold} and data.folds {self.folds}; expected 2 folds or more, and one of them or 0"
            )
        rule = self.group_rule
        if self.source in BUILT_IN and (rule.pattern is not None or rule.column):
            raise DataError(
                f"data.group is '{escaped(self.group)}', but the images of {self.source} have no file names and no "
                "label table; expected duplicates"
            )
        rules = self.rules  # reports what is invalid before any file is read
        if self.source in BUILT_IN and rules != SourceRules(max_unmatched=self.max_unreadable):
            raise DataError(
                f"{self.source} has its own labels and splits, so data.labels, data.splits and "
                "data.classes_are_folders do not apply; leave them out, or name a folder or an archive with --data"
            )

    @property
    def group_rule(self) -> GroupRule:
        """Which images belong together."""
        return parse_group(self.group)

    @property
    def rules(self) -> SourceRules:
        """How the files of the source are read."""
        return SourceRules(
            labels=with_group_column(parse_labels(self.labels), self.group_rule.column),
            splits=parse_splits(self.splits),
            classes_are_folders=self.classes_are_folders,
            max_unmatched=self.max_unreadable,
        )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels, or None for `auto`."""
        if self.image_size == "auto":
            return None
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size
