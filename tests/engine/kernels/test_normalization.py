"""Pooling, normalisation and GELU in one against PyTorch's own in float64."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.devices import computes_bfloat16
from tenfold.engine.kernels.normalization import gelu, gelu_fits, norm_fits, norm_gelu
from tenfold.engine.kernels.programs import Workspace, compiler
from tenfold.models import blocks
from tenfold.models.blocks import Norm

pytestmark = pytest.mark.skipif(
    compiler() is None or not computes_bfloat16(torch.device("cpu")), reason="needs a C++ compiler and AVX-512 BF16"
)


def drawn(shape: tuple[int, ...], *, pool: bool) -> tuple[Tensor, Norm, Tensor]:
    generator = torch.Generator().manual_seed(0)
    channels = shape[1]
    norm = Norm(channels, eps=1e-12, momentum=0.3).train()
    norm.weight.requires_grad = False
    with torch.no_grad():
        norm.bias.copy_(torch.randn(channels, generator=generator))
    offset = 3 * torch.randn(channels, 1, 1, generator=generator)
    features = (2 * torch.randn(shape, generator=generator) + offset).bfloat16().requires_grad_()
    halved = [side // 2 if pool else side for side in shape[2:]]
    return features, norm, torch.randn(*shape[:2], *halved, generator=generator).bfloat16()


def learnt(features: Tensor, norm: Norm, gradient: Tensor, *, pool: bool, threads: int = 1) -> list[Tensor]:
    norm = deepcopy(norm)
    result = norm_gelu(Workspace(threads), features, norm, pool=pool)
    gradients = torch.autograd.grad(result, (features, norm.bias), gradient)
    return [result.detach(), *gradients, *(buffer.clone() for buffer in norm.buffers())]


def exact(features: Tensor, norm: Norm, gradient: Tensor, *, pool: bool) -> list[Tensor]:
    norm, doubles = deepcopy(norm).double(), features.detach().double().requires_grad_()
    result = blocks.norm_gelu(doubles, norm, pool=pool)
    return [result.detach(), *torch.autograd.grad(result, (doubles, norm.bias), gradient.double()), *norm.buffers()]


@settings(deadline=None)  # the first compiles the program
@given(st.integers(2, 5), st.sampled_from([16, 32, 80]), st.integers(4, 13), st.integers(4, 13), st.booleans())
def test_results_gradients_and_running_statistics_are_those_of_the_three_operations(
    count: int, channels: int, height: int, width: int, pool: bool
) -> None:
    drawing = drawn((count, channels, height, width), pool=pool)
    for found, expected in zip(learnt(*drawing, pool=pool), exact(*drawing, pool=pool), strict=True):
        assert found.shape == expected.shape
        # bfloat16 has 8 bits; of few values a channel, what is left of a gradient is the small difference of large ones
        assert torch.allclose(found.double(), expected.double(), rtol=0.01, atol=0.03)


def test_of_many_values_gradients_are_as_exact_as_bfloat16_can_hold() -> None:
    for pool in (False, True):
        drawing = drawn((100, 32, 9, 9), pool=pool)
        for found, expected in zip(learnt(*drawing, pool=pool), exact(*drawing, pool=pool), strict=True):
            assert float((found.double() - expected).norm() / expected.double().norm()) < 0.004


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    _, norm, gradient = drawn((2, 16, 4, 4), pool=True)
    features = torch.ones(2, 16, 4, 4, dtype=torch.bfloat16)
    features[1] = 2
    found = learnt(features.requires_grad_(), norm, gradient, pool=True)[1]
    corners = torch.zeros(4, 4, dtype=torch.bool)
    corners[::2, ::2] = True
    assert not found[..., ~corners].any()
    assert found[..., corners].any()


def test_the_number_of_threads_changes_no_bit() -> None:
    for pool in (False, True):
        drawing = drawn((40, 48, 11, 8), pool=pool)
        one = learnt(*drawing, pool=pool)
        assert all(map(torch.equal, one, learnt(*drawing, pool=pool, threads=3)))


@pytest.mark.parametrize("pool", [False, True])
def test_not_a_number_spreads(pool: bool) -> None:
    features, norm, _ = drawn((2, 16, 4, 4), pool=pool)
    with torch.no_grad():
        features[1, 3, 2, 2] = float("nan")
    assert norm_gelu(Workspace(1), features, norm, pool=pool)[:, 3].isnan().all()


def test_what_does_not_fit_is_left_to_pytorch() -> None:
    features, norm, _ = drawn((2, 32, 4, 4), pool=False)
    assert norm_fits(features, norm, pool=True)
    assert not norm_fits(features.float(), norm, pool=True)
    assert not norm_fits(features[:1, :, :3, :3], norm, pool=True)  # a single value has no deviation
    assert not norm_fits(features, deepcopy(norm).eval(), pool=True)
    learning, scaled = deepcopy(norm), deepcopy(norm)
    learning.weight.requires_grad = True
    scaled.weight.mul_(2)
    assert not norm_fits(features, learning, pool=False)
    assert not norm_fits(features, scaled, pool=False)
    assert not norm_fits(features[:, :24], Norm(24), pool=False)


def test_gelu_and_its_gradient_are_exact_to_bfloat16_everywhere() -> None:
    features = torch.linspace(-12, 12, 16 * 500).bfloat16().view(5, 16, 25, 4)
    for lasting in (torch.contiguous_format, torch.channels_last):
        narrow = features.contiguous(memory_format=lasting).requires_grad_()
        wide = features.double().requires_grad_()
        result, expected = gelu(Workspace(2), narrow), F.gelu(wide)
        gradient = torch.randn(features.shape).bfloat16()
        assert result.stride() == narrow.stride()
        assert torch.allclose(result.double(), expected, rtol=2**-8, atol=6e-4)
        pair = (torch.autograd.grad(result, narrow, gradient), torch.autograd.grad(expected, wide, gradient.double()))
        assert torch.allclose(pair[0][0].double(), pair[1][0], rtol=2**-8, atol=4e-3)


def test_gelu_of_what_does_not_fit_is_left_to_pytorch() -> None:
    features = torch.zeros(2, 8, 4, 4, dtype=torch.bfloat16)
    assert gelu_fits(features)
    assert not gelu_fits(features, approximate="tanh")
    assert not gelu_fits(features.float())
    assert not gelu_fits(features[:, :, ::2])
    assert not gelu_fits(features[0, 0, :3, :3].contiguous())
