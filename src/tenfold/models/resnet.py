"""The residual network that CIFAR results are usually compared with: ResNet-18 with a stem for small pictures.

K. He et al., "Deep residual learning for image recognition" (arXiv:1512.03385), with a first convolution of 3×3 without
stride or pooling after it, as in https://github.com/kuangliu/pytorch-cifar, whose names the weights bear.

Shapes: B pictures, C channels, H×W pixels, h×w what is left of them.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.core.errors import ModelError
from tenfold.models.blocks import Norm
from tenfold.models.build import AtLeastOne, models


class BasicBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to their input.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: of the first convolution; with 2 height and width are halved.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = Norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = Norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), Norm(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Returns float [B, outputs, H/stride, W/stride], rounded up, for float [B, inputs, H, W]."""
        change = F.relu(self.bn1(self.conv1(features)))
        change = self.bn2(self.conv2(change))
        return F.relu(change + self.shortcut(features))


class ResNet(nn.Module):
    """A convolution, stages of residual blocks, global average, linear head.

    Args:
        classes: number of classes.
        width: channels of the first stage; each further stage has twice as many and halves height and width.
        blocks: residual blocks of each stage.
    """

    def __init__(self, classes: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = Norm(width)
        inputs = width
        for number, count in enumerate(blocks):
            outputs = width * 2**number
            stage = [BasicBlock(inputs, outputs, stride=2 if number else 1)]
            stage += [BasicBlock(outputs, outputs) for _ in range(count - 1)]
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
            inputs = outputs
        self._stages = [f"layer{number}" for number in range(1, len(blocks) + 1)]
        self.linear = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, float [B, classes], for normalised pictures, float [B, 3, H, W]."""
        features = F.relu(self.bn1(self.conv1(images)))  # B C H W
        for name in self._stages:
            features = self._modules[name](features)  # type: ignore[misc]  # B C h w
        logits: Tensor = self.linear(features.mean((2, 3)))  # B C → B classes
        return logits


@models.add("resnet18")
def resnet18(
    classes: int,
    image_size: tuple[int, int],
    width: AtLeastOne = 64,
    blocks: Annotated[Sequence[AtLeastOne], Field(min_length=1)] = (2, 2, 2, 2),
) -> nn.Module:
    """ResNet-18 for small pictures: 11.2 million parameters for ten classes; see `ResNet`.

    Args:
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.
        width: channels of the first stage; each further stage has twice as many and halves height and width.
        blocks: residual blocks of each stage; `[3, 4, 6, 3]` makes ResNet-34.

    Raises:
        ModelError: when the pictures are too small to be halved by every stage after the first.
    """
    halvings = len(blocks) - 1
    if min(image_size) >> halvings < 1:
        raise ModelError(
            f"pictures of {image_size[0]}×{image_size[1]} cannot be halved {halvings} times; "
            "use larger pictures (data.image_size) or fewer stages (model.blocks)"
        )
    return ResNet(classes, width, blocks)
