"""The roofline: which convolutions are computed, how their operations count, which is the fastest."""

import pytest
import torch

from tenfold.engine.step_timing import flops_per_image
from tenfold.experiments.bench import roofline
from tenfold.experiments.bench.roofline import (
    Convolution,
    Roofline,
    candidate_convolutions,
    convolution_function,
    measure_with_roofline,
)
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples

CPU = torch.device("cpu")
SMALL, LARGE = Convolution(4, 8, 2), Convolution(8, 8, 2)


@pytest.mark.parametrize("backward", [False, True])
def test_operations_are_counted_as_by_pytorch(backward: bool) -> None:
    convolution = Convolution(4, 8, 5)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 3, padding=1))
    first = 5 * 2 * 3 * 4 * 64 * (2 if backward else 1)  # its images need no gradient
    counted = 5 * flops_per_image(network, (8, 8), backward=backward)
    assert counted - first == convolution.flops(backward=backward)


def test_the_best_convolution_has_most_operations_per_second() -> None:
    measured = Roofline((SMALL, LARGE), (Samples((1e-3, 5e-3, 1e-3)), Samples((2e-3, 2e-3, 9.0))), True, "float32")
    assert measured.best == LARGE
    assert measured.flops_per_second == LARGE.flops(backward=True) / 2e-3
    found = measured.to_json()
    assert found["best"] == "3×3, 8→8 channels, 2 images of 8×8"
    assert [each["seconds"]["each"] for each in found["each"]] == [[1e-3, 5e-3, 1e-3], [2e-3, 2e-3, 9.0]]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_convolutions_restore_the_choice_of_kernels(precision: torch.dtype, backward: bool) -> None:
    before = torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark, torch.get_rng_state()
    convolution_function(SMALL, CPU, precision, backward=backward)()
    assert (torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_roofline_is_measured_in_turns_with_the_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "candidate_convolutions", lambda device: (SMALL, LARGE))
    calls: list[int] = []
    (samples,), found = measure_with_roofline([lambda: calls.append(1)], CPU, torch.float32, 1e-4, backward=True)
    assert len(samples.values) == NUM_ROUNDS
    assert [len(seconds.values) for seconds in found.seconds] == [NUM_ROUNDS] * 2
    assert (found.convolutions, found.precision, found.backward) == ((SMALL, LARGE), "float32", True)
    assert calls


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_candidates_are_batches_of_several_hundred_images(device: str) -> None:
    convolutions = candidate_convolutions(torch.device(device))
    assert [convolution.channels for convolution in convolutions] == [64, 128, 256]
    assert all(8 <= each.side <= 32 and each.batch_size >= 200 for each in convolutions)
