"""What the benchmarks found, as renderables, from nothing but their JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tenfold.report.plots.width_chart import three_digits
from tenfold.report.tables.run_tables import Cell, file_size, listing, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

Result = Mapping[str, Any]
"""What `to_json` of a benchmark returns, and the `environment` that it was measured in."""


def train_report(result: Result) -> "list[RenderableType]":
    """Returns what `bench train` shows: times, accuracy, memory, utilisation."""
    used = result["utilisation"]
    lines = [_accuracy_line(result), f"peak memory {_megabytes(result['peak_memory_mb'])}"]
    if used is None:
        lines.append("utilisation –: nothing in this network is counted")
    else:
        roof = used["best_convolution"]
        lines.append(
            f"utilisation {percent(used['share'])}: {_operations(used['training_flops_per_second'])} of "
            f"{_operations(roof['flops_per_second'])}, the best convolution ({roof['best']}, {roof['precision']}), "
            f"on {used['hardware']}"
        )
    return [_times({"": result}), *lines, *_protocol(result)]


def classic_report(result: Result) -> "list[RenderableType]":
    """Returns what `bench classic` shows: times and accuracies of both, and the ratios."""
    sides = {"classic script": result["classic"], result["recipe"]: result["tenfold"]}
    lines = [f"{name}: {_accuracy_line(side)}, {_megabytes(side['peak_memory_mb'])}" for name, side in sides.items()]
    ratios = [
        f"{_ratio(result['times_faster'])} as whole commands",
        "training – too short to compare"
        if result["times_faster_training"] is None
        else f"{_ratio(result['times_faster_training'])} in training",
    ]
    return [_times(sides), *lines, ", ".join(ratios), *_protocol(result)]


def data_report(result: Result) -> "list[RenderableType]":
    """Returns what `bench data` shows: times of preparing and loading, and the loader's throughput."""
    rows = [
        ("prepared from scratch", result["build_seconds"]),
        ("first batch, warm store", result["first_batch_seconds"]),
        ("an epoch of batches", result["epoch_seconds"]),
    ]
    pictures = " · ".join(f"{count:,} {name}" for name, count in result["pictures"].items())
    loaded, copied = (file_size(round(result[key])) for key in ("bytes_per_second", "copy_bytes_per_second"))
    return [
        _table(rows),
        f"{result['data']}: {pictures}, {'×'.join(map(str, result['image_size']))}",
        f"{three_digits(result['batches_per_second']):,} batches of {result['batch_size']:,} a second for "
        f"{result['recipe']}, {loaded}/s: {percent(result['share_of_copy'])} of a plain copy ({copied}/s), "
        f"on {result['hardware']}",
        *_protocol(result),
    ]


def predict_report(result: Result) -> "list[RenderableType]":
    """Returns what `bench predict` shows: latency, throughput and share of the hardware, by source."""
    headings = ["from", "one picture, ms (median)", "p95, ms", "pictures/s", "share of the hardware"]
    rows: list[list[Cell]] = [
        [
            source,
            three_digits(1000 * found["latency_seconds"]["median"]),
            three_digits(1000 * found["latency_seconds"]["p95"]),
            three_digits(found["pictures_per_second"]),
            percent(found["share_of_hardware"]),
        ]
        for source, found in result["sources"].items()
    ]
    roof = result["best_convolution"]
    return [
        listing(headings, rows),
        f"{result['model']}, {_operations(result['picture_flops'], '')} a picture, on {result['hardware']}; "
        f"the best convolution: {_operations(roof['flops_per_second'])} ({roof['best']}, {roof['precision']})",
        *_protocol(result),
    ]


def environment_line(environment: Mapping[str, Any]) -> str:
    """Returns hardware and versions in one line, those that are known.

    Example:
        >>> environment_line({"cpu": "Xeon", "cores": 2, "gpu": None, "python": "3.11.7", "torch": "2.13.0"})
        'Xeon, 2 cores · python 3.11.7, torch 2.13.0'
    """
    cores = environment.get("cores")
    hardware = [environment.get("gpu"), environment.get("cpu"), f"{cores} core{'s' * (cores != 1)}" if cores else None]
    versions = [f"{name} {environment[name]}" for name in ("tenfold", "python", "torch") if environment.get(name)]
    return f"{', '.join(filter(None, hardware))} · {', '.join(versions)}"


def _times(sides: Mapping[str, Result]) -> Table:
    """Returns the times of whole commands, of each side by its name."""
    kinds = {"seconds": "whole command", "training_seconds": "training", "compile_seconds": "compiling"}
    rows = [
        (f"{name}, {kind}" if name else kind, side[key]) for name, side in sides.items() for key, kind in kinds.items()
    ]
    return _table(rows)


def _table(rows: Sequence[tuple[str, Mapping[str, Any] | None]]) -> Table:
    """Returns a line for each thing that was timed; a dash stands for what could not be."""
    ends = ("median", "lowest", "highest")
    cells: list[list[Cell]] = [
        [name, *(None if measured is None else three_digits(measured[end]) for end in ends)] for name, measured in rows
    ]
    return listing(["seconds", *ends], cells)


def _accuracy_line(side: Result) -> str:
    accuracy, count = side["accuracy"], len(side["runs"])
    low, high = accuracy["interval_of_first"]
    interval = f"95 % interval of one {100 * low:.1f}–{100 * high:.1f} %"
    if accuracy["deviation"] is None:
        return f"accuracy {percent(accuracy['mean'])}, one run ({interval})"
    return f"accuracy {100 * accuracy['mean']:.1f} ± {100 * accuracy['deviation']:.1f} %, {count} runs ({interval})"


def _ratio(measured: Mapping[str, Any]) -> str:
    return f"{measured['median']:.2f}× faster ({measured['lowest']:.2f}–{measured['highest']:.2f})"


def _megabytes(count: float | None) -> str:
    return "–" if count is None else f"{count:,.0f} MB"


def _operations(count: float, every: str = "/s") -> str:
    """Returns a number of operations in the unit that suits it."""
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if count >= size:
            return f"{three_digits(count / size):,} {unit}{every}"
    return f"{count:,.0f} FLOP{every}"


def _protocol(result: Result) -> list[str]:
    data = [f"data: {result['data']}"] if "data" in result else []
    return ["", *data, *result["protocol"], environment_line(result["environment"])]
