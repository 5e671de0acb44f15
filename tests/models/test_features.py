"""Tests of the features of a network."""

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError
from tenfold.models.build import build_model
from tenfold.models.features import FeatureNetwork, head_of


def randomized(name: str) -> nn.Module:
    """Returns a network in evaluation mode whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = build_model(name, {}, num_classes=3, image_size=(32, 32)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    return model


@pytest.mark.parametrize("name", ["lite0", "resnet18", "quick", "tutorial", "mlp"])
@torch.inference_mode()
def test_head_of_features_is_the_logits(name: str) -> None:
    model = randomized(name)
    features = FeatureNetwork(model, 3, (32, 32))
    images = torch.randn(5, 3, 32, 32)
    logits = head_of(model, 3)(features(images))
    torch.testing.assert_close(logits, model(images), atol=1e-4, rtol=1e-4)


def test_batch_norm_is_folded_into_the_convolutions() -> None:
    features = FeatureNetwork(randomized("lite0"), 3, (32, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in features.modules())


def test_the_network_itself_is_not_changed() -> None:
    model = randomized("resnet18")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    FeatureNetwork(model, 3, (32, 32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class _Probabilities(nn.Module):
    """A network that does more after its last linear layer than the layer does."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        return logits.softmax(1)


def test_a_network_whose_logits_are_not_those_of_its_head_is_refused() -> None:
    with pytest.raises(ModelError, match="logits of _Probabilities are not those of its last linear layer alone"):
        FeatureNetwork(_Probabilities(), 3, (8, 8))


def test_a_network_without_a_linear_head_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten())
    with pytest.raises(ModelError, match="Sequential does not end in one linear layer with 3 outputs"):
        FeatureNetwork(model, 3, (8, 8))
