"""A convolutional network made for fast training.

The design follows K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498): a frozen
convolution that whitens 2×2 patches, three groups of convolution, pooling, normalisation and GELU, and a scaled
linear head without bias.

Shapes: B pictures, C channels, H×W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.models.blocks import Norm, norm_gelu
from tenfold.models.build import AtLeastOne, models

_AT_ONCE = 2_000_000
"""Numbers of pictures whose patches are looked at together; bounds the memory, also for large pictures."""


class Whitening(nn.Conv2d):
    """A frozen 2×2 convolution to decorrelated channels; only its bias learns.

    Its filters are the eigenvectors of the training patches' covariance, each divided by the root of its
    eigenvalue, and their negatives (arXiv:2404.00498, section 3.1).

    Args:
        directions: how many eigenvectors are kept, those of the greatest eigenvalues first, in [1, 12]; the last ones
            hold little but noise. Each makes two channels.
        stride: pixels from one patch to the next, 1 or 2.
    """

    def __init__(self, directions: int = 12, stride: int = 1) -> None:
        super().__init__(3, 2 * directions, kernel_size=2, stride=stride)
        self.weight.requires_grad = False

    @torch.no_grad()
    def fit(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Computes the filters from normalised training pictures, float [N, 3, H, W].

        Args:
            images: some thousands are enough.
            epsilon: added to each eigenvalue, so that directions of mere noise are not blown up.
        """
        products, count = torch.zeros(12, 12, dtype=torch.float64, device=images.device), 0
        for some in images.split(max(1, _AT_ONCE // images[0].numel())):
            patches = some.float().unfold(2, 2, 1).unfold(3, 2, 1)  # N 3 H' W' 2 2
            patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
            products, count = products + patches.T @ patches, count + len(patches)
        eigenvalues, eigenvectors = torch.linalg.eigh(products / count)
        filters = (eigenvectors / (eigenvalues + epsilon).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
        kept = filters[: len(self.weight) // 2]
        self.weight.copy_(torch.cat([kept, -kept]))


class Skip(nn.Sequential):
    """Adds to its input what its layers make of it (arXiv:1512.03385)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, C, H, W] for the same."""
        features: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return input + features


class Group(nn.Sequential):
    """A convolution that halves height and width, then others that keep them, each with normalisation and GELU.

    Args:
        inputs: channels that come in.
        outputs: channels of every convolution.
        depth: convolutions.
        momentum: see `SpeedNet`.
        strided: whether the first convolution visits every second pixel; otherwise 2×2 max-pooling follows it.
        residual: whether the other convolutions are skipped by a connection.
    """

    def __init__(
        self, inputs: int, outputs: int, depth: int, momentum: float, strided: bool = False, residual: bool = False
    ) -> None:
        first = [_filter(inputs, outputs, stride=2)] if strided else [_filter(inputs, outputs), nn.MaxPool2d(2)]
        others: list[nn.Module] = []
        for _ in range(depth - 1):
            others += [_filter(outputs, outputs), _norm(outputs, momentum), nn.GELU()]
        if residual and others:
            others = [Skip(*others[:-1]), nn.GELU()]
        super().__init__(*first, _norm(outputs, momentum), nn.GELU(), *others)
        self._plain = not residual

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, outputs, H / 2, W / 2] for float [B, inputs, H, W]."""
        if not (self.training and self._plain):  # layer by layer, so that hooks see what each makes
            features: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
            return features
        features, pool = input, False
        for layer in self:  # GELU comes with the normalisation before it
            if isinstance(layer, nn.Conv2d):
                features = layer(features)
            elif isinstance(layer, Norm):
                features = norm_gelu(features, layer, pool=pool)
            pool = isinstance(layer, nn.MaxPool2d)
        return features


class SpeedNet(nn.Module):
    """Whitening, groups of convolutions, global maximum, linear head.

    Args:
        classes: number of classes.
        widths: channels of each group; each group halves height and width.
        depth: convolutions in each group.
        scale: factor on the logits.
        momentum: share of each batch in the running statistics of the normalisation.
        directions: see `Whitening`.
        strided: whether the first group halves by a stride, which costs a quarter; see `Group`.
        residual: see `Group`.
        stem_stride: see `Whitening`; with 2 all that follows works on a quarter of the places.
    """

    def __init__(
        self,
        classes: int,
        widths: Sequence[int],
        depth: int,
        scale: float,
        momentum: float,
        directions: int = 12,
        strided: bool = False,
        residual: bool = False,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.whiten = Whitening(directions, stem_stride)
        self.activation = nn.GELU()
        self.groups = nn.Sequential(
            *(
                Group(inputs, outputs, depth, momentum, strided and place == 0, residual)
                for place, (inputs, outputs) in enumerate(pairwise((2 * directions, *widths)))
            )
        )
        self.head = nn.Linear(widths[-1], classes, bias=False)
        self.scale = scale

    def fit_to(self, images: Tensor) -> None:
        """Sets what depends on the data, before training: the whitening filters.

        Args:
            images: normalised training pictures, float [N, 3, H, W]; some thousands are enough.
        """
        self.whiten.fit(images)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, classes], for normalised pictures, float [B, 3, H, W]."""
        features = self.groups(self.activation(self.whiten(images)))  # B C h w
        features = F.adaptive_max_pool2d(features, 1).flatten(1)  # B C
        logits: Tensor = self.head(features) * self.scale
        return logits


def _filter(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3×3 convolution that starts as the identity on the channels it shares with its input ("dirac").

    With a stride of 2 nothing is padded, so that height and width become what pooling would make of them.
    """
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1 if stride == 1 else 0, stride=stride, bias=False)
    nn.init.dirac_(convolution.weight[:inputs].data)
    return convolution


def _norm(channels: int, momentum: float) -> Norm:
    """Normalisation that learns an offset only: a scale would be undone by the next layer."""
    norm = Norm(channels, eps=1e-12, momentum=momentum)
    norm.weight.requires_grad = False
    return norm


@models.add("quick")
def quick(
    classes: int,
    image_size: tuple[int, int],
    widths: Annotated[Sequence[AtLeastOne], Field(min_length=1)] = (32, 64, 128),
    depth: AtLeastOne = 2,
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1 / 9,
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.4,
    directions: Annotated[int, Field(ge=1, le=12)] = 12,
    strided: bool = False,
    residual: bool = False,
    stem_stride: Annotated[int, Field(ge=1, le=2)] = 1,
) -> nn.Module:
    """The network of the recipes `quick`, `blink`, `strong` and those for a GPU; see `SpeedNet`.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        widths: channels of each group; each group halves height and width.
        depth: convolutions in each group.
        scale: factor on the logits.
        momentum: share of each batch in the running statistics of the normalisation.
        directions: of the whitening that are kept; each makes two channels.
        strided: whether the first group halves by a stride instead of pooling: faster, a little less accurate.
        residual: whether the convolutions after the first of each group are skipped by a connection.
        stem_stride: pixels from one whitened patch to the next, 1 or 2: two to three times as fast with 2, and less
            accurate; for runs of seconds.

    Raises:
        ModelError: when the pictures are too small to be halved once for each group.
    """
    if ((min(image_size) - 2) // stem_stride + 1) >> len(widths) < 1:
        raise ModelError(
            f"pictures of {image_size[0]}×{image_size[1]} cannot be halved {len(widths)} times; "
            "use larger pictures (data.image_size) or fewer groups (model.widths)"
        )
    return SpeedNet(classes, widths, depth, scale, momentum, directions, strided, residual, stem_stride)
