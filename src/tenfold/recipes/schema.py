"""Every key a recipe may hold, with its range and default."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from tenfold.recipes.durations import Duration

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Pixels = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=8, le=1024)]
# TOML knows arrays only, and a strict schema takes no array for a pair.
HeightWidth = Annotated[
    tuple[Side, Side], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]
Length = Annotated[Duration, BeforeValidator(Duration.parse), PlainSerializer(str)]


class Section(BaseModel):
    """One table of a recipe: unknown keys are refused, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


class AugmentSection(Section):
    """`[data.augment]`: what happens to training pictures, drawn anew for each picture and epoch.

    Args:
        flip: mirror left and right: at random, or `alternating` (every picture once each way in two epochs).
        shift: reflect-pad by so many pixels and crop at random.
        cutout: side of a square that is greyed out at random, in pixels.
        mixup: blend each picture and its target with those of another; the share is drawn from Beta(mixup, mixup),
            so 0.2 leaves most pictures near one of the two, and with 1 any share is as likely; 0 is off.
        cutmix: paste a rectangle of another picture instead; the area kept is drawn from Beta(cutmix, cutmix).
            With both, each picture gets one or the other.
    """

    flip: Literal["none", "random", "alternating"] = "none"
    shift: Pixels = 0
    cutout: Pixels = 0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class DataSection(Section):
    """`[data]`: which pictures, and how they are brought to size.

    Args:
        source: `auto`, `shapes`, `cifar10`, `cifar100`, a folder or an archive of class folders.
        data_dir: folder in which a download or an existing copy of CIFAR lies; empty means the cache folder.
        image_size: pixels (square), `[height, width]`, or `auto`: the pictures' own size where all agree
            and it is at most 64, else one that suits them.
        fit: how a picture of another shape is brought to size: centre `crop`, `pad` or `stretch`.
        normalize: `half` is (x − 0.5) / 0.5; `data` uses mean and deviation of the training pixels.
        val_fraction: share of the training pictures set apart for validation, class by class.
        test_fraction: the same for testing, where the source has no test split.
        split_seed: seed of those draws.
        max_unreadable: share of unreadable files above which preparing the data fails.
        augment: see `AugmentSection`.
    """

    source: str = "auto"
    data_dir: str = ""
    image_size: Literal["auto"] | Side | HeightWidth = "auto"
    fit: Literal["crop", "pad", "stretch"] = "crop"
    normalize: Literal["half", "data"] = "half"
    val_fraction: Fraction = 0.0
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: int = 0
    max_unreadable: Fraction = 0.05
    augment: AugmentSection = AugmentSection()


class ModelSection(BaseModel):
    """`[model]`: a network's name and, as further keys, the arguments of its builder."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = "quick"

    @property
    def arguments(self) -> dict[str, object]:
        """The keys beside `name`; the network's builder checks them."""
        return dict(self.model_extra or {})


class OptimSection(Section):
    """`[optim]`: how weights change.

    Args:
        name: `sgd`, or `muon` (Muon on convolution filters, SGD on everything else).
        lr: learning rate of SGD.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        weight_decay: of SGD, applied to weights of two or more dimensions, decoupled from nothing else.
        muon_lr: learning rate of Muon.
        muon_momentum: momentum of Muon.
        schedule: how learning rates change over the run.
        warmup: share of the run over which learning rates rise from 0.
        final_lr: what the `linear` schedule ends at, as a share of the learning rate.
        label_smoothing: share of the target that is spread over all classes.
    """

    name: Literal["sgd", "muon"] = "sgd"
    lr: Positive = 0.001
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    muon_lr: Positive = 0.24
    muon_momentum: Fraction = 0.6
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Fraction = 0.0
    final_lr: Fraction = 0.0
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimSection":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self


class TrainSection(Section):
    """`[train]`: how long, on what, and what is written on the way.

    Args:
        duration: `"2 epochs"`, `"500 steps"` or `"60 s"` of training.
        min_steps: at least so many steps are taken, however short an epoch is.
        batch_size: pictures in a step; a set smaller than 4 batches gets smaller ones.
        shuffle: whether each epoch has an order of its own; without, all share the stored one, or a mixed one where
            pictures are stored class by class.
        drop_last: whether a last batch smaller than the others is left out.
        seed: of initial weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` is bfloat16 where the hardware computes in it, else float32.
        threads: CPU threads; 0 means all cores.
        onednn: whether convolutions on a CPU go through oneDNN; slower for a handful of small pictures.
        channels_last: whether pictures lie in memory with their channels side by side; faster, except with
            few channels.
        log_every: steps between two lines of the log; 0 means ten an epoch.
        checkpoint_every: steps or seconds between two checkpoints, beside the one that ends each epoch.
        early_stop: epochs without a better validation accuracy after which training stops; 0 means never.
    """

    duration: Length = Duration(2, "epochs")
    min_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1)] = 4
    shuffle: bool = True
    drop_last: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=0)] = 0
    onednn: bool = True
    channels_last: bool = True
    log_every: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Length = Duration(60, "s")
    early_stop: Annotated[int, Field(ge=0)] = 0


class EvaluateSection(Section):
    """`[evaluate]`: how pictures are judged.

    Args:
        batch_size: pictures judged at once.
        mirror: whether logits are averaged over each picture and its mirror image.
    """

    batch_size: Annotated[int, Field(ge=1)] = 500
    mirror: bool = False


class Recipe(Section):
    """A complete recipe; `Recipe()` holds every default.

    Example:
        >>> Recipe().train.batch_size
        4
    """

    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    optim: OptimSection = OptimSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
