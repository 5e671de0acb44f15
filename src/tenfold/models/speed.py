"""A convolutional network made for fast training.

The design follows K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498): a frozen
convolution that whitens 2×2 patches, three groups of convolution, pooling, batch normalization and GELU, and a scaled
linear head without bias.

Shapes: B images, C channels, H×W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.core.text import size_text
from tenfold.models.blocks import BatchNorm
from tenfold.models.build import Depth, PositiveInt, models

_VALUES_PER_CHUNK = 2_000_000
"""Image values whose patches are unfolded at once; bounds the memory, also for large images."""


class Whitening(nn.Conv2d):
    """A frozen 2×2 convolution to decorrelated channels; only its bias is trained.

    Its filters are the eigenvectors of the training patches' covariance, each divided by the square root of its
    eigenvalue, and their negatives (arXiv:2404.00498, section 3.1).

    Args:
        directions: number of eigenvectors kept, largest eigenvalues first, in [1, 12]; the last ones hold little but
            noise. Each makes two channels.
        stride: stride in pixels, 1 or 2.
    """

    def __init__(self, directions: int = 12, stride: int = 1) -> None:
        super().__init__(3, 2 * directions, kernel_size=2, stride=stride)
        self.weight.requires_grad = False

    @torch.no_grad()
    def fit(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Computes the filters from normalized training images.

        Args:
            images: float [N, 3, H, W]; some thousands are enough.
            epsilon: added to each eigenvalue, so that directions of mere noise are not amplified.
        """
        covariance, count = torch.zeros(12, 12, dtype=torch.float64, device=images.device), 0
        for chunk in images.split(max(1, _VALUES_PER_CHUNK // images[0].numel())):
            patches = chunk.float().unfold(2, 2, 1).unfold(3, 2, 1)  # N 3 H' W' 2 2
            patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
            covariance, count = covariance + patches.T @ patches, count + len(patches)
        eigenvalues, eigenvectors = torch.linalg.eigh((covariance / count).cpu())  # 12×12: sooner than on a GPU
        filters = (eigenvectors / (eigenvalues + epsilon).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
        kept = filters[: len(self.weight) // 2]
        self.weight.copy_(torch.cat([kept, -kept]))


class Residual(nn.Sequential):
    """Layers with a skip connection from input to output (arXiv:1512.03385)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, C, H, W] for features of the same shape."""
        features: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return input + features


class ConvGroup(nn.Sequential):
    """A convolution that halves height and width, then others that keep them, each with batch norm and GELU.

    Args:
        inputs: input channels.
        outputs: output channels of every convolution.
        depth: number of convolutions.
        momentum: see `SpeedNet`.
        strided: whether the first convolution has stride 2; otherwise 2×2 max-pooling follows it.
        residual: whether the other convolutions get a skip connection.
    """

    def __init__(
        self, inputs: int, outputs: int, depth: int, momentum: float, strided: bool = False, residual: bool = False
    ) -> None:
        first = [_conv3x3(inputs, outputs, stride=2)] if strided else [_conv3x3(inputs, outputs), nn.MaxPool2d(2)]
        others: list[nn.Module] = []
        for _ in range(depth - 1):
            others += [_conv3x3(outputs, outputs), _batch_norm(outputs, momentum), nn.GELU()]
        if residual and others:
            others = [Residual(*others[:-1]), nn.GELU()]
        super().__init__(*first, _batch_norm(outputs, momentum), nn.GELU(), *others)


class SpeedNet(nn.Module):
    """Whitening, groups of convolutions, global max-pooling, linear head.

    Args:
        num_classes: number of classes.
        widths: channels of each group; each group halves height and width.
        depth: number of convolutions in each group.
        scale: factor on the logits.
        momentum: weight of each batch in the running statistics of the batch norm.
        directions: see `Whitening`.
        strided: whether the first group halves by a stride, which costs a quarter of the pooled one; see `ConvGroup`.
        residual: see `ConvGroup`.
        stem_stride: stride of the whitening; with 2 all later layers see a quarter of the positions.
        stem_bias: whether the bias of the whitening is trained. Without, no gradient has to reach the first layer.
    """

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int],
        depth: int,
        scale: float,
        momentum: float,
        directions: int = 12,
        strided: bool = False,
        residual: bool = False,
        stem_stride: int = 1,
        stem_bias: bool = True,
    ) -> None:
        super().__init__()
        self.whiten = Whitening(directions, stem_stride)
        self.whiten.bias.requires_grad = stem_bias  # type: ignore[union-attr]
        self.activation = nn.GELU()
        self.groups = nn.Sequential(
            *(
                ConvGroup(inputs, outputs, depth, momentum, strided and index == 0, residual)
                for index, (inputs, outputs) in enumerate(pairwise((2 * directions, *widths)))
            )
        )
        self.head = nn.Linear(widths[-1], num_classes, bias=False)
        self.scale = scale

    def fit_to(self, images: Tensor) -> None:
        """Computes the whitening filters from training images; called once, before training.

        Args:
            images: normalized training images, float [N, 3, H, W]; some thousands are enough.
        """
        self.whiten.fit(images)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, num_classes], for normalized images, float [B, 3, H, W]."""
        features = self.groups(self.activation(self.whiten(images)))  # B C h w
        features = F.max_pool2d(features, features.shape[2:]).flatten(1)  # B C
        logits: Tensor = self.head(features) * self.scale
        return logits


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Returns a 3×3 convolution initialized to the identity on the channels that input and output have in common.

    With stride 2 nothing is padded, so that height and width become what pooling would make of them.
    """
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1 if stride == 1 else 0, stride=stride, bias=False)
    nn.init.dirac_(convolution.weight[:inputs].data)
    return convolution


def _batch_norm(channels: int, momentum: float) -> BatchNorm:
    """Returns a batch norm with a trained offset and a fixed scale: the next layer can undo any scale."""
    norm = BatchNorm(channels, eps=1e-12, momentum=momentum)
    norm.weight.requires_grad = False
    return norm


@models.add("quick")
def quick(
    num_classes: int,
    image_size: tuple[int, int],
    widths: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (32, 64, 128),
    depth: Depth = 2,
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1 / 9,
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.4,
    directions: Annotated[int, Field(ge=1, le=12)] = 12,
    strided: bool = False,
    residual: bool = False,
    stem_stride: Annotated[int, Field(ge=1, le=2)] = 1,
    stem_bias: bool = True,
) -> nn.Module:
    """Builds the network of the recipes `quick`, `blink`, `strong` and of those for a GPU; see `SpeedNet`.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        widths: channels of each group; each group halves height and width.
        depth: number of convolutions in each group.
        scale: factor on the logits.
        momentum: weight of each batch in the running statistics of the batch norm.
        directions: number of whitening directions kept; each makes two channels.
        strided: whether the first group halves by a stride instead of pooling: faster, a little less accurate.
        residual: whether the convolutions after the first of each group get a skip connection.
        stem_stride: stride of the whitening, 1 or 2: two to three times as fast with 2, and less accurate; for runs
            of seconds.
        stem_bias: whether the bias of the whitening is trained; without, steps take a little less time.

    Raises:
        ModelError: when the images are too small to be halved once for each group.
    """
    if ((min(image_size) - 2) // stem_stride + 1) >> len(widths) < 1:
        raise ModelError(
            f"images of {size_text(image_size)} cannot be halved {len(widths)} times; "
            "use larger images (data.image_size) or fewer groups (model.widths)"
        )
    return SpeedNet(num_classes, widths, depth, scale, momentum, directions, strided, residual, stem_stride, stem_bias)
