"""The width exercise: what is measured, how it is summed up, and what is left out or refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tenfold.api import bench as api
from tenfold.core.errors import DeviceError, RecipeError, TrainingError, UsageError
from tenfold.core.progress import Silent
from tenfold.data.types import Batch
from tenfold.engine.precision import Hardware, choose_hardware
from tenfold.engine.step import Step
from tenfold.experiments.bench import timing as bench_timing
from tenfold.experiments.bench import width_study as bench_width
from tenfold.experiments.bench.timing import ROUNDS
from tenfold.experiments.bench.width_study import WidthStudy, study_widths
from tenfold.models.build import build_model
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

BLINK = 0.001  # seconds


class Told(Silent):
    """Remembers the sentences that it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.prepared: list[tuple[str, int, int]] = []

    def message(self, text: str) -> None:
        self.sentences.append(text)

    def prepare(self, description: str, done: int, total: int) -> None:
        self.prepared.append((description, done, total))


def small(*overrides: str) -> Recipe:
    """Returns the recipe `wide` with a network that takes no time."""
    tiny = ["model.channels=[2,3]", "model.hidden=[4]", "train.precision=float32", "train.execution=eager"]
    return load_recipe("wide", [*tiny, "train.device=cpu", "train.threads=1", *overrides])


def hardware(recipe: Recipe) -> Hardware:
    return choose_hardware(recipe.train)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this machine look as though it had a CPU only."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Notes each batch that a step learns from."""
    seen: list[Batch] = []
    plain = Step.__call__

    def noted(step: Step, batch: Batch) -> None:
        seen.append(batch)
        plain(step, batch)

    monkeypatch.setattr(Step, "__call__", noted)
    return seen


def clock(monkeypatch: pytest.MonkeyPatch, steps: list[Batch], seconds_of: Callable[[int], float]) -> list[int]:
    """Replaces the clock by one for which each step of the k-th span takes `seconds_of(k)`; returns steps by span."""
    spans: list[int] = []

    class Fake:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def start(self) -> None:
            self.before = len(steps)

        def stop(self) -> None:
            spans.append(len(steps) - self.before)

        def seconds(self) -> float:
            return spans[-1] * seconds_of(len(spans) - 1)

    monkeypatch.setattr(bench_timing, "Stopwatch", Fake)
    return spans


def test_each_width_and_device_is_measured_with_the_parameters_of_its_network() -> None:
    recipe = small()
    machines = {"cpu": hardware(recipe), "other": replace(hardware(recipe), onednn=False)}
    study = study_widths(recipe, [2, 5], machines, BLINK, Silent())
    assert list(study.devices.items()) == [("cpu", "cpu, 1 thread, float32"), ("other", "cpu, 1 thread, float32")]
    for place, (width, row) in enumerate(zip([2, 5], study.rows(), strict=True)):
        network = build_model("wide", {"channels": [width, 3], "hidden": [4]}, classes=10, image_size=(32, 32))
        assert row["width"] == width
        assert row["parameters"] == sum(weight.numel() for weight in network.parameters())
        assert row["other_speedup"] == study.throughput["other"][place] / study.throughput["cpu"][place]
    assert all(rate > 0 for rates in study.throughput.values() for rate in rates)


def test_throughput_is_pictures_over_seconds_of_the_clock(
    monkeypatch: pytest.MonkeyPatch, batches: list[Batch]
) -> None:
    recipe = small("train.batch_size=8")
    spans = clock(monkeypatch, batches, lambda span: 0.25)
    study = study_widths(recipe, [2], {"cpu": hardware(recipe)}, 10.0, Silent())
    assert study.throughput == {"cpu": (8 / 0.25,)}
    assert spans[-ROUNDS:] == [8] * ROUNDS  # 5 rounds of 8 steps of 0.25 s are 10 s


def test_the_median_of_the_rounds_counts_and_the_first_steps_do_not(
    monkeypatch: pytest.MonkeyPatch, batches: list[Batch]
) -> None:
    recipe = small("train.batch_size=8")
    slow = {0: 1e6, 3: 7.0, 5: 9.0}  # the very first steps, then two of the five rounds
    spans = clock(monkeypatch, batches, lambda span: slow.get(span, 0.5))
    study = study_widths(recipe, [2], {"cpu": hardware(recipe)}, 2.5, Silent())
    assert len(spans) == 2 + ROUNDS
    assert study.throughput == {"cpu": (8 / 0.5,)}


def test_a_step_that_is_longer_than_a_round_is_taken_once_a_round(
    monkeypatch: pytest.MonkeyPatch, batches: list[Batch]
) -> None:
    recipe = small()
    spans = clock(monkeypatch, batches, lambda span: 100.0)
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, 1.0, Silent())
    assert spans[-ROUNDS:] == [1] * ROUNDS


