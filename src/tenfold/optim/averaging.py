"""Exponential moving average of a network: smoother than the weights that jump from step to step.

B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging" (1992).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tenfold.optim.update import restore


def decay_at(steps: int, decay: float) -> float:
    """Returns the share of the former average that is kept after `steps` steps.

    It grows up to `decay`, so that the average does not cling to weights that were drawn at random; as in
    TensorFlow: https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.

    Args:
        steps: taken so far, 1 or more.
        decay: its limit, in [0, 1).

    Example:
        >>> decay_at(1, 0.99), decay_at(10_000, 0.99)
        (0.18181818181818182, 0.99)
    """
    return min(decay, (1 + steps) / (10 + steps))


class WeightAverage:
    """The moving average of a network's weights and of its buffers that are floats, such as normalisation statistics.

    Nothing in it waits for the device. With a decay of 0 it holds nothing, does nothing, and the network's own
    weights stand for their average.

    Args:
        model: on its device; it is not copied, and neither are its whole numbers.
        decay: share of the former average that is kept at a step, in [0, 1).

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(model, decay=0.99)
        >>> _ = nn.init.ones_(model.weight); average.update(10**6)
        >>> with average.applied():
        ...     bool(model.weight < 1)
        True
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._averages = [tensor.detach().clone() for tensor in self._own()]

    def update(self, steps: int) -> None:
        """Moves the average towards the network as it is after `steps` steps."""
        if self._decay:
            with torch.no_grad():
                torch._foreach_lerp_(self._averages, self._own(), 1 - decay_at(steps, self._decay))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Lends the network its averaged weights; afterwards it has its own again, bit for bit."""
        former = [tensor.detach().clone() for tensor in self._own()]
        self.take_over()
        try:
            yield
        finally:
            _copy(former, self._own())

    def take_over(self) -> None:
        """Gives the network its averaged weights for good."""
        _copy(self._averages, self._own())

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns the average, by number of the weight or buffer; empty where there is none."""
        return {str(place): tensor for place, tensor in enumerate(self._averages)}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned.

        Raises:
            RunError: when the average of another network is given; nothing is changed then.
        """
        restore(self.state_tensors(), tensors, "average of weights")

    def _own(self) -> list[Tensor]:
        """The network's tensors; looked up each time, for a network may put a new buffer in the place of an old one."""
        if not self._decay:
            return []
        tensors = [*self._model.parameters(), *self._model.buffers()]
        return [tensor for tensor in tensors if tensor.is_floating_point()]


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for value, tensor in zip(source, target, strict=True):
        tensor.copy_(value)
