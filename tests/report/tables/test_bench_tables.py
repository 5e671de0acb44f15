"""What the benchmarks show, from nothing but their JSON."""

from typing import Any

import pytest
from rich.console import Console

from tenfold.report.tables.bench_tables import classic_report, data_report, predict_report, train_report

ENVIRONMENT = {"cpu": "Xeon", "cores": 2, "gpu": None, "python": "3.11.7", "torch": "2.13.0", "tenfold": "0.1.0"}


def printed(renderables: list[Any]) -> str:
    console = Console(width=400, color_system=None, highlight=False, markup=False)
    with console.capture() as capture:
        for renderable in renderables:
            console.print(renderable)
    return capture.get()


def measured(*each: float) -> dict[str, Any]:
    return {"median": sorted(each)[len(each) // 2], "lowest": min(each), "highest": max(each), "each": list(each)}


def side(deviation: float | None = 0.003) -> dict[str, Any]:
    return {
        "seconds": measured(28.94, 29.12, 30.2),
        "training_seconds": measured(21.0, 22.0, 23.0),
        "compile_seconds": None,
        "accuracy": {"mean": 0.797, "deviation": deviation, "interval_of_first": [0.789, 0.805]},
        "peak_memory_mb": 812.4,
        "runs": [{}] * (1 if deviation is None else 3),
    }


ROOF = {"flops_per_second": 1.5e12, "best": "3×3, 64→64 channels", "precision": "bfloat16"}
TRAIN = {
    "data": "cifar10-jpeg",
    "protocol": ["what is timed"],
    "environment": ENVIRONMENT,
    "utilisation": {
        "share": 0.4321, "training_flops_per_second": 6.5e11, "best_convolution": ROOF, "hardware": "cpu, 2 threads"
    },
    **side(),
}  # fmt: skip


def test_training_shows_times_accuracy_memory_and_utilisation_with_the_protocol() -> None:
    text = printed(train_report(TRAIN))
    rows = [line.split() for line in text.splitlines()]
    assert ["whole", "command", "29.1", "28.9", "30.2"] in rows
    assert ["compiling", "–", "–", "–"] in rows
    assert "accuracy 79.7 ± 0.3 %, 3 runs (95 % interval of one 78.9–80.5 %)" in text
    assert "peak memory 812 MB" in text
    assert (
        "utilisation 43.2 %: 650 GFLOP/s of 1.5 TFLOP/s, the best convolution (3×3, 64→64 channels, bfloat16)" in text
    )
    assert text.endswith(
        "data: cifar10-jpeg\nwhat is timed\nXeon, 2 cores · tenfold 0.1.0, python 3.11.7, torch 2.13.0\n"
    )


def test_what_could_not_be_measured_is_a_dash() -> None:
    text = printed(train_report({**TRAIN, "utilisation": None, "peak_memory_mb": None, **side(None), "runs": [{}]}))
    assert "utilisation –" in text
    assert "accuracy 79.7 %, one run (95 % interval of one 78.9–80.5 %)" in text


@pytest.mark.parametrize(
    ("training", "told"), [(measured(3.0, 4.0, 5.0), "4.00× faster (3.00–5.00) in training"), (None, "training –")]
)
def test_both_sides_of_a_race_are_shown_with_their_ratio(training: dict[str, Any] | None, told: str) -> None:
    result = {
        "recipe": "tutorial", "data": "shapes", "protocol": [], "environment": ENVIRONMENT, "classic": side(),
        "tenfold": side(), "times_faster": measured(2.5, 2.75, 3.0), "times_faster_training": training,
    }  # fmt: skip
    text = printed(classic_report(result))
    assert "classic script, whole command" in text
    assert "tutorial, training" in text
    assert f"2.75× faster (2.50–3.00) as whole commands, {told}" in text


@pytest.mark.parametrize(("built", "told"), [(measured(20.9), "20.9"), (None, "–")])
def test_loading_shows_its_times_and_its_share_of_a_copy(built: dict[str, Any] | None, told: str) -> None:
    result = {
        "recipe": "quick", "data": "shapes", "protocol": [], "environment": ENVIRONMENT, "hardware": "cpu, 2 threads",
        "pictures": {"train": 20_000, "test": 4_000}, "image_size": [32, 32], "build_seconds": built,
        "first_batch_seconds": measured(0.071), "epoch_seconds": measured(0.7), "batch_size": 250,
        "batches_per_second": 114.2, "bytes_per_second": 87.4e6, "copy_bytes_per_second": 4.7e9,
        "share_of_copy": 0.0186,
    }  # fmt: skip
    text = printed(data_report(result))
    (line,) = [line for line in text.splitlines() if "prepared from scratch" in line]
    assert line.split()[-1] == told
    assert "shapes: 20,000 train · 4,000 test, 32×32" in text
    assert "114 batches of 250 a second for quick, 87.4 MB/s: 1.9 % of a plain copy (4.7 GB/s)" in text


def test_predicting_shows_latency_and_throughput_by_source() -> None:
    source = {"latency_seconds": {"median": 0.00062, "p95": 0.00502}, "pictures_per_second": 6147.2}
    result = {
        "model": "runs/mine", "hardware": "cpu, 2 threads", "picture_flops": 1.3e6, "protocol": [],
        "environment": ENVIRONMENT, "best_convolution": ROOF,
        "sources": {
            "memory": {**source, "share_of_hardware": 0.125}, "files": {**source, "share_of_hardware": None},
        },
    }  # fmt: skip
    text = printed(predict_report(result))
    rows = [line.split() for line in text.splitlines()]
    assert ["memory", "0.62", "5.02", "6,147", "12.5", "%"] in rows
    assert ["files", "0.62", "5.02", "6,147", "–"] in rows
    assert "runs/mine, 1.3 MFLOP a picture, on cpu, 2 threads; the best convolution: 1.5 TFLOP/s" in text
