"""The networks of the CIFAR-10 tutorials, all built by one class.

Shapes: B images, C channels, H×W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, PlainValidator, TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.text import size_text
from tenfold.models.build import PositiveInt, models

T = TypeVar("T", int, bool)


def _one_or_list(kind: Any) -> PlainValidator:
    """Validates one value for all stages, or a list. A pydantic union would list its branches in every message."""
    one, many = TypeAdapter(kind), TypeAdapter(Sequence[kind])
    return PlainValidator(lambda value: (many if isinstance(value, list | tuple) else one).validate_python(value))


Widths = Annotated[Sequence[PositiveInt], Field(max_length=100)]
Kernels = Annotated[int | Sequence[int], _one_or_list(PositiveInt)]
Pooled = Annotated[bool | Sequence[bool], _one_or_list(bool)]
DropoutRate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class TutorialNet(nn.Module):
    """Convolutions with pooling, then fully connected layers, with ReLU between all of them.

    The layers have the names of PyTorch's "Training a classifier" (`conv1`, `conv2`, …, `fc1`, `fc2`, …), so that
    weights can be exchanged with code from the tutorial.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        channels: output channels of each convolution; empty for a multi-layer perceptron.
        kernels: kernel size of all convolutions, or a list; no padding.
        pooled: whether 2×2 max-pooling follows the convolutions, or a list.
        hidden: widths of the hidden fully connected layers.
        dropout: dropout rate after each hidden fully connected layer, in [0, 1).

    Raises:
        RecipeError: when `kernels` or `pooled` is a list with another length than `channels`.
        ModelError: when an image would shrink below 1×1; the message lists the size after each layer.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        channels: Sequence[int],
        kernels: int | Sequence[int],
        pooled: bool | Sequence[bool],
        hidden: Sequence[int],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kernels, pooled = _per_convolution("kernels", kernels, channels), _per_convolution("pooled", pooled, channels)
        height, width = _size_after(image_size, kernels, pooled)
        self.pool = nn.MaxPool2d(2, 2)
        self._stages = [(f"conv{i}", pool) for i, pool in enumerate(pooled, start=1)]
        for (name, _), (inputs, outputs), kernel in zip(self._stages, pairwise((3, *channels)), kernels, strict=True):
            self.add_module(name, nn.Conv2d(inputs, outputs, kernel))
        widths = ((channels[-1] if channels else 3) * height * width, *hidden, num_classes)
        self._linear = [f"fc{i}" for i in range(1, len(widths))]
        for name, (inputs, outputs) in zip(self._linear, pairwise(widths), strict=True):
            self.add_module(name, nn.Linear(inputs, outputs))
        self.dropout = nn.Dropout(dropout) if dropout else None

    @property
    def convolutions(self) -> list[tuple[nn.Conv2d, bool]]:
        """The convolutions in order, each with whether max-pooling follows."""
        return [(cast(nn.Conv2d, self._modules[name]), pool) for name, pool in self._stages]

    @property
    def layers(self) -> list[nn.Linear]:
        """The fully connected layers in order."""
        return [cast(nn.Linear, self._modules[name]) for name in self._linear]

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, num_classes], for normalized images, float [B, 3, H, W]."""
        features = images
        for name, pool in self._stages:
            features = self._modules[name](features)  # type: ignore[misc]  # B C H W
            # ReLU after the pooling gives the same values for a quarter of the work.
            features = F.relu(self.pool(features) if pool else features)
        features = features.flatten(1)  # B C·H·W, in NCHW order
        for name in self._linear[:-1]:
            features = F.relu(self._modules[name](features))  # type: ignore[misc]
            if self.dropout is not None:
                features = self.dropout(features)
        logits: Tensor = self._modules[self._linear[-1]](features)  # type: ignore[misc]
        return logits


def _per_convolution(name: str, value: T | Sequence[T], channels: Sequence[int]) -> Sequence[T]:
    """Returns one value per convolution, from one value for all or a list."""
    if not isinstance(value, Sequence):
        return (value,) * len(channels)
    if len(value) != len(channels):
        raise RecipeError(
            f"model.{name} has length {len(value)} but model.channels has length {len(channels)}; "
            f"give one value for all convolutions, or a list of {len(channels)}"
        )
    return value


def _size_after(size: tuple[int, int], kernels: Sequence[int], pooled: Sequence[bool]) -> tuple[int, int]:
    """Returns height and width of an image of `size` after all convolutions and poolings."""
    height, width = size
    sizes = [size_text(size)]
    for number, (kernel, pool) in enumerate(zip(kernels, pooled, strict=True), start=1):
        height, width = (max(0, side - kernel + 1) for side in (height, width))
        sizes.append(f"conv{number} {size_text((height, width))}")
        if pool:
            height, width = height // 2, width // 2
            sizes.append(f"pool {size_text((height, width))}")
        if min(height, width) < 1:
            raise ModelError(
                f"the image shrinks below 1×1: {' → '.join(sizes)}; "
                "use larger images (data.image_size), smaller kernels or fewer stages"
            )
    return height, width


@models.add("mlp")
def mlp(
    num_classes: int, image_size: tuple[int, int], hidden: Widths = (128, 64), dropout: DropoutRate = 0.0
) -> nn.Module:
    """A multi-layer perceptron with ReLU.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        hidden: widths of the hidden layers.
        dropout: dropout rate after each hidden layer, in [0, 1).
    """
    return TutorialNet(num_classes, image_size, (), (), (), hidden, dropout)


@models.add("tutorial")
def tutorial(
    num_classes: int,
    image_size: tuple[int, int],
    channels: Widths = (6, 16),
    kernels: Kernels = 5,
    pooled: Pooled = True,
    hidden: Widths = (120, 84),
    dropout: DropoutRate = 0.0,
) -> nn.Module:
    """The network of PyTorch's tutorial "Training a classifier": 62,006 parameters for 32×32 and ten classes.

    See `TutorialNet` for the arguments, here and below.

    https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
    """
    return TutorialNet(num_classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("wide")
def wide(
    num_classes: int,
    image_size: tuple[int, int],
    width: PositiveInt | None = None,
    channels: Annotated[Widths, Field(min_length=1)] = (30, 200),
    kernels: Kernels = 5,
    pooled: Pooled = True,
    hidden: Widths = (100, 84),
    dropout: DropoutRate = 0.0,
) -> nn.Module:
    """The tutorial's network with two wide convolutions: the first of any width, the second of 200 channels.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        width: channels of the first convolution. Replaces the first of `channels`: width 90 and channels [64, 128] give
            [90, 128].
        channels: output channels of each convolution, at least one.
        kernels: see `TutorialNet`.
        pooled: see `TutorialNet`.
        hidden: see `TutorialNet`.
        dropout: see `TutorialNet`.
    """
    if width is not None:
        channels = (width, *channels[1:])
    return TutorialNet(num_classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("deep3")
def deep3(
    num_classes: int,
    image_size: tuple[int, int],
    channels: Widths = (100, 180, 240),
    kernels: Kernels = 5,
    pooled: Pooled = (True, True, False),
    hidden: Widths = (100, 200),
    dropout: DropoutRate = 0.0,
) -> nn.Module:
    """Three wide convolutions, the maximum for 5×5 kernels and 32×32 pixels."""
    return TutorialNet(num_classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("deep4")
def deep4(
    num_classes: int,
    image_size: tuple[int, int],
    channels: Widths = (100, 180, 240, 300),
    kernels: Kernels = (3, 3, 2, 2),
    pooled: Pooled = (True, True, True, False),
    hidden: Widths = (100, 200),
    dropout: DropoutRate = 0.0,
) -> nn.Module:
    """Four wide convolutions with small kernels: 32 → 30 → 15 → 13 → 6 → 5 → 2 → 1 pixels."""
    return TutorialNet(num_classes, image_size, channels, kernels, pooled, hidden, dropout)
