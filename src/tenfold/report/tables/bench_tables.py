"""Tables and lines of the benchmarks, made from their JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tenfold.core.text import file_size, interval, mean_text, percent, plural, size_text
from tenfold.report.tables.run_tables import Cell, listing

if TYPE_CHECKING:
    from rich.console import RenderableType

Result = Mapping[str, Any]
"""The JSON of a benchmark, with its `environment`."""


def train_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench train`: times, accuracy, memory, utilization."""
    used = result["utilisation"]
    lines = [_accuracy_line(result), f"peak memory {_megabytes(result['peak_memory_mb'])}"]
    if used is None:
        lines.append("utilization –: the operations of this network are not counted")
    else:
        roof = used["best_convolution"]
        lines.append(
            f"utilization {percent(used['share'])}: {_flops(used['training_flops_per_second'])} of "
            f"{_flops(roof['flops_per_second'])}, the best convolution ({roof['best']}, {roof['precision']}), "
            f"on {used['hardware']}"
        )
    return [_command_times({"": result}), *lines, *_protocol(result)]


def classic_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench classic`: times and accuracies of both programs, and the speed-up."""
    programs = {"classic script": result["classic"], result["recipe"]: result["tenfold"]}
    lines = [f"{name}: {_accuracy_line(one)}, {_megabytes(one['peak_memory_mb'])}" for name, one in programs.items()]
    training = result["times_faster_training"]
    speed_ups = [
        f"{_speed_up(result['times_faster'])} for the whole command",
        "training – too short to compare" if training is None else f"{_speed_up(training)} in training",
    ]
    return [_command_times(programs), *lines, ", ".join(speed_ups), *_protocol(result)]


def photo_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench photo`: times of whole commands, accuracy, and images per second by size."""
    programs = {"features computed": result["first"], "features known": result["again"]}
    rows: list[list[Cell]] = [
        [
            f"{one['side']}×{one['side']}",
            three_digits(one["features"]["median"]),
            three_digits(one["plain"]["median"]),
            three_digits(one["features"]["median"] / one["plain"]["median"]),
        ]
        for one in result["throughput"]
    ]
    table = listing(["image", "features, images/s", "plain PyTorch, images/s", "ratio"], rows)
    return [_command_times(programs), _accuracy_line(result["first"]), table, *_protocol(result)]


def data_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench data`: preparation and loading times, and the throughput of the loader."""
    rows = [
        ("prepared from scratch", result["build_seconds"]),
        ("first batch, warm store", result["first_batch_seconds"]),
        ("one epoch of batches", result["epoch_seconds"]),
    ]
    images = " · ".join(f"{count:,} {name}" for name, count in result["pictures"].items())
    loaded, copied = (file_size(round(result[key])) for key in ("bytes_per_second", "copy_bytes_per_second"))
    return [
        _times_table(rows),
        f"{result['data']}: {images}, {size_text(result['image_size'])}",
        f"{three_digits(result['batches_per_second']):,} batches/s of {result['batch_size']:,} for "
        f"{result['recipe']}, {loaded}/s: {percent(result['share_of_copy'])} of a plain copy ({copied}/s), "
        f"on {result['hardware']}",
        *_protocol(result),
    ]