def test_steps_learn_from_changing_random_pictures_in_the_recipes_memory_order(batches: list[Batch]) -> None:
    recipe = small("train.batch_size=4")
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, BLINK, Silent())
    for batch in batches:
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (4, 3, 32, 32))
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.labels.dtype, batch.labels.shape) == (torch.int64, (4,))
        assert batch.mixture is None
    assert not torch.equal(batches[0].images, batches[1].images)
    assert {int(label) for batch in batches for label in batch.labels} <= set(range(10))


def test_measuring_leaves_random_numbers_and_threads_alone() -> None:
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    recipe = small("train.threads=2")
    study_widths(recipe, [2], {"cpu": hardware(recipe)}, BLINK, Silent())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_the_watcher_is_told_the_device_and_how_far_it_is() -> None:
    recipe, told = small(), Told()
    study_widths(recipe, [2, 3], {"cpu": hardware(recipe)}, BLINK, told)
    assert told.sentences == ["device: cpu, 1 thread, float32"]
    assert told.prepared == [("measuring on cpu", done, 2) for done in (0, 1, 2)]


def test_memory_that_runs_out_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Iterator[Batch]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(bench_width, "_batches", full)
    recipe = small("train.batch_size=64")
    with pytest.raises(
        TrainingError,
        match=r"^out of memory on cuda at width 9 with batches of 64; try --batch-size 32, or leave out the greatest",
    ):
        study_widths(recipe, [9], {"cuda": hardware(recipe)}, BLINK, Silent())


def test_another_failure_keeps_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[Batch]:
        raise RuntimeError("the device caught fire")

    monkeypatch.setattr(bench_width, "_batches", broken)
    with pytest.raises(RuntimeError, match="caught fire"):
        study_widths(small(), [2], {"cpu": hardware(small())}, BLINK, Silent())


@pytest.mark.parametrize(
    ("devices", "baseline"), [(("cpu",), "cpu"), (("cuda", "cpu"), "cpu"), (("cuda:1", "cuda:0"), "cuda:1")]
)
def test_devices_are_compared_with_the_cpu_or_else_the_first(devices: tuple[str, ...], baseline: str) -> None:
    rates = {device: (float(place),) for place, device in enumerate(devices, 1)}
    study = WidthStudy((6,), (1,), rates, dict.fromkeys(devices, ""), 4)
    assert study.baseline == baseline
    (row,) = study.rows()
    others = [device for device in devices if device != baseline]
    assert [column for column in row if column.endswith("_speedup")] == [f"{device}_speedup" for device in others]
    assert all(row[f"{other}_speedup"] == rates[other][0] / rates[baseline][0] for other in others)


def test_a_device_that_is_not_there_is_left_out_and_said(no_gpu: None) -> None:
    told = Told()
    study = api.bench_width(devices=["cpu", "cuda", "mps"], widths=[2], seconds=BLINK, progress=told)
    assert told.sentences[0] == "no cuda or mps device on this machine: the cpu column only"
    assert list(study.devices) == ["cpu"]


def test_a_device_or_width_given_twice_is_measured_once(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    study = api.bench_width(devices=["cpu", "auto", "cpu"], widths=[3, 2, 3], seconds=BLINK)
    assert (list(study.throughput), study.widths) == (["cpu"], (3, 2))


def test_no_device_at_all_is_an_error_before_anything_is_measured(no_gpu: None, batches: list[Batch]) -> None:
    with pytest.raises(
        DeviceError,
        match=r"^no cuda or mps device on this machine, and no other was asked for; use --device cpu$",
    ):
        api.bench_width(devices=["cuda", "mps"])
    assert batches == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"widths": []}, UsageError, "no width was given; expected at least one"),
        ({"devices": []}, UsageError, "no device was given; expected at least one"),
        ({"devices": ["gpu"]}, UsageError, "'gpu' is no device; expected auto, cpu"),
        ({"seconds": 0.0}, UsageError, "0 seconds were asked for; expected a number above 0"),
        ({"seconds": float("inf")}, UsageError, "inf seconds were asked for; expected a number above 0"),
        ({"widths": [6, 0]}, RecipeError, "model.width = 0: Input should be greater than or equal to 1"),
        ({"batch_size": 0}, RecipeError, "train.batch_size"),
        ({"precision": "float16"}, RecipeError, "train.precision"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    arguments: dict[str, Any], error: type[Exception], message: str, batches: list[Batch]
) -> None:
    with pytest.raises(error) as caught:
        api.bench_width(**{"devices": ["cpu"], **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert batches == []
