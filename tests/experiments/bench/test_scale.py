"""Training steps are timed with several numbers of processes, and their messages counted."""

import signal
from dataclasses import replace

import pytest
import torch
from torch.distributed.elastic.multiprocessing import SignalException

import tenfold.experiments.bench.scale as scale
from tenfold.api.bench_scale import bench_scale
from tenfold.core.errors import Terminated, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.core.world import World
from tenfold.data.request import DataRequest
from tenfold.engine.distributed import Processes
from tenfold.experiments.bench.scale import ScaleBench, measure_scale
from tenfold.experiments.bench.scale_process import CountedProcesses, ScalePoint
from tenfold.experiments.bench.timing import Samples
from tenfold.recipes.load import load_recipe

POINT = ScalePoint("strong", 1, 2, 100, Samples((50.0,)), 0, 0.0, 0.0, 0.1, "cpu")


def test_weak_scaling_grows_the_batch_and_turns_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[tuple[str, int, int]] = []

    def measured(recipe: object, request: object, kind: str, count: int, seconds: float) -> ScalePoint:
        batch_size = recipe.train.batch_size  # type: ignore[attr-defined]
        launched.append((kind, count, batch_size))
        rates = Samples((float(len(launched)), 100.0, 200.0))
        return replace(POINT, kind=kind, processes=count, batch_size=batch_size, images_per_second=rates)  # type: ignore[arg-type]

    monkeypatch.setattr(scale, "_launched", measured)
    recipe = load_recipe("mlp", ["train.batch_size=100"])
    points = measure_scale(recipe, DataRequest("shapes"), [1, 2], 1.0, 2, SilentProgress())
    assert launched == [("strong", 1, 100), ("strong", 2, 100), ("weak", 2, 200)] * 2
    assert [point.images_per_second.values for point in points] == [
        (1.0, 100.0, 200.0, 4.0, 100.0, 200.0),
        (2.0, 100.0, 200.0, 5.0, 100.0, 200.0),
        (3.0, 100.0, 200.0, 6.0, 100.0, 200.0),
    ]


def test_efficiency_is_relative_to_the_fewest_processes() -> None:
    bench = ScaleBench("quick", "shapes", (POINT, replace(POINT, processes=2, images_per_second=Samples((40.0,)))))
    found = bench.to_json()
    assert [point["efficiency"] for point in found["points"]] == [1.0, 0.8]
    assert found["points"][1]["step_seconds"] == 2.5


def test_messages_and_their_bytes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "gather", lambda self, tensor: tensor)
    monkeypatch.setattr(Processes, "sum", lambda self, tensor: None)
    processes = CountedProcesses(World(0, 2, 0, 2))
    processes.gather(torch.zeros(3))
    processes.sum(torch.zeros(2, dtype=torch.float64))
    assert (processes.count["messages"], processes.count["bytes"]) == (2, 28)
    assert processes.count["seconds"] > 0


@pytest.mark.parametrize("processes", [(), (0, 2)])
def test_numbers_of_processes_out_of_range_are_refused(processes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="processes is 0; expected 1 or more"):
        bench_scale("mlp", data="shapes", processes=processes)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_that_the_launcher_takes_ends_the_measurement(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, error: type[BaseException]
) -> None:
    before = signal.getsignal(signal.SIGINT)

    def launched(*_: object) -> ScalePoint:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise SignalException("", sigval=number)

    monkeypatch.setattr(scale, "_launched", launched)
    with pytest.raises(error):
        measure_scale(load_recipe("mlp"), DataRequest("shapes"), [2], 1.0, 1, SilentProgress())
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_two_processes_are_measured() -> None:
    overrides = ["train.batch_size=64"]
    one, two, weak = bench_scale(
        "mlp", data="shapes", processes=(1, 2), overrides=overrides, repeats=1, seconds=0.5
    ).points
    assert [point.processes for point in (one, two, weak)] == [1, 2, 2]
    assert (one.bytes_per_step, one.messages_per_step) == (0, 0)
    assert two.bytes_per_step == weak.bytes_per_step > 4 * 3072 * 10
    assert weak.batch_size == 128
    assert 0 < two.communication < 1
