"""Builds the training step: eager, compiled or of compiled layers, for one process or several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.resizing import SizeSchedule, shrink
from tenfold.data.share import WHOLE, Share
from tenfold.data.types import Batch
from tenfold.engine import graphs
from tenfold.engine.distributed import ALONE, Processes
from tenfold.engine.eager import EagerStep
from tenfold.engine.fused import LossAndLogits, fused_loss
from tenfold.engine.kernels import layers, tutorial_step
from tenfold.engine.kernels.forwards import ReplacedForwards
from tenfold.engine.kernels.gpu_layers import GpuLayers
from tenfold.engine.precision import Hardware
from tenfold.engine.shared_step import SharedStep
from tenfold.engine.synchronized_norm import SynchronizedNorms
from tenfold.models.tutorial import TutorialNet
from tenfold.optim.build import CombinedOptimizer

TrainStep = Callable[[Batch], tuple[Tensor, Tensor]]
"""Forward, loss, backward and update for one batch: returns the loss, float [], and the logits, float [B, C].

Nothing in it waits for a GPU."""


@dataclass(frozen=True)
class StepContext:
    """What a training step is built from.

    Args:
        model: on its device, in training mode.
        optimizer: of the model's weights.
        preprocessing: its `normalize` makes the model's input.
        hardware: see `Hardware`; must be active while steps run.
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        class_weights: float32 [C] on the device; see `mean_loss`.
        progressive: sizes of the images, which a step on a GPU is compiled for beforehand; see `SizeSchedule`.
        share: which rows of a batch this process trains, and its micro-batches.
        clip_norm: largest norm of all gradients together; 0 for any.
        processes: that train the network.
        synchronized: whether their batch norms use the rows of all processes.
        reduce: how their gradients are added up, `ddp` or `flat`; `auto` where that is not decided yet.
    """

    model: nn.Module
    optimizer: CombinedOptimizer
    preprocessing: Preprocessing
    hardware: Hardware
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    progressive: SizeSchedule = ()
    share: Share = WHOLE
    clip_norm: float = 0.0
    processes: Processes = ALONE
    synchronized: bool = True
    reduce: str = "flat"

    @property
    def is_plain(self) -> bool:
        """Whether a batch is one forward and one backward pass of this process, followed by the update."""
        return self.share == WHOLE and not self.clip_norm

    def build(self, batch: Batch) -> TrainStep:
        """Returns the step that `hardware` describes, for batches shaped like `batch`, which is not trained on.

        Raises:
            TrainingError: when the step cannot be compiled.
            StorageError: when the cache folder cannot be written.
        """
        hardware, smoothing, weights = self.hardware, self.label_smoothing, self.class_weights
        by_layers, examples = hardware.kernels == "layers", self._examples(batch)
        kernels: ReplacedForwards | None = None
        fused: dict[torch.Size, LossAndLogits] = {}
        if by_layers:
            kernels = layers.CompiledLayers(self.model, hardware.threads, norms=not self._synchronizes)
        elif hardware.fused:
            kernels, loss = GpuLayers(self.model), fused_loss(self.model, self.preprocessing, smoothing, weights)
            fused = {example.images.shape: loss for example in examples}  # another shape would be compiled in a run
            for rule in self.optimizer.rules:
                rule.fuse()
        eager = self._eager(kernels, fused)
        if hardware.kernels == "CUDA graph":
            return graphs.GraphedStep(eager, self.model, self.optimizer, examples)
        if hardware.fused or self.reduce == "ddp":  # which forms its parts anew after the first step
            graphs.warm_up(eager, self.model, self.optimizer, examples)
        if by_layers or not hardware.compiled:
            return eager
        assert isinstance(self.model, TutorialNet)
        return tutorial_step.CompiledTutorialStep(
            self.model, self.optimizer, self.preprocessing, smoothing, len(batch.images), weights
        )

    @property
    def _synchronizes(self) -> bool:
        return self.processes.is_several and self.synchronized

    def _eager(self, kernels: ReplacedForwards | None, fused: Mapping[torch.Size, LossAndLogits]) -> EagerStep:
        """Returns the step in PyTorch's eager mode, with some layers replaced."""
        settings = (self.model, self.optimizer, self.preprocessing, self.hardware, self.label_smoothing)
        if self.is_plain:
            return EagerStep(*settings, kernels, fused, self.class_weights)
        norms = SynchronizedNorms(self.model, self.processes) if self._synchronizes else None
        if norms is not None:
            kernels = ReplacedForwards({**(kernels.forwards if kernels else {}), **norms.forwards})
        return SharedStep(
            *settings,
            kernels,
            fused,
            self.class_weights,
            share=self.share,
            processes=self.processes,
            norms=norms,
            clip_norm=self.clip_norm,
            buckets=self.reduce == "ddp",
        )

    def _examples(self, batch: Batch) -> list[Batch]:
        """Returns a batch of each image size, which are needed on a GPU alone."""
        fractions = [1.0, *(fraction for _, fraction in self.progressive if self.hardware.device.type == "cuda")]
        return [batch._replace(images=shrink(batch.images, fraction)) for fraction in fractions]

    def note(self, batch: Batch) -> str | None:
        """Returns what several processes do without, in one line, where one process would have it; else None."""
        if not self.processes.is_several:
            return None
        if self.hardware.compiled:
            has_kernel = self._synchronizes and layers.has_norm_kernel(self.model)
            return "batch norm: synchronized between processes, without its compiled kernel" if has_kernel else None
        alone = replace(self, processes=ALONE, share=self.share.alone())
        mixed, batch_size = batch.mixture is not None, len(batch.images)
        if self.uncompiled_reason(batch_size, mixed=mixed) is None or alone.uncompiled_reason(batch_size, mixed=mixed):
            return None
        return "step: eager; it is compiled in one process, but not where several share it"

    def check_compiled(self, batch_size: int, *, mixed: bool) -> None:
        """Raises RecipeError where the step cannot be compiled for such batches."""
        reason = self.uncompiled_reason(batch_size, mixed=mixed)
        if reason is not None:
            raise RecipeError(
                f"train.execution is 'compiled', but this training cannot be: {reason}; "
                "set train.execution=eager, or auto for a new run or sweep"
            )

    def uncompiled_reason(self, batch_size: int, *, mixed: bool) -> str | None:
        """Returns why the step cannot be compiled, or None where it can.

        Args:
            batch_size: number of images in a batch.
            mixed: whether batches are mixed (mixup, CutMix).
        """
        kernels = replace(self.hardware, compiled=True).kernels
        if kernels == "layers":
            return layers.unsupported_reason(self.model)
        if self.processes.is_several:
            return "several processes share each step"
        if not self.is_plain:
            return "train.micro_batch or optim.clip_norm is set"
        if mixed:
            return "its images are mixed (mixup, cutmix)"
        if kernels == "CUDA graph":
            return graphs.unsupported_reason(self.optimizer, self.hardware)
        return tutorial_step.unsupported_reason(self.model, self.optimizer, self.hardware, batch_size)
