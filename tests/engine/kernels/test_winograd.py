"""Winograd convolutions against PyTorch's convolution in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from harness.needs import needs_bfloat16, needs_compiler
from tenfold.engine.kernels.programs import Workspace
from tenfold.engine.kernels.winograd import convolve, filters_fit, images_fit

channels = st.sampled_from([32, 64, 96, 128])


def random_tensors(shape: tuple[int, ...], outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images as a ReLU leaves them, filters, and a gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator).relu().bfloat16()
    filters = torch.randn(outputs, shape[1], 3, 3, generator=generator) / 30
    gradient = torch.randn(shape[0], outputs, *shape[2:], generator=generator).bfloat16()
    return images.requires_grad_(), filters.requires_grad_(), gradient


def kernel_results(images: Tensor, filters: Tensor, gradient: Tensor, *, threads: int = 1) -> list[Tensor]:
    result = convolve(Workspace(threads), images, filters)
    return [result.detach(), *torch.autograd.grad(result, (images, filters), gradient)]


def float64_results(images: Tensor, filters: Tensor, gradient: Tensor) -> list[Tensor]:
    doubles = [tensor.detach().double().requires_grad_() for tensor in (images, filters)]
    result = F.conv2d(*doubles, padding=1)
    return [result.detach(), *torch.autograd.grad(result, doubles, gradient.double())]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@needs_bfloat16
@needs_compiler
@settings(deadline=None)  # the first example compiles the program
@given(st.integers(1, 5), channels, channels, st.integers(2, 17), st.integers(2, 17))
def test_results_and_gradients_are_exact_to_two_percent(
    count: int, inputs: int, outputs: int, height: int, width: int
) -> None:
    tensors = random_tensors((count, inputs, height, width), outputs)
    for found, expected in zip(kernel_results(*tensors), float64_results(*tensors), strict=True):
        assert found.shape == expected.shape
        assert relative_error(found, expected) < 0.02


@needs_bfloat16
@needs_compiler
def test_errors_have_no_bias() -> None:
    """A thousand values per channel have a mean error far below that of one value."""
    tensors = random_tensors((60, 64, 15, 15), 64)
    for found, expected in zip(kernel_results(*tensors), float64_results(*tensors), strict=True):
        errors = found.double() - expected
        assert relative_error(found, expected) < 0.015
        assert abs(float(errors.mean())) < 0.05 * float(errors.std())


@needs_bfloat16
@needs_compiler
def test_tiles_beyond_the_first_chunk_are_included() -> None:
    tensors = random_tensors((35, 32, 15, 15), 32)  # 560 tiles: more than 480, and no multiple of 48
    for found, expected in zip(kernel_results(*tensors), float64_results(*tensors), strict=True):
        assert relative_error(found, expected) < 0.015


@needs_bfloat16
@needs_compiler
def test_the_number_of_threads_changes_no_bit() -> None:
    tensors = random_tensors((9, 96, 7, 11), 64)
    expected = kernel_results(*tensors)
    assert all(map(torch.equal, expected, kernel_results(*tensors, threads=3)))
    assert all(map(torch.equal, expected, kernel_results(*tensors)))


@needs_bfloat16
@needs_compiler
def test_the_memory_format_changes_no_bit() -> None:
    tensors = random_tensors((3, 32, 6, 5), 64)
    expected = kernel_results(*tensors)
    images, filters, gradient = (tensor.detach().contiguous(memory_format=torch.channels_last) for tensor in tensors)
    found = kernel_results(images.requires_grad_(), filters.requires_grad_(), gradient)
    assert all(map(torch.equal, found, expected))


@needs_bfloat16
@needs_compiler
def test_float32_images_get_float32_gradients() -> None:
    images, filters, gradient = random_tensors((2, 32, 4, 4), 32)
    float32_images = images.detach().float().requires_grad_()
    result = convolve(Workspace(1), float32_images, filters)
    (found,) = torch.autograd.grad(result, float32_images, gradient)
    assert found.dtype == torch.float32
    assert torch.equal(found, kernel_results(images, filters, gradient)[1].float())


@needs_bfloat16
@needs_compiler
def test_nan_spreads() -> None:
    images, filters, _ = random_tensors((1, 32, 4, 4), 32)
    with torch.no_grad():
        images[0, 5, 1, 1] = float("nan")
    assert convolve(Workspace(1), images, filters).isnan().any()


@pytest.mark.parametrize(
    ("shape", "bias", "changed"),
    [
        ((64, 48, 3, 3), False, {}),
        ((48, 64, 3, 3), False, {}),
        ((64, 64, 5, 5), False, {}),
        ((64, 64, 3, 3), True, {}),
        ((64, 64, 3, 3), False, {"stride": (2, 2)}),
        ((64, 64, 3, 3), False, {"padding": (0, 0)}),
        ((64, 64, 3, 3), False, {"dilation": (2, 2)}),
        ((64, 32, 3, 3), False, {"groups": 2}),
    ],
)
def test_other_convolutions_do_not_fit(shape: tuple[int, ...], bias: bool, changed: dict[str, object]) -> None:
    usual = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    assert filters_fit(torch.zeros(64, 64, 3, 3), None, **usual)  # type: ignore[arg-type]
    assert not filters_fit(torch.zeros(shape), torch.zeros(shape[0]) if bias else None, **{**usual, **changed})  # type: ignore[arg-type]


def test_single_rows_and_empty_batches_do_not_fit() -> None:
    assert images_fit(torch.zeros(1, 32, 2, 2))
    assert not images_fit(torch.zeros(1, 32, 1, 5))
    assert not images_fit(torch.zeros(0, 32, 4, 4))
    assert not images_fit(torch.zeros(32, 4, 4))
