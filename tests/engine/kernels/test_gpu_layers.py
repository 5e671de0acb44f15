"""Layers that run otherwise on a GPU: what a CPU can tell of them."""

import pytest
import torch
from torch import nn

from tenfold.engine.kernels.gpu_layers import GpuLayers


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_of_zeros_do_not_change_a_convolution_of_images(stride: int) -> None:
    layer = nn.Conv2d(3, 8, 2, stride=stride, padding=1)
    images = torch.randn(2, 3, 9, 7)
    expected = layer(images)
    with GpuLayers(layer):
        padded = layer(images)
    torch.testing.assert_close(padded, expected)
    expected.sum().backward()
    gradient, layer.weight.grad = layer.weight.grad, None
    padded.sum().backward()
    torch.testing.assert_close(layer.weight.grad, gradient)


def test_layers_have_their_own_forward_pass_outside_of_the_block_and_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.MaxPool2d(3), nn.AvgPool2d(2))
    replaced = GpuLayers(model)
    with replaced:
        assert [index for index, layer in enumerate(model) if "forward" in vars(layer)] == [0, 1]
    with pytest.raises(RuntimeError, match="channels"), replaced:
        model(torch.zeros(1, 5, 16, 16))
    assert not any("forward" in vars(layer) for layer in model)


def test_on_a_cpu_pooling_is_pytorchs_own() -> None:
    pool, features = nn.MaxPool2d(2), torch.randn(2, 4, 7, 6)
    with GpuLayers(pool):
        assert torch.equal(pool(features), nn.functional.max_pool2d(features, 2))
