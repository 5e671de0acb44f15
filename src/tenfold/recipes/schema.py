"""All keys of a recipe, with their ranges and defaults."""

from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tenfold.recipes.augment_section import AugmentSection as AugmentSection
from tenfold.recipes.data_section import DataSection as DataSection
from tenfold.recipes.section import (
    ClassWeights,
    Fraction,
    IncreasingFractions,
    NotNegative,
    Positive,
    ProperFraction,
    Section,
)
from tenfold.recipes.train_section import EvaluateSection as EvaluateSection
from tenfold.recipes.train_section import TrainSection as TrainSection


class ModelSection(BaseModel):
    """`[model]`: the network and the weights that it starts from; all other keys are arguments of its builder.

    Args:
        name: of the network.
        pretrained: whether it starts from the weights that are published for it: `lite0`, and most networks of timm.
        weights: file of weights that it starts from, `.safetensors` or `.pth`; empty means none.
        weights_sha256: SHA-256 of that file; another one is refused. Empty means any; runs record it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = "quick"
    pretrained: bool = False
    weights: str = ""
    weights_sha256: str = ""

    @property
    def arguments(self) -> dict[str, object]:
        """The keys of the network itself, validated by its builder."""
        return dict(self.model_extra or {})

    @property
    def starts_from_weights(self) -> bool:
        """Whether the network starts from other than random weights."""
        return self.pretrained or bool(self.weights)

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> "ModelSection":
        if self.pretrained and self.weights:
            raise ValueError(
                f"model.pretrained = true and model.weights = {self.weights!r} both name the weights to start from; "
                "expected one of them"
            )
        return self


class OptimSection(Section):
    """`[optim]`: optimizer and learning-rate schedule. Keys of other optimizers or schedules are ignored.

    Weight decay applies to weights with at least two dimensions, not to biases and normalization weights.

    Args:
        name: `sgd`, `adam`, `adamw`, `rmsprop`, or `muon` (Muon on convolution filters, SGD on everything else).
        lr: maximum learning rate. With `sgd` a step is lr × gradient; typical values are 0.001 to 1. With `adam`,
            `adamw` and `rmsprop` the step size is about lr whatever the gradient; typical values are 0.0003 to 0.003.
        layer_decay: factor on the learning rate for each layer between a weight and the head, such as 0.8: the first
            layers of a pretrained network change least. 1 is off. Not for `muon`.
        momentum: momentum factor of `sgd` and `rmsprop`, and of SGD in `muon`.
        nesterov: whether SGD uses Nesterov momentum.
        weight_decay: L2 penalty, or with `adamw` decoupled weight decay. Not for weights updated by Muon, whose norm is
            fixed.
        beta1: for `adam` and `adamw`: decay rate of the running mean of the gradient.
        beta2: for `adam` and `adamw`: decay rate of the running mean of the squared gradient.
        rmsprop_alpha: for `rmsprop`: decay rate of the running mean of the squared gradient.
        epsilon: for `adam`, `adamw` and `rmsprop`: added to the denominator.
        muon_lr: learning rate of Muon, relative to the fixed norm of a filter.
        muon_momentum: momentum factor of Muon.
        muon_matrices: whether Muon also updates the linear layers, except the last.
        schedule: learning-rate schedule: `constant`; `step`; `linear` or `cosine` decay to `final_lr`; or `one-cycle`,
            up to `peak` and down to `final_lr`.
        warmup: fraction of the run for a linear warm-up from 0, before the schedule.
        final_lr: final learning rate of `linear`, `cosine` and `one-cycle`, as a fraction of `lr`.
        milestones: fractions of the run at which `step` lowers the learning rate.
        step_factor: factor of `step` on the learning rate at each milestone.
        peak: fraction of the run at which `one-cycle` reaches `lr`; it starts at lr / 25.
        class_weights: weights of the classes in the loss: `none`; `balanced`, in proportion to 1 / images of the class
            that an epoch shows; `sqrt`, to the square root of that; or numbers by class name, such as
            `{cat = 1.0, dog = 2.5}`, where classes left out weigh 1.
        label_smoothing: fraction of the target that is spread over all classes.
        head_l2: with `train.layers = "head"` or `"head-then-all"`: strength of the L2 penalty of the logistic
            regression; 0 chooses it by cross-validation within the training images.
        clip_norm: largest norm of all gradients together; larger ones are scaled down to it. 0 is off.
        ema: decay of an exponential moving average of the weights per step, such as 0.999. The average is evaluated and
            saved as the model. 0 is off.
    """

    name: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    lr: Positive = 0.001
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
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
    milestones: IncreasingFractions = (0.5, 0.75)
    step_factor: ProperFraction = 0.1
    peak: ProperFraction = 0.3
    class_weights: ClassWeights = "none"
    label_smoothing: Fraction = 0.0
    head_l2: NotNegative = 0.0
    clip_norm: NotNegative = 0.0
    ema: Fraction = 0.0

    @property
    def lower_lr(self) -> float:
        """A rate to go on with when the loss diverges: a tenth, or a usual one where that is still too high."""
        return min(self.lr / 10, 0.01 if self.name in ("sgd", "muon") else 0.001)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimSection":
        if self.name in ("sgd", "muon") and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self

    @model_validator(mode="after")
    def _no_layer_decay_with_muon(self) -> "OptimSection":
        if self.name == "muon" and self.layer_decay != 1:
            raise ValueError(
                f"optim.layer_decay = {self.layer_decay:g} does not work with optim.name = 'muon', whose filters have "
                "learning rates of their own; expected 1, or optim.name = 'sgd', 'adam', 'adamw' or 'rmsprop'"
            )
        return self

    @model_validator(mode="after")
    def _warmup_comes_first(self) -> "OptimSection":
        first = {"step": ("milestones", self.milestones[0]), "one-cycle": ("peak", self.peak)}.get(self.schedule)
        if first is not None and first[1] <= self.warmup:
            raise ValueError(
                f"optim.{first[0]} at {first[1]:g} of the run is not after optim.warmup = {self.warmup:g}; "
                "make the warm-up shorter"
            )
        return self


HEAD_KEYS = ("head_l2", "class_weights", "label_smoothing")
"""Keys of `[optim]` that a head which is fitted obeys."""

NOT_FOR_A_HEAD = ("data.augment.mixup", "data.augment.cutmix", "data.pruning", "optim.ema", "train.progressive")
"""Keys that a head, fitted to the features of single images, cannot obey."""


class Recipe(Section):
    """A complete recipe. `Recipe()` has all defaults.

    Example:
        >>> Recipe().train.batch_size
        4
    """

    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    optim: OptimSection = OptimSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()

    @model_validator(mode="before")
    @classmethod
    def _prepare_images_for_the_weights(cls, values: Any) -> Any:
        """Prepares images as for the training of the weights, where nothing else is set."""
        model, data = (values.get(name, {}) for name in ("model", "data")) if isinstance(values, dict) else (None, None)
        if not isinstance(model, dict) or not isinstance(data, dict):
            return values
        if not model.get("pretrained") and not model.get("weights"):
            return values
        return {**values, "data": {"fit": "weights", "normalize": "weights", **data}}

    @model_validator(mode="after")
    def _weights_exist(self) -> "Recipe":
        for key in ("fit", "normalize"):
            if getattr(self.data, key) == "weights" and not self.model.starts_from_weights:
                raise ValueError(
                    f"data.{key} is 'weights', but the network starts from random ones; set model.pretrained = true or "
                    f"model.weights, or another data.{key}"
                )
        return self

    @model_validator(mode="after")
    def _head_can_be_fitted(self) -> "Recipe":
        """Refuses what a head, fitted to the features of single images, cannot obey."""
        if self.train.layers == "all" and self.optim.head_l2:
            raise ValueError(
                f"optim.head_l2 = {self.optim.head_l2:g} is set, but train.layers = 'all' fits no head; leave it out, "
                "or set train.layers = 'head' or 'head-then-all'"
            )
        if self.train.layers != "head":
            return self
        for key in NOT_FOR_A_HEAD:
            if attrgetter(key)(self):
                raise ValueError(
                    f"{key} is set, but train.layers = 'head' fits the head to the features of whole images; leave it "
                    "out, or train all layers"
                )
        if self.train.duration.unit == "s":
            raise ValueError(
                f"train.duration is {self.train.duration}, but train.layers = 'head' has no steps that take time: "
                'expected how often each image is shown, e.g. "2 epochs"'
            )
        return self
