"""The networks of the CIFAR-10 tutorials, from one description of stages.

Shapes: B pictures, C channels, H×W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.models.build import AtLeastOne, models


class TutorialNet(nn.Module):
    """Convolutions with pooling, then fully connected layers; ReLU between all of them.

    The layers are called `conv1`, `conv2`, … and `fc1`, `fc2`, …, as in PyTorch's "Training a classifier",
    so that weights can be exchanged with code written after it.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        channels: output channels of each convolution; none for a multi-layer perceptron.
        kernels: side of each convolution's kernel; no padding.
        pooled: whether 2×2 max-pooling follows each convolution.
        hidden: widths of the fully connected layers before the last.

    Raises:
        ModelError: when a picture would shrink below 1×1; the message lists the size after each layer.
    """

    def __init__(
        self,
        classes: int,
        image_size: tuple[int, int],
        channels: Sequence[int],
        kernels: Sequence[int],
        pooled: Sequence[bool],
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, 2)
        self._stages = [(f"conv{i}", pool) for i, pool in enumerate(pooled, start=1)]
        for i, ((inputs, outputs), kernel) in enumerate(zip(pairwise((3, *channels)), kernels, strict=True), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, kernel))
        height, width = _size_after(image_size, kernels, pooled)
        widths = ((channels[-1] if channels else 3) * height * width, *hidden, classes)
        self._linear = [f"fc{i}" for i in range(1, len(widths))]
        for name, (inputs, outputs) in zip(self._linear, pairwise(widths), strict=True):
            self.add_module(name, nn.Linear(inputs, outputs))

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
        logits: Tensor = self._modules[self._linear[-1]](features)  # type: ignore[misc]
        return logits


def _size_after(size: tuple[int, int], kernels: Sequence[int], pooled: Sequence[bool]) -> tuple[int, int]:
    """Returns height and width after all convolutions and poolings of a picture of `size`."""
    sizes = [size]
    for kernel, pool in zip(kernels, pooled, strict=True):
        height, width = (side - kernel + 1 for side in sizes[-1])
        sizes.append((height // 2, width // 2) if pool else (height, width))
    if min(sizes[-1]) < 1:
        run = " → ".join(f"{height}×{width}" for height, width in sizes)
        raise ModelError(f"the picture shrinks below 1×1: {run}; use larger pictures, smaller kernels or fewer stages")
    return sizes[-1]


@models.add("mlp")
def mlp(classes: int, image_size: tuple[int, int], hidden: Sequence[AtLeastOne] = (128, 64)) -> nn.Module:
    """A multi-layer perceptron: flatten, fully connected layers, ReLU between them.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        hidden: widths of the hidden layers.
    """
    return TutorialNet(classes, image_size, (), (), (), hidden)


@models.add("tutorial")
def tutorial(
    classes: int,
    image_size: tuple[int, int],
    channels: Sequence[AtLeastOne] = (6, 16),
    kernel: AtLeastOne = 5,
    hidden: Sequence[AtLeastOne] = (120, 84),
) -> nn.Module:
    """The network of PyTorch's tutorial "Training a classifier": 62,006 parameters for 32×32 and ten classes.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        channels: output channels of each convolution.
        kernel: side of every kernel.
        hidden: widths of the fully connected layers before the last.

    https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
    """
    stages = len(channels)
    return TutorialNet(classes, image_size, channels, (kernel,) * stages, (True,) * stages, hidden)
