"""ResNet-18 with a stem for small images, the usual baseline on CIFAR.

K. He et al., "Deep residual learning for image recognition" (arXiv:1512.03385), with a 3×3 stem convolution without
stride or pooling, as in https://github.com/kuangliu/pytorch-cifar. The names of the weights are the same.

Shapes: B images, C channels, H×W pixels, h×w after the stages.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.core.text import size_text
from tenfold.models.blocks import BatchNorm
from tenfold.models.build import Depth, PositiveInt, models


class BasicBlock(nn.Module):
    """Residual block of two 3×3 convolutions.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: stride of the first convolution; 2 halves height and width.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Returns float [B, outputs, ⌈H/stride⌉, ⌈W/stride⌉] for float [B, inputs, H, W]."""
        residual = F.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        return F.relu(residual + self.shortcut(features))


class ResNet(nn.Module):
    """Stem convolution, stages of residual blocks, global average pooling, linear head.

    Args:
        num_classes: number of classes.
        width: channels of the first stage; each later stage doubles the channels and halves height and width.
        blocks: number of residual blocks in each stage.
    """

    def __init__(self, num_classes: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = BatchNorm(width)
        inputs = width
        for index, num_blocks in enumerate(blocks):
            outputs = width * 2**index
            stage = [BasicBlock(inputs, outputs, stride=2 if index else 1)]
            stage += [BasicBlock(outputs, outputs) for _ in range(num_blocks - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*stage))
            inputs = outputs
        self._stages = [f"layer{number}" for number in range(1, len(blocks) + 1)]
        self.linear = nn.Linear(inputs, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, num_classes], for normalized images, float [B, 3, H, W]."""
        features = F.relu(self.bn1(self.conv1(images)))  # B C H W
        for name in self._stages:
            features = self._modules[name](features)  # type: ignore[misc]  # B C h w
        logits: Tensor = self.linear(features.mean((2, 3)))  # B C → B num_classes
        return logits


@models.add("resnet18")
def resnet18(
    num_classes: int,
    image_size: tuple[int, int],
    width: PositiveInt = 64,
    blocks: Annotated[Sequence[Depth], Field(min_length=1)] = (2, 2, 2, 2),
) -> nn.Module:
    """ResNet-18 for small images: 11.2 million parameters for ten classes; see `ResNet`.

    Args:
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.
        width: channels of the first stage; each later stage doubles the channels and halves height and width.
        blocks: number of residual blocks in each stage; `[3, 4, 6, 3]` gives ResNet-34.

    Raises:
        ModelError: when the images are too small to be halved by every stage after the first.
    """
    num_halvings = len(blocks) - 1
    if min(image_size) >> num_halvings < 1:
        raise ModelError(
            f"images of {size_text(image_size)} cannot be halved {num_halvings} times; "
            "use larger images (data.image_size) or fewer stages (model.blocks)"
        )
    return ResNet(num_classes, width, blocks)
