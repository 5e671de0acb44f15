"""Max-pooling, batch norm and GELU as one operation against PyTorch's in float64."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from harness.needs import needs_bfloat16, needs_compiler
from tenfold.engine.kernels.normalization import gelu, gelu_fits, norm_fits, norm_gelu
from tenfold.engine.kernels.programs import Workspace
from tenfold.models.blocks import BatchNorm


def random_tensors(shape: tuple[int, ...], *, pool: bool) -> tuple[Tensor, BatchNorm, Tensor]:
    """Features, a batch norm whose scale is not trained, and a gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    channels = shape[1]
    norm = BatchNorm(channels, eps=1e-12, momentum=0.3).train()
    norm.weight.requires_grad = False
    with torch.no_grad():
        norm.bias.copy_(torch.randn(channels, generator=generator))
    offset = 3 * torch.randn(channels, 1, 1, generator=generator)
    features = (2 * torch.randn(shape, generator=generator) + offset).bfloat16().requires_grad_()
    sides = [side // 2 if pool else side for side in shape[2:]]
    return features, norm, torch.randn(*shape[:2], *sides, generator=generator).bfloat16()


def kernel_results(
    features: Tensor, norm: BatchNorm, gradient: Tensor, *, pool: bool, threads: int = 1
) -> list[Tensor]:
    """Result, gradients of features and bias, and running statistics."""
    norm = deepcopy(norm)
    result = norm_gelu(Workspace(threads), features, norm, pool=pool)
    gradients = torch.autograd.grad(result, (features, norm.bias), gradient)
    return [result.detach(), *gradients, *(buffer.clone() for buffer in norm.buffers())]


def float64_results(features: Tensor, norm: BatchNorm, gradient: Tensor, *, pool: bool) -> list[Tensor]:
    norm, doubles = deepcopy(norm).double(), features.detach().double().requires_grad_()
    result = F.gelu(norm(F.max_pool2d(doubles, 2) if pool else doubles))
    return [result.detach(), *torch.autograd.grad(result, (doubles, norm.bias), gradient.double()), *norm.buffers()]


@needs_bfloat16
@needs_compiler
@settings(deadline=None)  # the first example compiles the program
@given(st.integers(2, 5), st.sampled_from([16, 32, 80]), st.integers(4, 13), st.integers(4, 13), st.booleans())
def test_results_gradients_and_running_statistics_match_pytorch(
    count: int, channels: int, height: int, width: int, pool: bool
) -> None:
    tensors = random_tensors((count, channels, height, width), pool=pool)
    for found, expected in zip(kernel_results(*tensors, pool=pool), float64_results(*tensors, pool=pool), strict=True):
        assert found.shape == expected.shape
        # bfloat16 has 8 bits. With few values per channel a gradient is the small difference of large numbers.
        assert torch.allclose(found.double(), expected.double(), rtol=0.01, atol=0.03)


@needs_bfloat16
@needs_compiler
@pytest.mark.parametrize("pool", [False, True])
def test_large_batches_are_as_exact_as_bfloat16_allows(pool: bool) -> None:
    tensors = random_tensors((100, 32, 9, 9), pool=pool)
    for found, expected in zip(kernel_results(*tensors, pool=pool), float64_results(*tensors, pool=pool), strict=True):
        assert float((found.double() - expected).norm() / expected.double().norm()) < 0.004


@needs_bfloat16
@needs_compiler
def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    _, norm, gradient = random_tensors((2, 16, 4, 4), pool=True)
    features = torch.ones(2, 16, 4, 4, dtype=torch.bfloat16)
    features[1] = 2
    found = kernel_results(features.requires_grad_(), norm, gradient, pool=True)[1]
    first_corners = torch.zeros(4, 4, dtype=torch.bool)
    first_corners[::2, ::2] = True
    assert not found[..., ~first_corners].any()
    assert found[..., first_corners].any()


@needs_bfloat16
@needs_compiler
@pytest.mark.parametrize("pool", [False, True])
def test_the_number_of_threads_changes_no_bit(pool: bool) -> None:
    tensors = random_tensors((40, 48, 11, 8), pool=pool)
    expected = kernel_results(*tensors, pool=pool)
    assert all(map(torch.equal, expected, kernel_results(*tensors, pool=pool, threads=3)))


@needs_bfloat16
@needs_compiler
@pytest.mark.parametrize("pool", [False, True])
def test_nan_spreads_over_its_channel(pool: bool) -> None:
    features, norm, _ = random_tensors((2, 16, 4, 4), pool=pool)
    with torch.no_grad():
        features[1, 3, 2, 2] = float("nan")
    assert norm_gelu(Workspace(1), features, norm, pool=pool)[:, 3].isnan().all()


def test_other_features_and_norms_do_not_fit() -> None:
    features, norm, _ = random_tensors((2, 32, 4, 4), pool=False)
    assert norm_fits(features, norm, pool=True)
    assert not norm_fits(features.float(), norm, pool=True)
    assert not norm_fits(features[:1, :, :3, :3], norm, pool=True)  # a single value has no variance
    assert not norm_fits(features, deepcopy(norm).eval(), pool=True)
    trained_scale, other_scale = deepcopy(norm), deepcopy(norm)
    trained_scale.weight.requires_grad = True
    other_scale.weight.mul_(2)
    assert not norm_fits(features, trained_scale, pool=False)
    assert not norm_fits(features, other_scale, pool=False)
    assert not norm_fits(features[:, :24], BatchNorm(24), pool=False)


@needs_bfloat16
@needs_compiler
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gelu_and_its_gradient_are_as_exact_as_bfloat16_allows(memory_format: torch.memory_format) -> None:
    values = torch.linspace(-12, 12, 16 * 500).bfloat16().view(5, 16, 25, 4)
    features = values.contiguous(memory_format=memory_format).requires_grad_()
    doubles = values.double().requires_grad_()
    gradient = torch.randn(values.shape).bfloat16()
    result, expected = gelu(Workspace(2), features), F.gelu(doubles)
    assert result.stride() == features.stride()
    assert torch.allclose(result.double(), expected, rtol=2**-8, atol=6e-4)
    (found,) = torch.autograd.grad(result, features, gradient)
    (expected,) = torch.autograd.grad(expected, doubles, gradient.double())
    assert torch.allclose(found.double(), expected, rtol=2**-8, atol=4e-3)


def test_other_features_and_approximations_do_not_fit_gelu() -> None:
    features = torch.zeros(2, 8, 4, 4, dtype=torch.bfloat16)
    assert gelu_fits(features)
    assert not gelu_fits(features, approximate="tanh")
    assert not gelu_fits(features.float())
    assert not gelu_fits(features[:, :, ::2])
    assert not gelu_fits(features[0, 0, :3, :3].contiguous())
