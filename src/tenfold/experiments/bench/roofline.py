"""The fastest convolution of a device: the roofline to which the speed of a network is compared.

Shapes: B images, C channels, H×W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from tenfold.core.devices import use_onednn
from tenfold.experiments.bench.timing import Samples, measure_in_turns


@dataclass(frozen=True)
class Convolution:
    """A 3×3 convolution with as many output as input channels and padding 1.

    Args:
        channels: number of input channels.
        side: height and width of the images, in pixels.
        batch_size: number of images.

    Example:
        >>> str(Convolution(64, 32, 256)), Convolution(64, 32, 256).flops(backward=False)
        ('3×3, 64→64 channels, 256 images of 32×32', 19327352832)
    """

    channels: int
    side: int
    batch_size: int

    def __str__(self) -> str:
        return f"3×3, {self.channels}→{self.channels} channels, {self.batch_size} images of {self.side}×{self.side}"

    def flops(self, *, backward: bool) -> int:
        """Returns the number of floating-point operations; both gradients make it three times as many."""
        forward = 2 * 9 * self.channels**2 * self.side**2 * self.batch_size
        return forward * 3 if backward else forward


@dataclass(frozen=True)
class Roofline:
    """The measured speed of several convolutions.

    Args:
        convolutions: at least one.
        seconds: of each convolution.
        backward: whether the gradients were computed too.
        precision: of images and weights, e.g. `bfloat16`.
    """

    convolutions: tuple[Convolution, ...]
    seconds: tuple[Samples, ...]
    backward: bool
    precision: str

    def rates(self) -> list[float]:
        """Returns the floating-point operations per second of each convolution, from its median time."""
        return [
            convolution.flops(backward=self.backward) / seconds.median
            for convolution, seconds in zip(self.convolutions, self.seconds, strict=True)
        ]

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations per second of the fastest convolution."""
        return max(self.rates())

    @property
    def best(self) -> Convolution:
        """The fastest convolution."""
        rates = self.rates()
        return self.convolutions[rates.index(max(rates))]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "flops_per_second": self.flops_per_second,
            "best": str(self.best),
            "backward": self.backward,
            "precision": self.precision,
            "each": [
                {"convolution": str(convolution), "flops_per_second": rate, "seconds": seconds.to_json()}
                for convolution, rate, seconds in zip(self.convolutions, self.rates(), self.seconds, strict=True)
            ],
        }


def candidate_convolutions(device: torch.device) -> tuple[Convolution, ...]:
    """Returns the convolutions to measure; a GPU gets larger batches, which fill it."""
    batch_size = 256 if device.type == "cpu" else 1024
    return tuple(Convolution(channels, side, batch_size) for channels, side in ((64, 32), (128, 16), (256, 8)))


def convolution_function(
    convolution: Convolution, device: torch.device, precision: torch.dtype, *, backward: bool
) -> Callable[[], None]:
    """Returns a function that computes the convolution once, in channels_last format.

    Args:
        convolution: see `Convolution`.
        device: where it is computed.
        precision: of images, weights and gradients.
        backward: whether to compute both gradients too.
    """
    generator = torch.Generator().manual_seed(0)

    def random_tensor(*shape: int) -> torch.Tensor:
        numbers = torch.randn(shape, generator=generator).to(device, precision)
        return numbers.contiguous(memory_format=torch.channels_last)

    channels, side = convolution.channels, convolution.side
    images = random_tensor(convolution.batch_size, channels, side, side).requires_grad_(backward)  # B C H W
    weights = random_tensor(channels, channels, 3, 3).requires_grad_(backward)
    gradient = random_tensor(*images.shape)  # B C H W

    def convolve() -> None:
        with _fastest_kernels(), torch.set_grad_enabled(backward):
            output = F.conv2d(images, weights, padding=1)
            if backward:
                torch.autograd.grad(output, (images, weights), gradient)

    return convolve


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Allows nondeterministic kernels: a training run avoids them, but they belong to the speed of the device."""
    cudnn = torch.backends.cudnn
    previous = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = True, False
    try:
        with use_onednn(True):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = previous


def measure_with_roofline(
    functions: Sequence[Callable[[], object]],
    device: torch.device,
    precision: torch.dtype,
    seconds: float,
    *,
    backward: bool,
) -> tuple[list[Samples], Roofline]:
    """Measures functions in turns with the candidate convolutions.

    Args:
        functions: to be measured.
        device: on which they run.
        precision: of the convolutions.
        seconds: measuring time for each function and each convolution, above 0.
        backward: whether to compute the gradients of the convolutions too.

    Returns:
        Seconds per call of each function, and the convolutions.
    """
    candidates = candidate_convolutions(device)
    convolutions = [convolution_function(each, device, precision, backward=backward) for each in candidates]
    measured = measure_in_turns([*functions, *convolutions], device, seconds)
    count = len(functions)
    roofline = Roofline(candidates, tuple(measured[count:]), backward, str(precision).removeprefix("torch."))
    return measured[:count], roofline
