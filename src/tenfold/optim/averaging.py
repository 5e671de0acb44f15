"""Exponential moving average (EMA) of a network's weights, which is smoother than the weights of single steps.

B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging" (1992).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tenfold.optim.update import restore_tensors


def ema_decay(steps: int, decay: float) -> float:
    """Returns the decay of the moving average after `steps` steps.

    It grows up to `decay`, so that the random initial weights are forgotten fast; as in TensorFlow:
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.

    Args:
        steps: number of steps so far, at least 1.
        decay: upper limit, in [0, 1).

    Example:
        >>> ema_decay(1, 0.99), ema_decay(10_000, 0.99)
        (0.18181818181818182, 0.99)
    """
    return min(decay, (1 + steps) / (10 + steps))


class WeightEMA:
    """Moving average of a network's weights and floating-point buffers, such as batch-norm statistics.

    Nothing here waits for the device. With a decay of 0 it is empty and does nothing.

    Args:
        model: network on its device; it is not copied.
        decay: decay of the average per step, in [0, 1).

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = WeightEMA(model, decay=0.99)
        >>> _ = nn.init.ones_(model.weight); average.update(10**6)
        >>> with average.applied():
        ...     bool(model.weight < 1)
        True
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._averages = [tensor.detach().clone() for tensor in self._model_tensors()]

    def update(self, steps: int) -> None:
        """Updates the average with the current weights, after `steps` steps."""
        if self._decay:
            with torch.no_grad():
                torch._foreach_lerp_(self._averages, self._model_tensors(), 1 - ema_decay(steps, self._decay))

    def restart(self) -> None:
        """Starts anew from the network's current weights."""
        _copy(self._model_tensors(), self._averages)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the network its averaged weights inside a `with` block; then restores its own, bit for bit."""
        previous = [tensor.detach().clone() for tensor in self._model_tensors()]
        self.copy_to_model()
        try:
            yield
        finally:
            _copy(previous, self._model_tensors())

    def copy_to_model(self) -> None:
        """Replaces the weights of the network with their averages."""
        _copy(self._averages, self._model_tensors())

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns the averages by index of the weight or buffer; empty if the decay is 0."""
        return {str(index): tensor for index, tensor in enumerate(self._averages)}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned.

        Raises:
            RunError: when the tensors are from another network. Nothing is changed then.
        """
        restore_tensors(self.state_tensors(), tensors, "weight average")

    def _model_tensors(self) -> list[Tensor]:
        """Returns the averaged tensors of the network. Not cached, because a network may replace a buffer."""
        if not self._decay:
            return []
        tensors = [*self._model.parameters(), *self._model.buffers()]
        return [tensor for tensor in tensors if tensor.is_floating_point()]


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
