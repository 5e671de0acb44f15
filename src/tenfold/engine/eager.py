"""The training step in PyTorch's eager mode: for every network, optimizer and device."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import isfinite

import torch
from torch import Tensor, nn

from tenfold.core.errors import TrainingError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.fused import LossAndLogits
from tenfold.engine.loss import mean_loss
from tenfold.engine.precision import Hardware
from tenfold.optim.build import CombinedOptimizer


class LossNotFiniteError(TrainingError):
    """A loss was NaN or infinite.

    Args:
        steps_ago: 0 for the step that could not be completed, 1 for the last completed one, 2 for the one before.
    """

    def __init__(self, steps_ago: int) -> None:
        super().__init__("the loss is not finite")
        self.steps_ago = steps_ago


class EagerStep:
    """Forward, loss, backward and update for one batch. Nothing in it waits for a GPU.

    Args:
        model: on its device, in training mode.
        optimizer: of the model's weights.
        preprocessing: its `normalize` makes the model's input.
        hardware: see `Hardware`.
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        kernels: context in which layers run as compiled kernels; see `CompiledLayers`.
        fused: replaces forward and loss of batches that are not mixed, by the shape of their images; see `fused_loss`.
        class_weights: float32 [C] on the device; see `mean_loss`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: CombinedOptimizer,
        preprocessing: Preprocessing,
        hardware: Hardware,
        label_smoothing: float = 0.0,
        kernels: AbstractContextManager[object] | None = None,
        fused: Mapping[torch.Size, LossAndLogits] | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._normalize = preprocessing.normalize
        self._smoothing = label_smoothing
        self._class_weights = class_weights
        self._on_cpu = hardware.device.type == "cpu"
        self._autocast = (
            nullcontext()
            if hardware.autocast is None
            else torch.autocast(hardware.device.type, dtype=hardware.autocast, cache_enabled=False)
        )
        self._kernels = nullcontext() if kernels is None else kernels
        self._fused = fused or {}

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float [], and the logits, float [B, C].

        Raises:
            LossNotFiniteError: when the loss is not finite and the device is a CPU, where checking is free; no weight
                has changed.
        """
        loss, logits = self._forward(batch)
        if self._on_cpu and not isfinite(loss.item()):
            raise LossNotFiniteError(steps_ago=0)
        loss.backward()
        self._optimizer.step()
        return loss.detach(), logits.detach()

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of a batch, float [], and its logits, float [B, C]."""
        fused = self._fused.get(batch.images.shape) if batch.mixture is None else None
        if fused is not None:
            with self._autocast, self._kernels:
                return fused(batch.images, batch.labels)
        with self._autocast, self._kernels:
            logits: Tensor = self._model(self._normalize(batch.images))  # B C
        values = logits if logits.dtype == torch.float64 else logits.float()
        return mean_loss(values, batch.labels, self._smoothing, self._class_weights, batch.mixture), logits
