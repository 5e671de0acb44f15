import torch
from torch import nn

from tenfold.models.blocks import BatchNorm


def test_a_single_value_per_channel_uses_the_running_statistics() -> None:
    norm = BatchNorm(4).train()
    features = torch.randn(1, 4, 1, 1)
    assert torch.allclose(norm(features), features, atol=1e-4)


def test_several_values_per_channel_are_normalized_as_by_pytorch() -> None:
    ours, theirs = BatchNorm(5, momentum=0.3), nn.BatchNorm2d(5, momentum=0.3)
    for shape in [(2, 5, 1, 1), (1, 5, 2, 3), (4, 5, 6, 6)]:
        batch = torch.randn(shape)
        assert torch.equal(ours(batch), theirs(batch))
    assert torch.equal(ours.running_var, theirs.running_var)
