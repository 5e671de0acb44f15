"""Forward, backward and update, operation by operation: for every network, optimiser and device."""

from contextlib import nullcontext
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tenfold.core.errors import TrainingError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.precision import Hardware
from tenfold.optim.build import CombinedOptimizer


class LossNotFiniteError(TrainingError):
    """A loss was NaN or infinite.

    Args:
        steps_ago: 0 for the step that could not be completed, 1 for the last one that was, 2 for the one before.
    """

    def __init__(self, steps_ago: int) -> None:
        super().__init__("the loss is not finite")
        self.steps_ago = steps_ago


class Eager:
    """Learns from one batch; nothing in it waits for the device.

    Args:
        model: on its device, in training mode.
        optimizer: of the model's weights.
        preprocessing: its `normalize` makes the model's input.
        hardware: see `Hardware`.
        label_smoothing: share of the target that is spread over all classes.
        layers: carries out layers in PyTorch's stead, forward and backward.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: CombinedOptimizer,
        preprocessing: Preprocessing,
        hardware: Hardware,
        label_smoothing: float = 0.0,
        layers: TorchFunctionMode | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._normalize = preprocessing.normalize
        self._smoothing = label_smoothing
        self._on_cpu = hardware.device.type == "cpu"
        self._precision = (
            nullcontext()
            if hardware.autocast is None
            else torch.autocast(hardware.device.type, dtype=hardware.autocast, cache_enabled=False)
        )
        self._layers = nullcontext() if layers is None else layers

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float [], and the logits, float [B, C].

        Raises:
            LossNotFiniteError: when the loss is not finite and the device is a CPU, where asking is free; no weight
                was changed.
        """
        with self._precision, self._layers:
            logits = self._model(self._normalize(batch.images))  # B C
        loss = self._loss(logits.float(), batch)
        if self._on_cpu and not isfinite(loss.item()):
            raise LossNotFiniteError(steps_ago=0)
        loss.backward()
        self._optimizer.step()
        return loss.detach(), logits.detach()

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the mean loss; a mixed picture's is that of its own label and its partner's, by their shares."""
        if batch.mixture is None:
            return F.cross_entropy(logits, batch.labels, label_smoothing=self._smoothing)
        labels, share = batch.mixture
        own = F.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=self._smoothing)  # B
        partner = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self._smoothing)  # B
        return (share * own + (1 - share) * partner).mean()
