"""Benchmarks of training, loading and prediction within this process."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import tiny
from harness.runs import tiny_run
from tenfold.api import bench
from tenfold.core.cache import cache_folder
from tenfold.core.errors import DeviceError, RunError, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.data.build import build_dataset
from tenfold.data.request import DataRequest
from tenfold.experiments.bench import loading, roofline
from tenfold.experiments.bench.loading import DataBench, empty_cache, measure_data
from tenfold.experiments.bench.prediction import Latency
from tenfold.experiments.bench.roofline import Convolution, Roofline
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples
from tenfold.experiments.bench.training import Utilization, measure_utilization

SHORT = 1e-3  # seconds


@pytest.fixture(autouse=True)
def small_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "candidate_convolutions", lambda device: (Convolution(4, 8, 2),))


def roofline_of(rate: float) -> Roofline:
    convolution = Convolution(4, 8, 2)
    seconds = Samples((convolution.flops(backward=True) / rate,))
    return Roofline((convolution,), (seconds,), True, "float32")


def file_times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_utilization_is_relative_to_the_fastest_convolution() -> None:
    used = Utilization(Samples((0.5, 0.25, 9.0)), 1e9, roofline_of(8e9), "cpu")
    assert used.flops_per_second == 2e9
    assert used.fraction == pytest.approx(0.25)
    assert used.to_json()["share"] == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["mlp", "quick"])
def test_measuring_training_keeps_the_random_state(name: str) -> None:
    recipe = tiny.recipe(name, "train.execution=eager", "train.precision=float32")
    random = torch.get_rng_state()
    used = measure_utilization(recipe, tiny.dataset(), SHORT)
    assert used is not None
    assert used.hardware == "cpu, 1 thread, float32"
    assert len(used.step_seconds.values) == NUM_ROUNDS
    assert used.fraction > 0
    assert torch.equal(torch.get_rng_state(), random)


def test_a_smaller_last_batch_has_fewer_operations() -> None:
    settings = ("train.execution=eager", "model.hidden=[4]")
    whole = measure_utilization(tiny.recipe("mlp", *settings), tiny.dataset(train=48), SHORT)
    with_rest = measure_utilization(tiny.recipe("mlp", *settings), tiny.dataset(train=44), SHORT)
    assert whole is not None
    assert with_rest is not None
    assert with_rest.step_flops == pytest.approx(whole.step_flops * (44 / 6) / 8)


def test_loading_is_measured_from_scratch_and_from_a_store() -> None:
    dataset, caches = tiny.dataset(), []

    def rebuild() -> Any:
        caches.append(cache_folder())
        return dataset

    recipe = tiny.recipe("mlp", "data.augment.flip=random")
    found = measure_data(recipe, "mlp", lambda: dataset, rebuild, rounds=2, seconds=SHORT, progress=SilentProgress())
    assert found.build_seconds is not None
    assert len(found.build_seconds.values) == len(found.first_batch_seconds.values) == 2
    assert (found.num_batches, found.batch_size) == (6, 8)
    assert found.epoch_bytes == found.copy_bytes == 48 * 16 * 16 * 3
    assert len(set(caches)) == 2
    assert not any(folder.exists() for folder in caches)


def test_the_loaders_speed_is_relative_to_a_plain_copy() -> None:
    found = DataBench(
        recipe="quick", dataset=tiny.dataset(), hardware="cpu", batch_size=8, num_batches=6, build_seconds=None,
        first_batch_seconds=Samples((0.1,)), epoch_seconds=Samples((2.0,)), epoch_bytes=1000,
        copy_seconds=Samples((0.5,)), copy_bytes=500,
    )  # fmt: skip
    assert (found.batches_per_second, found.bytes_per_second, found.fraction_of_copy) == (3.0, 500.0, 0.5)
    assert found.to_json()["build_seconds"] is None
    assert "not measured, because the images would have to be downloaded" in found.protocol()[0]


def test_the_plain_copy_has_a_maximum_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_MAX_COPY_BYTES", 1000)
    found = measure_data(tiny.recipe(), "mlp", tiny.dataset, None, rounds=1, seconds=SHORT, progress=SilentProgress())
    assert (found.copy_bytes, found.build_seconds) == (1000, None)


@pytest.mark.parametrize("is_set", [True, False])
def test_the_users_cache_is_restored_after_an_error(monkeypatch: pytest.MonkeyPatch, is_set: bool) -> None:
    if not is_set:
        monkeypatch.delenv("TENFOLD_CACHE")
    before = os.environ.get("TENFOLD_CACHE")
    folders: list[Path] = []

    def interrupt() -> None:
        with empty_cache() as folder:
            folders.extend([folder, cache_folder()])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert folders[0] == folders[1]
    assert os.environ.get("TENFOLD_CACHE") == before
    assert not folders[0].exists()


def test_class_folders_are_prepared_again_and_the_cache_stays(tmp_path: Path, own_cache: Path) -> None:
    data = tiny.photo_folder(tmp_path / "photos", each=8)
    build_dataset(DataRequest(str(data)))
    before = file_times(own_cache)
    found = bench.bench_data("mlp", data=str(data), runs=1, device="cpu", seconds=SHORT)
    assert found.build_seconds is not None
    assert file_times(own_cache) == before


def test_a_download_is_never_measured() -> None:
    dataset = tiny.dataset()
    assert bench._rebuild(DataRequest("cifar10"), dataset) is None
    assert bench._rebuild(DataRequest("auto", data_dir="nowhere"), dataset) is not None  # the dataset has another name


def test_latency_is_a_median_and_a_95th_percentile() -> None:
    assert Latency((3.0, 1.0, 2.0)).median == 2.0
    assert Latency(tuple(map(float, range(20, 0, -1)))).p95 == 19.0
    assert Latency((5.0,)).p95 == 5.0


def test_a_run_is_measured_from_memory_and_from_files(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    found = bench.bench_predict(run, device="cpu", images=3, calls=4, seconds=SHORT)
    assert (found.model, found.hardware) == (str(run), "cpu, 1 thread, float32")
    assert found.image_size == (8, 8)
    assert found.flops_per_image == 2 * (8 * 8 * 3 * 4 + 4 * 3)
    result = found.to_json()
    assert list(result["sources"]) == ["memory", "files"]
    for source, entry in result["sources"].items():
        assert len(entry["latency_seconds"]["each"]) == 4
        assert entry["pictures_per_second"] == 3 / found.seconds[source].median
        rate = entry["pictures_per_second"] * found.flops_per_image
        assert entry["share_of_hardware"] == pytest.approx(rate / found.roofline.flops_per_second)


def test_a_recipe_is_measured_with_untrained_weights(tmp_path: Path) -> None:
    data = tiny.photo_folder(tmp_path / "photos", each=8)
    found = bench.bench_predict(recipe="mlp", data=str(data), device="cpu", images=2, calls=1, seconds=SHORT)
    assert found.model == "mlp, untrained"
    assert np.isfinite([found.images_per_second(source) for source in ("memory", "files")]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bench.bench_train("mlp", runs=0), UsageError, "runs is 0; expected 1 or more"),
        (lambda: bench.bench_train("mlp", seconds=0.0), UsageError, "seconds is 0; expected a number above 0"),
        (lambda: bench.bench_data("mlp", data="shapes", device="cuda:9"), DeviceError, "'cuda:9' is not available"),
        (lambda: bench.bench_classic(pairs=0), UsageError, "pairs is 0; expected 1 or more"),
        (lambda: bench.bench_predict("nowhere"), RunError, "nowhere"),
        (lambda: bench.bench_predict(calls=0), UsageError, "calls is 0; expected 1 or more"),
    ],
)
def test_invalid_arguments_are_rejected(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
