"""Every key a recipe may hold, with its range and default."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from tenfold.recipes.durations import Duration

Fraction = Annotated[float, Field(ge=0, lt=1)]
ProperFraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Pixels = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=8, le=1024)]
# TOML knows arrays only, and a strict schema takes no array for a pair.
HeightWidth = Annotated[
    tuple[Side, Side], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]
Length = Annotated[Duration, BeforeValidator(Duration.parse), PlainSerializer(str)]


def _rising_shares(value: object) -> object:
    shares = value if isinstance(value, list | tuple) else ()
    numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in shares)
    if not shares or not numbers or not all(a < b for a, b in pairwise((0, *shares, 1))):
        raise ValueError(f"found {repr(value)[:80]}, expected rising shares of the run, e.g. [0.5, 0.75]")
    return tuple(map(float, shares))


RisingShares = Annotated[tuple[float, ...], BeforeValidator(_rising_shares)]


def _course(value: object) -> object:
    pairs: Sequence[Any] = value if isinstance(value, list | tuple) else [None]
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"found {repr(value)[:80]}, expected pairs [until, size], e.g. [[0.5, 0.625]]")
    if not pairs:
        return ()
    _rising_shares([until for until, _ in pairs])
    return tuple((float(until), _share(size)) for until, size in pairs)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"found {value!r}, expected a share of the pictures' size between 0 and 1")
    return float(value)


Course = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_course)]


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
        first_epoch: whether pictures are changed in the first epoch too; short runs learn more from plain ones, which
            are new then anyway.
    """

    flip: Literal["none", "random", "alternating"] = "none"
    shift: Pixels = 0
    cutout: Pixels = 0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    first_epoch: bool = True


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
        exclude: CSV of training pictures to leave out, such as `tenfold suspects` writes; empty means none.
        relabel: CSV of training pictures that get the class under `suggested` as their label; empty means none.
        pruning: share of the training pictures, those of the lowest losses, that is shown six times more rarely than
            the others, from the second epoch on; for runs of many epochs on labels that can be trusted.
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
    exclude: str = ""
    relabel: str = ""
    pruning: Fraction = 0.0
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
    """`[optim]`: how weights change. What the chosen optimiser or schedule has no use for is left unused.

    Weight decay shrinks weights of two or more dimensions, never biases and normalisation weights.

    Args:
        name: `sgd`, `adam`, `adamw`, `rmsprop`, or `muon` (Muon on convolution filters, SGD on everything else).
        lr: learning rate, at its highest. A step is the gradient times so much with `sgd`, which likes 0.001 to 1; with
            `adam`, `adamw` and `rmsprop` it is about so long whatever the gradient, and 0.0003 to 0.003 is usual.
        momentum: of `sgd` and `rmsprop`, and of SGD beside Muon: share of the former update that is kept.
        nesterov: whether SGD looks ahead.
        weight_decay: times the weight is added to the gradient; with `adamw`, times the learning rate and the weight is
            taken off the weight; weights that Muon updates have a fixed norm and need none.
        beta1: of `adam` and `adamw`: share of the mean gradient that is kept.
        beta2: of `adam` and `adamw`: share of the mean squared gradient that is kept.
        rmsprop_alpha: of `rmsprop`: share of the mean squared gradient that is kept.
        epsilon: of `adam`, `adamw` and `rmsprop`: added to the root of the mean square.
        muon_lr: learning rate of Muon: how far a step turns a filter, which has a fixed norm.
        muon_momentum: momentum of Muon.
        muon_matrices: whether Muon also updates linear layers, without the last.
        schedule: how learning rates change over the run: `constant`; `step`; in a straight line (`linear`) or along
            half a cosine (`cosine`) down to `final_lr`; or up to `peak` and down to `final_lr` again (`one-cycle`).
        warmup: share of the run over which learning rates rise from 0, before the schedule begins.
        final_lr: what `linear`, `cosine` and `one-cycle` end at, as a share of the learning rate.
        milestones: shares of the run at which `step` falls.
        step_factor: by which `step` multiplies the learning rate at each milestone.
        peak: share of the run at which `one-cycle` reaches the learning rate; it begins at 1/25 of it.
        label_smoothing: share of the target that is spread over all classes.
        ema: share of the former average that an exponential moving average of the weights keeps at each step, e.g.
            0.999; the average is what is judged and saved as the model. 0 is off.
    """

    name: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    lr: Positive = 0.001
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    rmsprop_alpha: Fraction = 0.99
    epsilon: Positive = 1e-8
    muon_lr: Positive = 0.24
    muon_momentum: Fraction = 0.6
    muon_matrices: bool = False
    schedule: Literal["constant", "step", "linear", "cosine", "one-cycle"] = "constant"
    warmup: Fraction = 0.0
    final_lr: Fraction = 0.0
    milestones: RisingShares = (0.5, 0.75)
    step_factor: ProperFraction = 0.1
    peak: ProperFraction = 0.3
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimSection":
        if self.name in ("sgd", "muon") and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self

    @model_validator(mode="after")
    def _warmup_comes_first(self) -> "OptimSection":
        turn = {"step": ("milestones", self.milestones[0]), "one-cycle": ("peak", self.peak)}.get(self.schedule)
        if turn is not None and turn[1] <= self.warmup:
            raise ValueError(
                f"optim.{turn[0]} at {turn[1]:g} of the run is not after optim.warmup = {self.warmup:g}; "
                "make the warm-up shorter"
            )
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
        threads: CPU threads; 0 means all cores, or fewer where measuring a few steps shows that they are faster.
        onednn: whether convolutions on a CPU go through oneDNN; slower for a handful of small pictures.
        channels_last: whether pictures lie in memory with their channels side by side; faster, except with
            few channels.
        log_every: steps between two lines of the log; 0 means ten an epoch.
        checkpoint_every: steps or seconds between two checkpoints, beside the one that ends each epoch.
        early_stop: epochs without a better validation accuracy after which training stops; 0 means never.
        evaluate_every: steps or share of an epoch after which the validation pictures are judged, at most an epoch.
        target: validation accuracy at which training stops, at the first evaluation that reaches it; 0 means never.
        progressive: pairs `[until, size]`: until which share of the run pictures are learnt from at which share of
            their height and width; small pictures cost a fraction of the time.
        execution: how a step is carried out: `eager`, operation by operation; `compiled`, as one program, which the
            networks of the tutorials can be on a CPU, and whatever SGD or Muon trains on a CUDA GPU, or with layers of
            a compiled program, as 3×3 convolutions in bfloat16 on a CPU can be; `auto` measures both, where both can be
            had, and takes the faster one.
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
    evaluate_every: Length = Duration(1, "epochs")
    target: Fraction = 0.0
    progressive: Course = ()
    execution: Literal["auto", "eager", "compiled"] = "auto"


class EvaluateSection(Section):
    """`[evaluate]`: how pictures are judged.

    Args:
        batch_size: pictures judged at once; 0 is what suits the device.
        views: whose logits are averaged: of the picture alone, of it and its `mirror` image, or of six `shifts`, which
            are those two and both again moved by a pixel each way. The other views cost as much as the first, each.
        unsure_below: probability, in (0, 1], of the likeliest class by the plain view; only pictures that stay below it
            are given the other views. With 1, all are.
    """

    batch_size: Annotated[int, Field(ge=0)] = 0
    views: Literal["plain", "mirror", "shifts"] = "plain"
    unsure_below: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _read_former_keys(cls, values: Any) -> Any:
        """Reads the recipe of a run from when there was `mirror = true` in the place of `views`."""
        if not isinstance(values, dict) or not isinstance(values.get("mirror"), bool) or "views" in values:
            return values
        rest = {key: value for key, value in values.items() if key != "mirror"}
        return {**rest, "views": "mirror" if values["mirror"] else "plain"}


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
