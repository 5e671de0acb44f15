"""The networks of the CIFAR-10 tutorials, from one description of stages.

Shapes: B pictures, C channels, H×W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, PlainValidator, TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import AtLeastOne, models

T = TypeVar("T", int, bool)


def _one_or_each(kind: Any) -> PlainValidator:
    """Checks one value for all stages or a list; pydantic's own unions name their branches in every message."""
    one, each = TypeAdapter(kind), TypeAdapter(Sequence[kind])
    return PlainValidator(lambda value: (each if isinstance(value, list | tuple) else one).validate_python(value))


Widths = Sequence[AtLeastOne]
Kernels = Annotated[int | Sequence[int], _one_or_each(AtLeastOne)]
Pooled = Annotated[bool | Sequence[bool], _one_or_each(bool)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class TutorialNet(nn.Module):
    """Convolutions with pooling, then fully connected layers; ReLU between all of them.

    The layers are called `conv1`, `conv2`, … and `fc1`, `fc2`, …, as in PyTorch's "Training a classifier",
    so that weights can be exchanged with code written after it.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        channels: output channels of each convolution; none for a multi-layer perceptron.
        kernels: side of every kernel, or of each convolution's; no padding.
        pooled: whether 2×2 max-pooling follows every convolution, or each.
        hidden: widths of the fully connected layers before the last.
        dropout: share of each hidden fully connected layer's outputs that training zeroes, in [0, 1).

    Raises:
        RecipeError: when `kernels` or `pooled` is a list of another length than `channels`.
        ModelError: when a picture would shrink below 1×1; the message lists the size after each layer.
    """

    def __init__(
        self,
        classes: int,
        image_size: tuple[int, int],
        channels: Sequence[int],
        kernels: int | Sequence[int],
        pooled: bool | Sequence[bool],
        hidden: Sequence[int],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kernels, pooled = _for_each("kernels", kernels, channels), _for_each("pooled", pooled, channels)
        height, width = _size_after(image_size, kernels, pooled)
        self.pool = nn.MaxPool2d(2, 2)
        self._stages = [(f"conv{i}", pool) for i, pool in enumerate(pooled, start=1)]
        for (name, _), (inputs, outputs), kernel in zip(self._stages, pairwise((3, *channels)), kernels, strict=True):
            self.add_module(name, nn.Conv2d(inputs, outputs, kernel))
        widths = ((channels[-1] if channels else 3) * height * width, *hidden, classes)
        self._linear = [f"fc{i}" for i in range(1, len(widths))]
        for name, (inputs, outputs) in zip(self._linear, pairwise(widths), strict=True):
            self.add_module(name, nn.Linear(inputs, outputs))
        self.dropout = nn.Dropout(dropout) if dropout else None

    @property
    def convolutions(self) -> list[tuple[nn.Conv2d, bool]]:
        """The convolutions, first to last, each with whether it is pooled."""
        return [(cast(nn.Conv2d, self._modules[name]), pool) for name, pool in self._stages]

    @property
    def layers(self) -> list[nn.Linear]:
        """The fully connected layers, first to last."""
        return [cast(nn.Linear, self._modules[name]) for name in self._linear]

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, classes], for normalised pictures, float [B, 3, H, W]."""
        features = images
        for name, pool in self._stages:
            features = self._modules[name](features)  # type: ignore[misc]  # B C H W
            # ReLU keeps order, so it may come after the pooling: the same values from a quarter of the work.
            features = F.relu(self.pool(features) if pool else features)
        features = features.flatten(1)  # B C·H·W, in the order of memory format NCHW
        for name in self._linear[:-1]:
            features = F.relu(self._modules[name](features))  # type: ignore[misc]
            if self.dropout is not None:
                features = self.dropout(features)
        logits: Tensor = self._modules[self._linear[-1]](features)  # type: ignore[misc]
        return logits


def _for_each(name: str, value: T | Sequence[T], channels: Sequence[int]) -> Sequence[T]:
    """Returns one value for each convolution, where one was given for all or a list of as many."""
    if not isinstance(value, Sequence):
        return (value,) * len(channels)
    if len(value) != len(channels):
        raise RecipeError(
            f"model.{name} has length {len(value)} but model.channels has length {len(channels)}; "
            f"give one value for all convolutions, or a list of {len(channels)}"
        )
    return value


def _size_after(size: tuple[int, int], kernels: Sequence[int], pooled: Sequence[bool]) -> tuple[int, int]:
    """Returns height and width after all convolutions and poolings of a picture of `size`."""
    height, width = size
    course = [f"{height}×{width}"]
    for number, (kernel, pool) in enumerate(zip(kernels, pooled, strict=True), start=1):
        height, width = (max(0, side - kernel + 1) for side in (height, width))
        course.append(f"conv{number} {height}×{width}")
        if pool:
            height, width = height // 2, width // 2
            course.append(f"pool {height}×{width}")
        if min(height, width) < 1:
            raise ModelError(
                f"the picture shrinks below 1×1: {' → '.join(course)}; "
                "use larger pictures (data.image_size), smaller kernels or fewer stages"
            )
    return height, width


@models.add("mlp")
def mlp(classes: int, image_size: tuple[int, int], hidden: Widths = (128, 64), dropout: Share = 0.0) -> nn.Module:
    """A multi-layer perceptron: flatten, fully connected layers, ReLU between them.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        hidden: widths of the hidden layers.
        dropout: share of each hidden layer's outputs that training zeroes, in [0, 1).
    """
    return TutorialNet(classes, image_size, (), (), (), hidden, dropout)


@models.add("tutorial")
def tutorial(
    classes: int,
    image_size: tuple[int, int],
    channels: Widths = (6, 16),
    kernels: Kernels = 5,
    pooled: Pooled = True,
    hidden: Widths = (120, 84),
    dropout: Share = 0.0,
) -> nn.Module:
    """The network of PyTorch's tutorial "Training a classifier": 62,006 parameters for 32×32 and ten classes.

    The arguments are those of `TutorialNet`, here and in the networks below.

    https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
    """
    return TutorialNet(classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("wide")
def wide(
    classes: int,
    image_size: tuple[int, int],
    width: AtLeastOne | None = None,
    channels: Annotated[Widths, Field(min_length=1)] = (30, 200),
    kernels: Kernels = 5,
    pooled: Pooled = True,
    hidden: Widths = (100, 84),
    dropout: Share = 0.0,
) -> nn.Module:
    """The tutorial's network made wide: two convolutions, the first of any width and the second of 200 channels.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        width: channels of the first convolution; takes the place of the first of `channels`, also where both are
            given: width 90 and channels [64, 128] make [90, 128].
        channels: output channels of each convolution, at least one.
        kernels: see `TutorialNet`, like the rest.
        pooled: see there.
        hidden: see there.
        dropout: see there.
    """
    if width is not None:
        channels = (width, *channels[1:])
    return TutorialNet(classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("deep3")
def deep3(
    classes: int,
    image_size: tuple[int, int],
    channels: Widths = (100, 180, 240),
    kernels: Kernels = 5,
    pooled: Pooled = (True, True, False),
    hidden: Widths = (100, 200),
    dropout: Share = 0.0,
) -> nn.Module:
    """Three wide convolutions, as many as kernels of 5×5 leave room for in 32×32 pixels."""
    return TutorialNet(classes, image_size, channels, kernels, pooled, hidden, dropout)


@models.add("deep4")
def deep4(
    classes: int,
    image_size: tuple[int, int],
    channels: Widths = (100, 180, 240, 300),
    kernels: Kernels = (3, 3, 2, 2),
    pooled: Pooled = (True, True, True, False),
    hidden: Widths = (100, 200),
    dropout: Share = 0.0,
) -> nn.Module:
    """Four wide convolutions with smaller kernels: 32 → 30 → 15 → 13 → 6 → 5 → 2 → 1 pixels."""
    return TutorialNet(classes, image_size, channels, kernels, pooled, hidden, dropout)
