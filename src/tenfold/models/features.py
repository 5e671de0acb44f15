"""The features of a network: what its head, the last linear layer, computes the logits from.

Shapes: B images, H×W pixels, D features, C classes.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError
from tenfold.models.folding import example_image, folded, is_same
from tenfold.models.weights import head_layers


def head_of(model: nn.Module, num_classes: int) -> nn.Linear:
    """Returns the head of a network: its last linear layer, which has one output per class.

    Raises:
        ModelError: when there is no such layer.
    """
    layers = head_layers(model, num_classes)
    head = model.get_submodule(layers[-1]) if layers else None
    if not isinstance(head, nn.Linear) or len(layers) != 1:
        raise ModelError(
            f"{type(model).__name__} does not end in one linear layer with {num_classes:,} outputs, so its features "
            "are unknown; expected a network such as lite0, or most of timm's"
        )
    return head


class FeatureNetwork(nn.Module):
    """A frozen copy of a network without its head, with batch norm folded into convolutions.

    Args:
        model: a network with one linear head.
        num_classes: number of its outputs.
        image_size: height and width of its images, in pixels.

    Raises:
        ModelError: when it has no linear head, or its logits are not those of the head alone.

    Example:
        >>> from tenfold.models.build import build_model
        >>> model = build_model("lite0", {}, num_classes=2, image_size=(64, 64))
        >>> FeatureNetwork(model, 2, (64, 64))(torch.zeros(4, 3, 64, 64)).shape
        torch.Size([4, 1280])
    """

    def __init__(self, model: nn.Module, num_classes: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        example = example_image(image_size, next(model.parameters()).device)
        head = head_of(model, num_classes)
        network = deepcopy(model).eval().requires_grad_(False)
        with torch.no_grad():  # weights made in inference mode could not be used in every other mode
            logits = network(example)
            name = head_layers(network, num_classes)[-1]
            network.set_submodule(name, nn.Identity())
            features = network(example)
            if features.ndim != 2 or features.shape[1] != head.in_features or not is_same(head(features), logits):
                raise ModelError(
                    f"the logits of {type(model).__name__} are not those of its last linear layer alone, so a head "
                    "cannot be fitted to its features; train all layers instead (train.layers = 'all')"
                )
            copy = folded(network, example)
            self.network = network if copy is None else copy
        self.num_features = head.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Returns features, float [B, D], for normalized images, float [B, 3, H, W]."""
        features: Tensor = self.network(images)
        return features
