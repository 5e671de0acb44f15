"""The keys of a recipe's `[data]`: the dataset, its splits, how images are prepared and shown."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenfold.data.store.shards import MIN_SHARD_BYTES, SHARD_BYTES
from tenfold.recipes.augment_section import AugmentSection
from tenfold.recipes.section import FitRule, Fraction, HeightWidth, Normalization, Section, Side


class DataSection(Section):
    """`[data]`: the dataset, its splits and the image size.

    Args:
        source: `auto`, `shapes`, `cifar10`, `cifar100`, a folder or an archive of class folders.
        labels: a table, or `name:REGEX` for file names (docs/data.md); empty for class folders.
        splits: split by folder, e.g. `a=train,b=test`; empty to recognize splits by the names of folders.
        classes_are_folders: whether the outer folders are classes, also where they look like splits.
        data_dir: folder for downloads, or with a copy of CIFAR; empty means the cache folder.
        image_size: pixels (square), `[height, width]`, or `auto`: that of pretrained weights; without them the original
            size if all images have the same and it is at most 64, else a suitable one.
        fit: how images of another shape are resized: center `crop`, `pad` or `stretch`; with `crop:0.875` the network
            sees this fraction of the sides of the largest crop, and random crops have the rest too; a filter other
            than bicubic follows a colon, as in `crop:0.95:bilinear`; `weights` is the rule of the pretrained weights,
            and the default with them.
        normalize: `half` is (x − 0.5) / 0.5; `data` uses mean and std of the training pixels; `weights` those of the
            pretrained weights, and is the default with them; or `{mean = [r, g, b], std = [r, g, b]}`.
        val_fraction: fraction of the training images in the validation split, stratified by class.
        test_fraction: fraction of the images in the test split if the source has none, stratified by class.
        split_seed: seed of the splits.
        group: which images stay in one split: a regular expression for paths whose group names it, such as
            `(patient[0-9]+)`; the column of a label table; `duplicates`; `none`. Empty means the groups of the labels.
        folds: number of folds of a cross-validation, as `--folds` sets it; 0 means none.
        fold: the fold that is tested, from 1; 0 trains on all folds.
        max_unreadable: maximum fraction of unreadable files; more are an error.
        exclude: CSV file of training images to leave out, as from `tenfold suspects`; empty means none.
        relabel: CSV file of training images with new labels in the column `suggested`; empty means none.
        store: `cache` decodes images once and keeps them in the cache folder; `none` decodes them each time, from a
            folder or tar files of WebDataset, where the disk has no room for a copy.
        shard_size: bytes of images above which a split is stored in several files, and of each such file.
        window: 0 shuffles all training images among each other; with another number only so many at a time, which are
            read from a few places, for disks that are slow to seek.
        pruning: fraction of the training images, those with the lowest losses, that is used six times less often from
            the second epoch on; for long runs on data with reliable labels.
        balance: how far each epoch evens out the classes: 0 shows images as often as they are stored, 1 every class
            equally often. Epochs keep their length; images of small classes are shown several times.
        augment: see `AugmentSection`.
    """

    source: str = "auto"
    labels: str = ""
    splits: str = ""
    classes_are_folders: bool = False
    data_dir: str = ""
    image_size: Literal["auto"] | Side | HeightWidth = "auto"
    fit: FitRule = "crop"
    normalize: Normalization = "half"
    val_fraction: Fraction = 0.0
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: int = 0
    group: str = ""
    folds: Annotated[int, Field(ge=0)] = 0
    fold: Annotated[int, Field(ge=0)] = 0
    max_unreadable: Fraction = 0.05
    exclude: str = ""
    relabel: str = ""
    store: Literal["cache", "none"] = "cache"
    shard_size: Annotated[int, Field(ge=MIN_SHARD_BYTES)] = SHARD_BYTES
    window: Annotated[int, Field(ge=0)] = 0
    pruning: Fraction = 0.0
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    augment: AugmentSection = AugmentSection()

    @model_validator(mode="after")
    def _one_rule_for_repetitions(self) -> "DataSection":
        if self.balance and self.pruning:
            raise ValueError(
                f"data.balance = {self.balance:g} and data.pruning = {self.pruning:g} both decide how often an image "
                "is shown; expected one of them"
            )
        if self.window and (self.balance or self.pruning):
            other = "balance" if self.balance else "pruning"
            raise ValueError(
                f"data.window = {self.window} shows every image once, and data.{other} shows some more often; expected "
                "one of them"
            )
        return self
