"""Convolutions by the compiled program against PyTorch's in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tenfold.core.devices import computes_bfloat16
from tenfold.engine.kernels.programs import Workspace, compiler
from tenfold.engine.kernels.winograd import convolve, filters_fit, images_fit

pytestmark = pytest.mark.skipif(
    compiler() is None or not computes_bfloat16(torch.device("cpu")), reason="needs a C++ compiler and AVX-512 BF16"
)

channels = st.sampled_from([32, 64, 96, 128])


def drawn(images: tuple[int, ...], outputs: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures as a ReLU leaves them, filters, and a gradient of what they become."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randn(images, generator=generator).relu().bfloat16()
    filters = torch.randn(outputs, images[1], 3, 3, generator=generator) / 30
    gradient = torch.randn(images[0], outputs, *images[2:], generator=generator).bfloat16()
    return pictures.requires_grad_(), filters.requires_grad_(), gradient


def learnt(pictures: Tensor, filters: Tensor, gradient: Tensor, *, threads: int = 1) -> list[Tensor]:
    result = convolve(Workspace(threads), pictures, filters)
    return [result.detach(), *torch.autograd.grad(result, (pictures, filters), gradient)]


def exact(pictures: Tensor, filters: Tensor, gradient: Tensor) -> list[Tensor]:
    doubles = [tensor.detach().double().requires_grad_() for tensor in (pictures, filters)]
    result = F.conv2d(*doubles, padding=1)
    return [result.detach(), *torch.autograd.grad(result, doubles, gradient.double())]


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@settings(deadline=None)  # the first compiles the program
@given(st.integers(1, 5), channels, channels, st.integers(2, 17), st.integers(2, 17))
def test_results_and_gradients_are_those_of_a_convolution_to_two_percent(
    count: int, inputs: int, outputs: int, height: int, width: int
) -> None:
    tensors = drawn((count, inputs, height, width), outputs)
    for found, expected in zip(learnt(*tensors), exact(*tensors), strict=True):
        assert found.shape == expected.shape
        assert distance(found, expected) < 0.02


def test_errors_have_no_direction() -> None:
    """A thousand values a channel leave a mean error far below that of one."""
    tensors = drawn((60, 64, 15, 15), 64)
    for found, expected in zip(learnt(*tensors), exact(*tensors), strict=True):
        errors = found.double() - expected
        assert distance(found, expected) < 0.015
        assert abs(float(errors.mean())) < 0.05 * float(errors.std())


def test_more_tiles_than_are_worked_on_at_once_are_all_counted() -> None:
    tensors = drawn((35, 32, 15, 15), 32)  # 560 tiles: more than 480, and no multiple of 48
    for found, expected in zip(learnt(*tensors), exact(*tensors), strict=True):
        assert distance(found, expected) < 0.015


def test_the_number_of_threads_changes_no_bit() -> None:
    tensors = drawn((9, 96, 7, 11), 64)
    one = learnt(*tensors)
    assert all(map(torch.equal, one, learnt(*tensors, threads=3)))
    assert all(map(torch.equal, one, learnt(*tensors)))


def test_it_does_not_matter_how_tensors_lie_in_memory() -> None:
    pictures, filters, gradient = drawn((3, 32, 6, 5), 64)
    expected = learnt(pictures, filters, gradient)
    other = [tensor.detach().contiguous(memory_format=torch.channels_last) for tensor in (pictures, filters, gradient)]
    found = learnt(other[0].requires_grad_(), other[1].requires_grad_(), other[2])
    assert all(map(torch.equal, found, expected))


def test_float32_pictures_get_float32_gradients() -> None:
    pictures, filters, gradient = drawn((2, 32, 4, 4), 32)
    wide = pictures.detach().float().requires_grad_()
    result = convolve(Workspace(1), wide, filters)
    (found,) = torch.autograd.grad(result, wide, gradient)
    assert found.dtype == torch.float32
    assert torch.equal(found, learnt(pictures, filters, gradient)[1].float())


def test_not_a_number_spreads() -> None:
    pictures, filters, _ = drawn((1, 32, 4, 4), 32)
    with torch.no_grad():
        pictures[0, 5, 1, 1] = float("nan")
    assert convolve(Workspace(1), pictures, filters).isnan().any()


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


def test_pictures_of_a_single_row_and_no_pictures_do_not_fit() -> None:
    assert images_fit(torch.zeros(1, 32, 2, 2))
    assert not images_fit(torch.zeros(1, 32, 1, 5))
    assert not images_fit(torch.zeros(0, 32, 4, 4))
    assert not images_fit(torch.zeros(32, 4, 4))
