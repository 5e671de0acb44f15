"""Muon on a GPU against double precision on the CPU."""

import pytest
import torch
from torch import Tensor, nn

from harness.gpu import gpu_tests
from tenfold.optim.muon import Muon

pytestmark = gpu_tests

SHAPES = ((8, 4, 3, 3), (16, 8, 3, 3), (32, 16, 3, 3), (16, 16, 3, 3), (24, 3, 2, 2), (12, 20), (20, 12))
LR, MOMENTUM, STEPS = 0.1, 0.6, 4


def draw(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def expected() -> list[Tensor]:
    """Returns the weights after the steps, one by one and in double precision."""
    ends = []
    for index, start in enumerate(draw(0)):
        weight, average = start.double(), torch.zeros_like(start).double()
        for step in range(STEPS):
            gradient = draw(1 + step)[index].double()
            average = MOMENTUM * average + gradient
            update = (gradient + MOMENTUM * average).flatten(1)
            x = update / update.norm()
            for _ in range(3):
                gram = x @ x.T
                x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
            weight = weight * len(weight) ** 0.5 / weight.norm() - LR * x.view_as(weight)
        ends.append(weight)
    return ends


def stepped(device: torch.device, dtype: torch.dtype, layout: torch.memory_format, *, together: bool) -> list[Tensor]:
    """Returns the weights after the steps of one rule for all of them, or of one rule each."""
    parameters = []
    for start in draw(0):
        moved = start.to(device)
        parameters.append(nn.Parameter(moved.contiguous(memory_format=layout) if moved.ndim == 4 else moved))
    groups = [parameters] if together else [[each] for each in parameters]
    rules = [Muon(group, LR, MOMENTUM, dtype) for group in groups]
    for step in range(STEPS):
        for parameter, gradient in zip(parameters, draw(1 + step), strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(gradient)  # in the layout of the weight
        for rule in rules:
            rule.step()
    return [parameter.detach().double().cpu() for parameter in parameters]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_steps_equal_double_precision(
    device: torch.device, dtype: torch.dtype, tolerance: float, layout: torch.memory_format
) -> None:
    for found, right in zip(stepped(device, dtype, layout, together=True), expected(), strict=True):
        assert (found - right).abs().max() < tolerance


def test_all_weights_together_equal_one_by_one(device: torch.device) -> None:
    layout = torch.channels_last
    together, alone = (stepped(device, torch.float32, layout, together=each) for each in (True, False))
    for one, other in zip(together, alone, strict=True):
        assert (one - other).abs().max() < 1e-5
