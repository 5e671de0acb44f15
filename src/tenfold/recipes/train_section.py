"""`[train]` and `[evaluate]` of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tenfold.recipes.durations import Duration
from tenfold.recipes.section import Fraction, ImageSizeSchedule, Length, Section


class TrainSection(Section):
    """`[train]`: duration, hardware, logging and checkpoints.

    Args:
        layers: which layers are trained: `all`; `head`: the last one alone, as a logistic regression on the features of
            the other layers, which are computed once and stay as they are, so that `duration` is how often each image
            is shown; `head-then-all`: first the head, then all layers in steps.
        duration: training time: `"2 epochs"`, `"500 steps"` or `"60 s"`.
        min_steps: minimum number of steps, for small datasets; 0 where the user sets `duration` alone.
        batch_size: images per step. Datasets of fewer than 4 batches get smaller batches.
        micro_batch: largest number of images that one forward and backward pass of all processes has; a batch has as
            many passes as it needs, and their gradients add up to its own. It saves memory, and batch norm uses the
            images of a pass. 0 means the whole batch.
        shuffle: whether to shuffle in each epoch. Otherwise all epochs use the stored order, or one fixed random order
            if images are stored class by class.
        drop_last: whether to drop an incomplete last batch.
        seed: seed of initial weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` is bfloat16 if the hardware supports it, else float32.
        threads: CPU threads; 0 means all cores, or fewer if a measurement of a few steps shows that these are faster.
        onednn: whether convolutions on a CPU use oneDNN; slower for small batches of small images.
        frozen_batch_norm: whether batch norms keep the mean and variance of pretrained weights, which those of a few
            images are no match for; their scales and offsets are trained.
        batch_norm: with several processes: `synchronized` normalizes by the images of all of them, as one process
            would; `local` by the images of each one, which saves a message per layer. See docs/processes.md.
        reduce: with several processes: how their gradients are added up: `ddp` while the backward pass goes on, by
            PyTorch's DistributedDataParallel; `flat` in one message after it; `auto` measures both and uses the faster
            one.
        channels_last: whether to use the channels-last memory format; faster, except with few channels.
        log_every: steps between two rows of the log; 0 means ten rows per epoch.
        checkpoint_every: steps or seconds between two checkpoints, besides the one after each epoch.
        monitor: figure of the validation split that chooses the best model and that `early_stop` follows: `accuracy`,
            `balanced_accuracy`, `macro_f1`, `roc_auc_ovr` or `loss`.
        early_stop: number of epochs without a better `monitor` after which training stops; 0 means never.
        evaluate_every: steps or fraction of an epoch between two evaluations on the validation split, at most one
            epoch.
        target: validation accuracy at which training stops; 0 means never.
        progressive: progressive resizing: pairs `[until, size]`. Until this fraction of the run, images are trained at
            this fraction of their height and width, which takes less time.
        execution: how steps are executed: `eager`; `compiled`: as one compiled program (tutorial networks on a CPU),
            with compiled layers (3×3 convolutions in bfloat16 on a CPU) or as a CUDA graph (SGD and Muon); `auto`
            measures the available ones and uses the faster one.
        fuse: whether layers are fused into fewer kernels on a CUDA GPU: steps take less time, after a compilation of up
            to a minute for each image size. No effect elsewhere.
        deterministic: whether the same seed gives the same bits on a CUDA GPU. Otherwise the fastest convolutions are
            measured and used, which may be others in the next run, and a resumed run ends with slightly other weights.
    """

    layers: Literal["all", "head", "head-then-all"] = "all"
    duration: Length = Duration(2, "epochs")
    min_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1)] = 4
    micro_batch: Annotated[int, Field(ge=0)] = 0
    shuffle: bool = True
    drop_last: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=0)] = 0
    onednn: bool = True
    frozen_batch_norm: bool = False
    batch_norm: Literal["synchronized", "local"] = "synchronized"
    reduce: Literal["auto", "ddp", "flat"] = "auto"
    channels_last: bool = True
    log_every: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Length = Duration(60, "s")
    early_stop: Annotated[int, Field(ge=0)] = 0
    evaluate_every: Length = Duration(1, "epochs")
    monitor: Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc_ovr", "loss"] = "accuracy"
    target: Fraction = 0.0
    progressive: ImageSizeSchedule = ()
    execution: Literal["auto", "eager", "compiled"] = "auto"
    fuse: bool = False
    deterministic: bool = True


class EvaluateSection(Section):
    """`[evaluate]`: how images are evaluated.

    Args:
        batch_size: images per batch, which one core of a CPU computes; 0 chooses a size for the device.
        views: test-time augmentation (TTA): average the logits of several views of each image. `mirror` adds the mirror
            image; `shifts` adds both again, shifted by one pixel each way (six views). Each view costs a forward pass.
        unsure_below: confidence threshold, in (0, 1]. Images whose plain view is predicted above it skip the other
            views; with 1 all images get all views.
        precision: `float32`; or `tf32`, which on a GPU is several times as fast and moves logits by about 1e-3, so
            that a few images may be predicted otherwise than on a CPU.
    """

    batch_size: Annotated[int, Field(ge=0)] = 0
    views: Literal["plain", "mirror", "shifts"] = "plain"
    unsure_below: Annotated[float, Field(gt=0, le=1)] = 1.0
    precision: Literal["float32", "tf32"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _accept_old_keys(cls, values: Any) -> Any:
        """Accepts `mirror = true` of old recipes instead of `views`."""
        if not isinstance(values, dict) or not isinstance(values.get("mirror"), bool) or "views" in values:
            return values
        other = {key: value for key, value in values.items() if key != "mirror"}
        return {**other, "views": "mirror" if values["mirror"] else "plain"}
