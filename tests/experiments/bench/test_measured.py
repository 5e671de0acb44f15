"""Training, loading and predicting, measured in this process: shares, and what is left behind."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import tiny
from harness.runs import tiny_run
from tenfold.api import bench as benchmarks
from tenfold.core.errors import DeviceError, RunError, UsageError
from tenfold.core.progress import Silent
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.data.store.store import cache_folder
from tenfold.experiments.bench import loading as bench_data
from tenfold.experiments.bench import roofline as bench_roof
from tenfold.experiments.bench.loading import DataBench, empty_cache, measure_data
from tenfold.experiments.bench.prediction import Latency
from tenfold.experiments.bench.roofline import Convolution, Roof
from tenfold.experiments.bench.timing import ROUNDS, Measured
from tenfold.experiments.bench.training import Utilisation, measure_utilisation

BLINK = 1e-3  # seconds


@pytest.fixture(autouse=True)
def small_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_roof, "candidates", lambda device: (Convolution(4, 8, 2),))


def roof(rate: float) -> Roof:
    shape = Convolution(4, 8, 2)
    return Roof((shape,), (Measured((shape.flops(backward=True) / rate,)),), True, "float32")


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_utilisation_is_the_steps_operations_a_second_over_those_of_the_roof() -> None:
    used = Utilisation(Measured((0.5, 0.25, 9.0)), 1e9, roof(8e9), "cpu")
    assert used.flops_per_second == 2e9
    assert used.share == pytest.approx(0.25)
    assert used.to_json()["share"] == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["mlp", "quick"])
def test_training_is_measured_on_real_batches_and_leaves_random_numbers_alone(name: str) -> None:
    recipe = tiny.recipe(name, "train.execution=eager", "train.precision=float32")
    random = torch.get_rng_state()
    used = measure_utilisation(recipe, tiny.dataset(), BLINK)
    assert used is not None
    assert used.hardware == "cpu, 1 thread, float32"
    assert len(used.step_seconds.each) == ROUNDS
    assert used.share > 0
    assert torch.equal(torch.get_rng_state(), random)


def test_a_smaller_last_batch_has_fewer_operations() -> None:
    fast = ("train.execution=eager", "model.hidden=[4]")
    whole = measure_utilisation(tiny.recipe("mlp", *fast), tiny.dataset(train=48), BLINK)
    with_rest = measure_utilisation(tiny.recipe("mlp", *fast), tiny.dataset(train=44), BLINK)
    assert whole is not None
    assert with_rest is not None
    assert with_rest.step_flops == pytest.approx(whole.step_flops * (44 / 6) / 8)


def test_loading_is_measured_from_scratch_warm_and_beside_a_copy() -> None:
    pictures, built = tiny.dataset(), []

    def rebuild() -> Any:
        built.append(cache_folder())
        return pictures

    recipe = tiny.recipe("mlp", "data.augment.flip=random")
    found = measure_data(recipe, "mlp", lambda: pictures, rebuild, rounds=2, seconds=BLINK, progress=Silent())
    assert found.build_seconds is not None
    assert len(found.build_seconds.each) == len(found.first_batch_seconds.each) == 2
    assert (found.batches, found.batch_size) == (6, 8)
    assert found.epoch_bytes == found.copy_bytes == 48 * 16 * 16 * 3
    assert len(set(built)) == 2
    assert not any(folder.exists() for folder in built)


def test_the_loaders_share_is_its_bytes_a_second_over_those_of_a_copy() -> None:
    found = DataBench(
        recipe="quick", dataset=tiny.dataset(), hardware="cpu", batch_size=8, batches=6, build_seconds=None,
        first_batch_seconds=Measured((0.1,)), epoch_seconds=Measured((2.0,)), epoch_bytes=1000,
        copy_seconds=Measured((0.5,)), copy_bytes=500,
    )  # fmt: skip
    assert (found.batches_per_second, found.bytes_per_second, found.share) == (3.0, 500.0, 0.5)
    assert found.to_json()["build_seconds"] is None
    assert "not measured, the pictures would have to be downloaded" in found.protocol()[0]


def test_a_large_epoch_is_not_copied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_data, "_MOST_COPIED", 1000)
    found = measure_data(tiny.recipe(), "mlp", tiny.dataset, None, rounds=1, seconds=BLINK, progress=Silent())
    assert (found.copy_bytes, found.build_seconds) == (1000, None)


@pytest.mark.parametrize("named", [True, False])
def test_the_users_cache_is_back_after_an_error(monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    if not named:
        monkeypatch.delenv("TENFOLD_CACHE")
    before = os.environ.get("TENFOLD_CACHE")
    seen: list[Path] = []

    def interrupted() -> None:
        with empty_cache() as folder:
            seen.extend([folder, cache_folder()])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen[0] == seen[1]
    assert os.environ.get("TENFOLD_CACHE") == before
    assert not seen[0].exists()


def test_class_folders_are_prepared_anew_and_the_cache_stays(tmp_path: Path, own_cache: Path) -> None:
    data = tiny.photo_folder(tmp_path / "photos", each=8)
    build_dataset(DataRequest(str(data)))
    before = files(own_cache)
    found = benchmarks.bench_data("mlp", data=str(data), runs=1, device="cpu", seconds=BLINK)
    assert found.build_seconds is not None
    assert files(own_cache) == before


def test_a_download_is_never_part_of_the_measurement() -> None:
    pictures = tiny.dataset()
    assert benchmarks._rebuilding(DataRequest("cifar10"), pictures) is None
    assert benchmarks._rebuilding(DataRequest("auto", data_dir="nowhere"), pictures) is not None  # by its name


def test_latency_is_a_median_and_what_19_of_20_calls_do_not_exceed() -> None:
    assert Latency((3.0, 1.0, 2.0)).median == 2.0
    assert Latency(tuple(map(float, range(20, 0, -1)))).p95 == 19.0
    assert Latency((5.0,)).p95 == 5.0


def test_a_trained_run_is_measured_from_memory_and_from_files(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    found = benchmarks.bench_predict(run, device="cpu", pictures=3, calls=4, seconds=BLINK)
    assert (found.model, found.hardware) == (str(run), "cpu, 1 thread, float32")
    assert found.image_size == (8, 8)
    assert found.picture_flops == 2 * (8 * 8 * 3 * 4 + 4 * 3)
    result = found.to_json()
    assert list(result["sources"]) == ["memory", "files"]
    for source, told in result["sources"].items():
        assert len(told["latency_seconds"]["each"]) == 4
        assert told["pictures_per_second"] == 3 / found.seconds[source].median
        rate = told["pictures_per_second"] * found.picture_flops
        assert told["share_of_hardware"] == pytest.approx(rate / found.roof.flops_per_second)


def test_a_recipe_stands_in_for_a_model_with_fresh_weights(tmp_path: Path) -> None:
    data = tiny.photo_folder(tmp_path / "photos", each=8)
    found = benchmarks.bench_predict(recipe="mlp", data=str(data), device="cpu", pictures=2, calls=1, seconds=BLINK)
    assert found.model == "mlp, fresh weights"
    assert np.isfinite([found.pictures_per_second(source) for source in ("memory", "files")]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: benchmarks.bench_train("mlp", runs=0), UsageError, "runs is 0; expected 1 or more"),
        (lambda: benchmarks.bench_train("mlp", seconds=0.0), UsageError, "0 seconds were asked for"),
        (lambda: benchmarks.bench_data("mlp", data="shapes", device="cuda:9"), DeviceError, "'cuda:9' was asked for"),
        (lambda: benchmarks.bench_classic(pairs=0), UsageError, "pairs is 0; expected 1 or more"),
        (lambda: benchmarks.bench_predict("nowhere"), RunError, "nowhere"),
        (lambda: benchmarks.bench_predict(calls=0), UsageError, "calls is 0; expected 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
