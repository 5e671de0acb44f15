"""EfficientNet-Lite0, a network for photos whose ImageNet weights are installed with Tenfold (`pretrained.py`).

M. Tan and Q. V. Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (arXiv:1905.11946), in
Google's Lite variant: ReLU6 instead of Swish, no squeeze-and-excitation. The names of the weights are those of timm's
`tf_efficientnet_lite0`.

Shapes: B images, C channels, H×W pixels, h×w after strides.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.core.text import size_text
from tenfold.models.blocks import BatchNorm
from tenfold.models.build import models

MIN_SIDE = 32
"""Smallest height and width: the network halves an image five times."""

_STEM_CHANNELS = 32
_EPSILON = 1e-3
"""Of TensorFlow's batch normalization, with which the weights were trained."""


class _Stage(NamedTuple):
    """Blocks of one width; the first one has the stride."""

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int


_STAGES = (
    _Stage(1, 16, 3, 1, 1),
    _Stage(2, 24, 3, 2, 6),
    _Stage(2, 40, 5, 2, 6),
    _Stage(3, 80, 3, 2, 6),
    _Stage(3, 112, 5, 1, 6),
    _Stage(4, 192, 5, 2, 6),
    _Stage(1, 320, 3, 1, 6),
)


class SameConv(nn.Conv2d):
    """A convolution to ⌈H/stride⌉×⌈W/stride⌉ that pads as TensorFlow does: of an odd number, more below and right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, outputs, ⌈H/stride⌉, ⌈W/stride⌉] for float [B, inputs, H, W]."""
        if self.stride[0] > 1:
            height, width = (self._padding_for(side) for side in input.shape[2:])
            input = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))  # noqa: A001
        return super().forward(input)

    def _padding_for(self, side: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max(0, (-(-side // stride) - 1) * stride + kernel - side)


class SeparableBlock(nn.Module):
    """Depthwise 3×3 convolution, then a 1×1 convolution without activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = BatchNorm(inputs, eps=_EPSILON)
        self.conv_pw = SameConv(inputs, outputs, 1)
        self.bn2 = BatchNorm(outputs, eps=_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Returns float [B, outputs, h, w] for float [B, inputs, H, W]."""
        output: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(features)))))
        return output


class InvertedResidual(nn.Module):
    """1×1 convolution to more channels, depthwise convolution, 1×1 convolution to `outputs`; a residual where it fits.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: kernel size of the depthwise convolution.
        stride: its stride; 2 halves height and width.
        expansion: factor on `inputs` between the 1×1 convolutions.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.conv_pw = SameConv(inputs, inner, 1)
        self.bn1 = BatchNorm(inner, eps=_EPSILON)
        self.conv_dw = SameConv(inner, inner, kernel, stride, groups=inner)
        self.bn2 = BatchNorm(inner, eps=_EPSILON)
        self.conv_pwl = SameConv(inner, outputs, 1)
        self.bn3 = BatchNorm(outputs, eps=_EPSILON)
        self._is_residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Returns float [B, outputs, h, w] for float [B, inputs, H, W]."""
        inner = F.relu6(self.bn1(self.conv_pw(features)))
        inner = F.relu6(self.bn2(self.conv_dw(inner)))
        output: Tensor = self.bn3(self.conv_pwl(inner))
        return output + features if self._is_residual else output


class EfficientNetLite(nn.Module):
    """Stem convolution, seven stages of blocks, a 1×1 convolution, global average pooling, linear head.

    Args:
        num_classes: number of classes.
        dropout: dropout rate before the head, in [0, 1).
        num_features: channels before the head.
    """

    def __init__(self, num_classes: int, dropout: float, num_features: int) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, _STEM_CHANNELS, 3, stride=2)
        self.bn1 = BatchNorm(_STEM_CHANNELS, eps=_EPSILON)
        inputs, stages = _STEM_CHANNELS, []
        for stage in _STAGES:
            stages.append(nn.Sequential(*_blocks(stage, inputs)))
            inputs = stage.channels
        self.blocks = nn.Sequential(*stages)
        self.conv_head = SameConv(inputs, num_features, 1)
        self.bn2 = BatchNorm(num_features, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, num_classes], for normalized images, float [B, 3, H, W]."""
        logits: Tensor = self.classifier(self.dropout(self.features(images)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Returns what the head gets, float [B, num_features], for normalized images, float [B, 3, H, W]."""
        return self.stage_features(images)[-1]

    def stage_features(self, images: Tensor, last: int = 0) -> list[Tensor]:
        """Returns averages over the pixels after the last stages, and last those of `features`, each float [B, C].

        Args:
            images: normalized, float [B, 3, H, W].
            last: number of stages, at most 7; the last three have 112, 192 and 320 channels.
        """
        output, pooled = F.relu6(self.bn1(self.conv_stem(images))), []  # B C H/2 W/2
        for number, stage in enumerate(self.blocks):
            output = stage(output)
            if number >= len(self.blocks) - last:
                pooled.append(output.mean((2, 3)))
        return [*pooled, F.relu6(self.bn2(self.conv_head(output))).mean((2, 3))]


def _blocks(stage: _Stage, inputs: int) -> Iterator[nn.Module]:
    for number in range(stage.blocks):
        stride = 1 if number else stage.stride
        if stage.expansion == 1:
            yield SeparableBlock(inputs, stage.channels, stage.kernel, stride)
        else:
            yield InvertedResidual(inputs, stage.channels, stage.kernel, stride, stage.expansion)
        inputs = stage.channels


@models.add("lite0")
def lite0(
    num_classes: int,
    image_size: tuple[int, int],
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.2,
    num_features: Annotated[int, Field(ge=1, le=65_536)] = 1280,
) -> nn.Module:
    """EfficientNet-Lite0: 3.4 million parameters besides the head; see `EfficientNetLite`.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        dropout: dropout rate before the head, in [0, 1).
        num_features: channels before the head; the pretrained weights have 1,280.

    Raises:
        ModelError: when an image is smaller than 32×32.
    """
    if min(image_size) < MIN_SIDE:
        raise ModelError(
            f"images of {size_text(image_size)} cannot be halved five times; "
            f"use images of at least {MIN_SIDE} pixels per side (data.image_size)"
        )
    return EfficientNetLite(num_classes, dropout, num_features)
