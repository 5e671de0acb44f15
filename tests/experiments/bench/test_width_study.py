"""The width study: what is measured and reported, and what is left out or rejected."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tenfold.api import bench as api
from tenfold.core.errors import DeviceError, RecipeError, TrainingError, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.data.types import Batch
from tenfold.engine.eager import EagerStep
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.experiments.bench import timing, width_study
from tenfold.experiments.bench.timing import NUM_ROUNDS
from tenfold.experiments.bench.width_study import WidthStudy, study_widths
from tenfold.models.build import build_model
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

SHORT = 0.001  # seconds


class RecordedProgress(SilentProgress):
    """Records its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.prepared: list[tuple[str, int, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def prepare(self, description: str, done: int, total: int) -> None:
        self.prepared.append((description, done, total))


def small_recipe(*overrides: str) -> Recipe:
    """Returns the recipe `wide` with a tiny network."""
    tiny = ["model.channels=[2,3]", "model.hidden=[4]", "train.precision=float32", "train.execution=eager"]
    return load_recipe("wide", [*tiny, "train.device=cpu", "train.threads=1", *overrides])


def hardware(recipe: Recipe) -> Hardware:
    return choose_hardware(recipe.train)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the GPUs of this machine."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Returns a list to which each step adds its batch."""
    used: list[Batch] = []
    original = EagerStep.__call__

    def recording_call(step: EagerStep, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        used.append(batch)
        return original(step, batch)

    monkeypatch.setattr(EagerStep, "__call__", recording_call)
    return used


def fake_clock(monkeypatch: pytest.MonkeyPatch, steps: list[Batch], seconds_of: Callable[[int], float]) -> list[int]:
    """Fakes the clock: each step of the k-th span takes `seconds_of(k)`. Returns the number of steps by span."""
    spans: list[int] = []

    class FakeStopwatch:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def start(self) -> None:
            self.before = len(steps)

        def stop(self) -> None:
            spans.append(len(steps) - self.before)

        def seconds(self) -> float:
            return spans[-1] * seconds_of(len(spans) - 1)

    monkeypatch.setattr(timing, "Stopwatch", FakeStopwatch)
    return spans


def test_each_width_and_device_is_measured() -> None:
    recipe = small_recipe()
    devices = {"cpu": hardware(recipe), "other": replace(hardware(recipe), onednn=False)}
    study = study_widths(recipe, [2, 5], devices, SHORT, SilentProgress())
    assert list(study.devices.items()) == [("cpu", "cpu, 1 thread, float32"), ("other", "cpu, 1 thread, float32")]
    for index, (width, row) in enumerate(zip([2, 5], study.rows(), strict=True)):
        network = build_model("wide", {"channels": [width, 3], "hidden": [4]}, num_classes=10, image_size=(32, 32))
        assert row["width"] == width
        assert row["parameters"] == sum(weight.numel() for weight in network.parameters())
        assert row["other_speedup"] == study.throughput["other"][index] / study.throughput["cpu"][index]
    assert all(rate > 0 for rates in study.throughput.values() for rate in rates)


def test_throughput_is_images_per_second_of_the_clock(monkeypatch: pytest.MonkeyPatch, batches: list[Batch]) -> None:
    recipe = small_recipe("train.batch_size=8")
    spans = fake_clock(monkeypatch, batches, lambda span: 0.25)
    study = study_widths(recipe, [2], {"cpu": hardware(recipe)}, 10.0, SilentProgress())
    assert study.throughput == {"cpu": (8 / 0.25,)}
    assert spans[-NUM_ROUNDS:] == [8] * NUM_ROUNDS  # 5 rounds of 8 steps of 0.25 s are 10 s


def test_the_median_of_the_rounds_counts_without_warmup(monkeypatch: pytest.MonkeyPatch, batches: list[Batch]) -> None:
    recipe = small_recipe("train.batch_size=8")
    slow = {0: 1e6, 3: 7.0, 5: 9.0}  # the very first steps, then two of the five rounds
    spans = fake_clock(monkeypatch, batches, lambda span: slow.get(span, 0.5))
    study = study_widths(recipe, [2], {"cpu": hardware(recipe)}, 2.5, SilentProgress())
    assert len(spans) == 2 + NUM_ROUNDS
    assert study.throughput == {"cpu": (8 / 0.5,)}


def test_a_step_longer_than_a_round_runs_once_per_round(monkeypatch: pytest.MonkeyPatch, batches: list[Batch]) -> None:
    recipe = small_recipe()
    spans = fake_clock(monkeypatch, batches, lambda span: 100.0)
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, 1.0, SilentProgress())
    assert spans[-NUM_ROUNDS:] == [1] * NUM_ROUNDS


def test_steps_use_different_random_images_in_the_memory_format(batches: list[Batch]) -> None:
    recipe = small_recipe("train.batch_size=4")
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, SHORT, SilentProgress())
    for batch in batches:
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (4, 3, 32, 32))
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.labels.dtype, batch.labels.shape) == (torch.int64, (4,))
        assert batch.mixture is None
    assert not torch.equal(batches[0].images, batches[1].images)
    assert {int(label) for batch in batches for label in batch.labels} <= set(range(10))


