"""The best convolution: what is computed, counted and chosen."""

import pytest
import torch

from tenfold.engine.step_timing import flops_per_picture
from tenfold.experiments.bench import roofline as bench_roof
from tenfold.experiments.bench.roofline import Convolution, Roof, candidates, convolution_work, measure_beside_roof
from tenfold.experiments.bench.timing import ROUNDS, Measured, Work

CPU = torch.device("cpu")
SMALL, LARGE = Convolution(4, 8, 2), Convolution(8, 8, 2)


@pytest.mark.parametrize("backward", [False, True])
def test_operations_are_those_that_pytorch_counts(backward: bool) -> None:
    shape = Convolution(4, 8, 5)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 3, padding=1))
    first = 5 * 2 * 3 * 4 * 64 * (2 if backward else 1)  # whose pictures need no gradient
    counted = 5 * flops_per_picture(network, (8, 8), backward=backward)
    assert counted - first == shape.flops(backward=backward)


def test_the_best_is_the_one_of_most_operations_a_second() -> None:
    roof = Roof((SMALL, LARGE), (Measured((1e-3, 5e-3, 1e-3)), Measured((2e-3, 2e-3, 9.0))), True, "float32")
    assert roof.best == LARGE
    assert roof.flops_per_second == LARGE.flops(backward=True) / 2e-3
    found = roof.to_json()
    assert found["best"] == "3×3, 8→8 channels, 2 pictures of 8×8"
    assert [each["seconds"]["each"] for each in found["each"]] == [[1e-3, 5e-3, 1e-3], [2e-3, 2e-3, 9.0]]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_convolutions_run_and_leave_the_choice_of_kernels_alone(precision: torch.dtype, backward: bool) -> None:
    before = torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark, torch.get_rng_state()
    convolution_work(SMALL, CPU, precision, backward=backward).once()
    assert (torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_roof_is_measured_beside_the_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_roof, "candidates", lambda device: (SMALL, LARGE))
    called: list[int] = []
    (measured,), roof = measure_beside_roof([Work(lambda: called.append(1))], CPU, torch.float32, 1e-4, backward=True)
    assert len(measured.each) == ROUNDS
    assert [len(seconds.each) for seconds in roof.seconds] == [ROUNDS] * 2
    assert (roof.convolutions, roof.precision, roof.backward) == ((SMALL, LARGE), "float32", True)
    assert called


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_candidates_are_several_hundred_pictures_of_8_to_32_pixels(device: str) -> None:
    shapes = candidates(torch.device(device))
    assert [shape.channels for shape in shapes] == [64, 128, 256]
    assert all(8 <= shape.side <= 32 and shape.pictures >= 200 for shape in shapes)