def predict_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench predict`: latency, throughput and utilization, by source."""
    headings = ["source", "one image, ms (median)", "p95, ms", "images/s", "utilization"]
    rows: list[list[Cell]] = [
        [
            source,
            three_digits(1000 * measured["latency_seconds"]["median"]),
            three_digits(1000 * measured["latency_seconds"]["p95"]),
            three_digits(measured["pictures_per_second"]),
            percent(measured["share_of_hardware"]),
        ]
        for source, measured in result["sources"].items()
    ]
    roof = result["best_convolution"]
    return [
        listing(headings, rows),
        f"{result['model']}, {_flops(result['picture_flops'], '')} per image, on {result['hardware']}; "
        f"the best convolution: {_flops(roof['flops_per_second'])} ({roof['best']}, {roof['precision']})",
        *_protocol(result),
    ]


def scale_report(result: Result) -> "list[RenderableType]":
    """Returns the output of `bench scale`: throughput, messages and their share of the time, by number of processes."""
    headings = [
        "scaling",
        "processes × threads",
        "batch",
        "images/s",
        "efficiency",
        "sent a step",
        "messages",
        "in messages",
    ]
    rows: list[list[Cell]] = [
        [
            one["kind"],
            f"{one['processes']} × {one['threads']}",
            one["batch_size"],
            three_digits(one["images_per_second"]["median"]),
            percent(one["efficiency"]),
            file_size(one["bytes_per_step"]),
            three_digits(one["messages_per_step"]),
            percent(one["communication"]),
        ]
        for one in result["points"]
    ]
    loading = ", ".join(percent(one["loading"]) for one in result["points"])
    return [listing(headings, rows), f"loading: {loading} of the time", *_protocol(result)]


def width_table(rows: Sequence[Mapping[str, float | int]], devices: Sequence[str], baseline: str) -> Table:
    """Returns a line for each width: parameters, images/s on each device, and speed-ups.

    Args:
        rows: `width`, `parameters`, `<device>_per_second`, and `<device>_speedup` for all but the baseline.
        devices: in the order of the columns.
        baseline: the device that the others are compared with.
    """
    others = [device for device in devices if device != baseline]
    headings = ["width", "parameters", *(f"{device}, images/s" for device in devices)]
    cells = [
        [
            int(row["width"]),
            int(row["parameters"]),
            *(three_digits(row[f"{device}_per_second"]) for device in devices),
            *(three_digits(row[f"{device}_speedup"]) for device in others),
        ]
        for row in rows
    ]
    return listing([*headings, *(f"{device} ÷ {baseline}" for device in others)], cells)


def environment_line(environment: Mapping[str, Any]) -> str:
    """Returns the known hardware and versions in one line.

    Example:
        >>> environment_line({"cpu": "Xeon", "cores": 2, "gpu": None, "python": "3.11.7", "torch": "2.13.0"})
        'Xeon, 2 cores · python 3.11.7, torch 2.13.0'
    """
    cores = environment.get("cores")
    hardware = [environment.get("gpu"), environment.get("cpu"), plural(cores, "core") if cores else None]
    versions = [f"{name} {environment[name]}" for name in ("tenfold", "python", "torch") if environment.get(name)]
    return f"{', '.join(filter(None, hardware))} · {', '.join(versions)}"


def three_digits(value: float) -> float | int:
    """Returns a number rounded to three significant digits, from 100 on to an integer.

    Example:
        >>> three_digits(12345.6), three_digits(12.345), three_digits(0.98765)
        (12346, 12.3, 0.988)
    """
    return round(value) if value >= 100 else float(f"{value:.3g}")


def _command_times(programs: Mapping[str, Result]) -> Table:
    """Returns the times of whole commands, by name of the program."""
    phases = {"seconds": "whole command", "training_seconds": "training", "compile_seconds": "compiling"}
    rows = [
        (f"{name}, {phase}" if name else phase, one[key])
        for name, one in programs.items()
        for key, phase in phases.items()
    ]
    return _times_table(rows)


def _times_table(rows: Sequence[tuple[str, Mapping[str, Any] | None]]) -> Table:
    """Returns median, lowest and highest time of each row; dashes for what could not be measured."""
    columns = ("median", "lowest", "highest")
    cells: list[list[Cell]] = [
        [name, *(None if times is None else three_digits(times[column]) for column in columns)] for name, times in rows
    ]
    return listing(["seconds", *columns], cells)


def _accuracy_line(one: Result) -> str:
    accuracy, std = one["accuracy"], one["accuracy"]["deviation"]
    runs, of_one = ("one run", "") if std is None else (plural(len(one["runs"]), "run"), " of one run")
    bounds = interval(accuracy["interval_of_first"])
    return f"accuracy {mean_text(accuracy['mean'], std)}, {runs} (95 % interval{of_one} {bounds})"


def _speed_up(measured: Mapping[str, Any]) -> str:
    return f"{measured['median']:.2f}× faster ({measured['lowest']:.2f}–{measured['highest']:.2f})"


def _megabytes(count: float | None) -> str:
    return "–" if count is None else f"{count:,.0f} MB"


def _flops(count: float, suffix: str = "/s") -> str:
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if count >= size:
            return f"{three_digits(count / size):,} {unit}{suffix}"
    return f"{count:,.0f} FLOP{suffix}"


def _protocol(result: Result) -> list[str]:
    data = [f"data: {result['data']}"] if "data" in result else []
    return ["", *data, *result["protocol"], environment_line(result["environment"])]
