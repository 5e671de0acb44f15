"""Benchmark tables are made from the JSON alone."""

from typing import Any

import pytest

from harness.rendered import lines_of, text_of
from tenfold.report.tables.bench_tables import (
    classic_report,
    data_report,
    predict_report,
    scale_report,
    train_report,
    width_table,
)

ENVIRONMENT = {"cpu": "Xeon", "cores": 2, "gpu": None, "python": "3.11.7", "torch": "2.13.0", "tenfold": "0.1.0"}


def times(*each: float) -> dict[str, Any]:
    return {"median": sorted(each)[len(each) // 2], "lowest": min(each), "highest": max(each), "each": list(each)}


def program(std: float | None = 0.003) -> dict[str, Any]:
    return {
        "seconds": times(28.94, 29.12, 30.2),
        "training_seconds": times(21.0, 22.0, 23.0),
        "compile_seconds": None,
        "accuracy": {"mean": 0.797, "deviation": std, "interval_of_first": [0.789, 0.805]},
        "peak_memory_mb": 812.4,
        "runs": [{}] * (1 if std is None else 3),
    }


ROOF = {"flops_per_second": 1.5e12, "best": "3×3, 64→64 channels", "precision": "bfloat16"}
TRAIN = {
    "data": "cifar10-jpeg",
    "protocol": ["what is timed"],
    "environment": ENVIRONMENT,
    "utilisation": {
        "share": 0.4321, "training_flops_per_second": 6.5e11, "best_convolution": ROOF, "hardware": "cpu, 2 threads"
    },
    **program(),
}  # fmt: skip


def test_bench_train_shows_times_accuracy_memory_and_utilization() -> None:
    text = text_of(*train_report(TRAIN))
    rows = [line.split() for line in text.splitlines()]
    assert ["whole", "command", "29.1", "28.9", "30.2"] in rows
    assert ["compiling", "–", "–", "–"] in rows
    assert "accuracy 79.7 ± 0.3 %, 3 runs (95 % interval of one run 78.9–80.5 %)" in text
    assert "peak memory 812 MB" in text
    assert (
        "utilization 43.2 %: 650 GFLOP/s of 1.5 TFLOP/s, the best convolution (3×3, 64→64 channels, bfloat16)" in text
    )
    assert text.endswith(
        "data: cifar10-jpeg\nwhat is timed\nXeon, 2 cores · tenfold 0.1.0, python 3.11.7, torch 2.13.0\n"
    )


def test_what_could_not_be_measured_is_a_dash() -> None:
    text = text_of(*train_report({**TRAIN, "utilisation": None, "peak_memory_mb": None, **program(None), "runs": [{}]}))
    assert "utilization –" in text
    assert "accuracy 79.7 %, one run (95 % interval 78.9–80.5 %)" in text


@pytest.mark.parametrize(
    ("training", "expected"), [(times(3.0, 4.0, 5.0), "4.00× faster (3.00–5.00) in training"), (None, "training –")]
)
def test_bench_classic_shows_both_programs_and_the_speed_up(training: dict[str, Any] | None, expected: str) -> None:
    result = {
        "recipe": "tutorial", "data": "shapes", "protocol": [], "environment": ENVIRONMENT, "classic": program(),
        "tenfold": program(), "times_faster": times(2.5, 2.75, 3.0), "times_faster_training": training,
    }  # fmt: skip
    text = text_of(*classic_report(result))
    assert "classic script, whole command" in text
    assert "tutorial, training" in text
    assert f"2.75× faster (2.50–3.00) for the whole command, {expected}" in text


@pytest.mark.parametrize(("built", "expected"), [(times(20.9), "20.9"), (None, "–")])
def test_bench_data_shows_times_and_the_fraction_of_a_copy(built: dict[str, Any] | None, expected: str) -> None:
    result = {
        "recipe": "quick", "data": "shapes", "protocol": [], "environment": ENVIRONMENT, "hardware": "cpu, 2 threads",
        "pictures": {"train": 20_000, "test": 4_000}, "image_size": [32, 32], "build_seconds": built,
        "first_batch_seconds": times(0.071), "epoch_seconds": times(0.7), "batch_size": 250,
        "batches_per_second": 114.2, "bytes_per_second": 87.4e6, "copy_bytes_per_second": 4.7e9,
        "share_of_copy": 0.0186,
    }  # fmt: skip
    text = text_of(*data_report(result))
    (line,) = [line for line in text.splitlines() if "prepared from scratch" in line]
    assert line.split()[-1] == expected
    assert "shapes: 20,000 train · 4,000 test, 32×32" in text
    assert "114 batches/s of 250 for quick, 87.4 MB/s: 1.9 % of a plain copy (4.7 GB/s)" in text


def test_bench_predict_shows_latency_and_throughput_by_source() -> None:
    source = {"latency_seconds": {"median": 0.00062, "p95": 0.00502}, "pictures_per_second": 6147.2}
    result = {
        "model": "runs/mine", "hardware": "cpu, 2 threads", "picture_flops": 1.3e6, "protocol": [],
        "environment": ENVIRONMENT, "best_convolution": ROOF,
        "sources": {
            "memory": {**source, "share_of_hardware": 0.125}, "files": {**source, "share_of_hardware": None},
        },
    }  # fmt: skip
    text = text_of(*predict_report(result))
    rows = [line.split() for line in text.splitlines()]
    assert ["memory", "0.62", "5.02", "6,147", "12.5", "%"] in rows
    assert ["files", "0.62", "5.02", "6,147", "–"] in rows
    assert "runs/mine, 1.3 MFLOP per image, on cpu, 2 threads; the best convolution: 1.5 TFLOP/s" in text


def width_rows(*devices: str) -> list[dict[str, float | int]]:
    """Returns rows for two widths; the first device is the baseline."""
    speeds = {"cpu": 1000.0, "cuda": 12345.6}
    return [
        {"width": width, "parameters": 1000 * width}
        | {f"{device}_per_second": speeds[device] for device in devices}
        | {f"{device}_speedup": speeds[device] / speeds[devices[0]] for device in devices[1:]}
        for width in (6, 30)
    ]


def test_the_width_table_has_a_line_for_each_width() -> None:
    heading, _, *lines = lines_of(width_table(width_rows("cpu", "cuda"), ["cpu", "cuda"], "cpu"))
    assert heading == "width parameters cpu, images/s cuda, images/s cuda ÷ cpu"
    assert lines == ["6 6,000 1,000 12,346 12.3", "30 30,000 1,000 12,346 12.3"]


def test_the_width_table_of_one_device_has_no_speed_up() -> None:
    heading, *_ = lines_of(width_table(width_rows("cpu"), ["cpu"], "cpu"))
    assert heading == "width parameters cpu, images/s"


def test_bench_scale_shows_throughput_and_messages_by_number_of_processes() -> None:
    point = {"kind": "strong", "processes": 2, "threads": 1, "batch_size": 64, "images_per_second": times(90.0, 95.4)}
    sent = {"bytes_per_step": 1_200_000, "messages_per_step": 15.0, "communication": 0.257, "loading": 0.012}
    result = {"data": "shapes", "protocol": ["what is timed"], "environment": ENVIRONMENT}
    lines = lines_of(*scale_report({**result, "points": [{**point, **sent, "efficiency": 0.91}]}))
    assert any(
        line.split() == ["strong", "2", "×", "1", "64", "95.4", "91.0", "%", "1.2", "MB", "15.0", "25.7", "%"]
        for line in lines
    )
    assert "loading: 1.2 % of the time" in lines
