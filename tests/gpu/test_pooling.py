"""Max-pooling in Triton equals PyTorch's, forward and backward, ties and uncovered edges included."""

import pytest
import torch
from torch.nn import functional as F

from harness.gpu import cuda_only, gpu_tests
from tenfold.engine.kernels import gpu_pooling

pytestmark = gpu_tests


@cuda_only
@pytest.mark.parametrize("dtype", gpu_pooling.DTYPES)
@pytest.mark.parametrize("shape", [(2, 8, 7, 9), (3, 24, 4, 6), (1, 70, 5, 4), (2, 64, 31, 31), (1, 256, 2, 2)])
def test_pooling_equals_pytorchs(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
    gpu_pooling.define()
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0)).mul(2).round()  # with many ties
    own = features.to(device, dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    plain = features.to(dtype).requires_grad_()
    pooled, expected = torch.ops.tenfold.max_pool_2x2(own)[0], F.max_pool2d(plain, 2)
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    pooled.backward(gradient.to(device))
    expected.backward(gradient)
    assert torch.equal(pooled.cpu(), expected)
    assert own.grad is not None
    assert plain.grad is not None
    assert torch.equal(own.grad.cpu(), plain.grad)
