"""How fast convolutions can be on a device at best: the measure of what a network makes of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from tenfold.core.devices import convolutions
from tenfold.experiments.bench.timing import Measured, Work, measure_in_turns


@dataclass(frozen=True)
class Convolution:
    """A 3×3 convolution that keeps the number of channels and the size.

    Args:
        channels: in and out.
        side: of the pictures, in pixels.
        pictures: in a batch.

    Example:
        >>> str(Convolution(64, 32, 256)), Convolution(64, 32, 256).flops(backward=False)
        ('3×3, 64→64 channels, 256 pictures of 32×32', 19327352832)
    """

    channels: int
    side: int
    pictures: int

    def __str__(self) -> str:
        return f"3×3, {self.channels}→{self.channels} channels, {self.pictures} pictures of {self.side}×{self.side}"

    def flops(self, *, backward: bool) -> int:
        """Returns its floating-point operations, three times as many with both gradients."""
        forward = 2 * 9 * self.channels**2 * self.side**2 * self.pictures
        return forward * 3 if backward else forward


@dataclass(frozen=True)
class Roof:
    """The best convolution that was found.

    Args:
        convolutions: those that were tried, at least one.
        seconds: of each.
        backward: whether the gradients were computed too.
        precision: of pictures and weights, e.g. `bfloat16`.
    """

    convolutions: tuple[Convolution, ...]
    seconds: tuple[Measured, ...]
    backward: bool
    precision: str

    def rates(self) -> list[float]:
        """Returns the floating-point operations a second of each, by the median of its rounds."""
        return [
            convolution.flops(backward=self.backward) / seconds.median
            for convolution, seconds in zip(self.convolutions, self.seconds, strict=True)
        ]

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations a second of the best."""
        return max(self.rates())

    @property
    def best(self) -> Convolution:
        """The best of those that were tried."""
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


def candidates(device: torch.device) -> tuple[Convolution, ...]:
    """Returns the convolutions among which the best is looked for; a GPU gets larger batches, which fill it."""
    pictures = 256 if device.type == "cpu" else 1024
    return tuple(Convolution(channels, side, pictures) for channels, side in ((64, 32), (128, 16), (256, 8)))


def convolution_work(shape: Convolution, device: torch.device, precision: torch.dtype, *, backward: bool) -> Work:
    """Returns a convolution, channels_last, ready to be timed.

    Args:
        shape: see `Convolution`.
        device: where it is computed.
        precision: of pictures, weights and gradients.
        backward: whether both gradients are computed too.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> torch.Tensor:
        numbers = torch.randn(sizes, generator=generator).to(device, precision)
        return numbers.contiguous(memory_format=torch.channels_last)

    images = drawn(shape.pictures, shape.channels, shape.side, shape.side).requires_grad_(backward)  # B C H W
    weights = drawn(shape.channels, shape.channels, 3, 3).requires_grad_(backward)
    gradient = drawn(*images.shape)  # B C H W

    def once() -> None:
        with _fastest_kernels(), torch.set_grad_enabled(backward):
            result = F.conv2d(images, weights, padding=1)
            if backward:
                torch.autograd.grad(result, (images, weights), gradient)

    return Work(once)


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Lets the libraries choose freely: what a run gives up for equal bits must not lower the roof."""
    cudnn = torch.backends.cudnn
    former = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = True, False
    try:
        with convolutions(onednn=True):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = former


def measure_beside_roof(
    works: Sequence[Work], device: torch.device, precision: torch.dtype, seconds: float, *, backward: bool
) -> tuple[list[Measured], Roof]:
    """Measures works and, in turns with them, the convolutions among which the best is looked for.

    Args:
        works: see `Work`.
        device: on which they run.
        precision: of the convolutions.
        seconds: of measuring for each work and each convolution, above 0.
        backward: whether the convolutions' gradients are computed too.

    Returns:
        Seconds of one call of each work, and the best convolution.
    """
    tried = candidates(device)
    beside = [convolution_work(shape, device, precision, backward=backward) for shape in tried]
    measured = measure_in_turns([*works, *beside], device, seconds)
    roof = Roof(tried, tuple(measured[len(works) :]), backward, str(precision).removeprefix("torch."))
    return measured[: len(works)], roof