def test_measuring_restores_random_state_and_threads() -> None:
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    recipe = small_recipe("train.threads=2")
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, SHORT, SilentProgress())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_the_device_and_the_progress_are_shown() -> None:
    recipe, progress = small_recipe(), RecordedProgress()
    study_widths(recipe, [2, 3], {"cpu": hardware(recipe)}, SHORT, progress)
    assert progress.messages == ["device: cpu, 1 thread, float32"]
    assert progress.prepared == [("measuring on cpu", done, 2) for done in (0, 1, 2)]


def test_out_of_memory_is_a_one_line_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Iterator[Batch]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(width_study, "_random_batches", full)
    recipe = small_recipe("train.batch_size=64")
    with pytest.raises(
        TrainingError,
        match=r"^out of memory on cuda at width 9 with batches of 64; try --batch-size 32, or leave out the greatest",
    ):
        study_widths(recipe, [9], {"cuda": hardware(recipe)}, SHORT, SilentProgress())


def test_another_error_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[Batch]:
        raise RuntimeError("the device caught fire")

    monkeypatch.setattr(width_study, "_random_batches", broken)
    with pytest.raises(RuntimeError, match="caught fire"):
        study_widths(small_recipe(), [2], {"cpu": hardware(small_recipe())}, SHORT, SilentProgress())


@pytest.mark.parametrize(
    ("devices", "baseline"), [(("cpu",), "cpu"), (("cuda", "cpu"), "cpu"), (("cuda:1", "cuda:0"), "cuda:1")]
)
def test_devices_are_compared_with_the_cpu_or_else_the_first(devices: tuple[str, ...], baseline: str) -> None:
    rates = {device: (float(index),) for index, device in enumerate(devices, 1)}
    study = WidthStudy((6,), (1,), rates, dict.fromkeys(devices, ""), 4)
    assert study.baseline == baseline
    (row,) = study.rows()
    others = [device for device in devices if device != baseline]
    assert [column for column in row if column.endswith("_speedup")] == [f"{device}_speedup" for device in others]
    assert all(row[f"{other}_speedup"] == rates[other][0] / rates[baseline][0] for other in others)


def test_a_missing_device_is_left_out_with_a_message(no_gpu: None) -> None:
    progress = RecordedProgress()
    study = api.bench_width(devices=["cpu", "cuda", "mps"], widths=[2], seconds=SHORT, progress=progress)
    assert progress.messages[0] == "no cuda or mps device on this machine: the cpu column only"
    assert list(study.devices) == ["cpu"]


def test_a_device_or_width_given_twice_is_measured_once(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    study = api.bench_width(devices=["cpu", "auto", "cpu"], widths=[3, 2, 3], seconds=SHORT)
    assert (list(study.throughput), study.widths) == (["cpu"], (3, 2))


def test_no_available_device_is_an_error(no_gpu: None, batches: list[Batch]) -> None:
    with pytest.raises(
        DeviceError,
        match=r"^no cuda or mps device on this machine; ",
    ):
        api.bench_width(devices=["cuda", "mps"])
    assert batches == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"widths": []}, UsageError, "no width was given; expected at least one"),
        ({"devices": []}, UsageError, "no device was given; expected at least one"),
        ({"devices": ["gpu"]}, UsageError, "'gpu' is not a device; expected auto, cpu"),
        ({"seconds": 0.0}, UsageError, "seconds is 0; expected a number above 0"),
        ({"seconds": float("inf")}, UsageError, "seconds is inf; expected a number above 0"),
        ({"widths": [6, 0]}, RecipeError, "model.width = 0: Input should be greater than or equal to 1"),
        ({"batch_size": 0}, RecipeError, "train.batch_size"),
        ({"precision": "float16"}, RecipeError, "train.precision"),
    ],
)
def test_invalid_arguments_are_rejected_before_measuring(
    arguments: dict[str, Any], error: type[Exception], message: str, batches: list[Batch]
) -> None:
    with pytest.raises(error) as caught:
        api.bench_width(**{"devices": ["cpu"], **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert batches == []
