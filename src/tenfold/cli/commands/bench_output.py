"""What all benchmarks of the command line share: their output, and lists of numbers."""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tenfold.core.progress import Progress


class BenchResult(Protocol):
    """What each benchmark returns."""

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""


def print_bench(measure: "Callable[[Progress], BenchResult]", report: str, as_json: str | None, force: bool) -> None:
    """Measures, prints the result as a table, and writes it as JSON with hardware and versions.

    Args:
        measure: runs the benchmark.
        report: function of `report.tables.bench_tables` that makes the table.
        as_json: see `JsonOption`.
        force: see `ForceOption`.
    """
    from tenfold.cli.output import check_outputs, deliver, json_text, render

    check_outputs({"--json": as_json}, force=force)

    from tenfold.cli.plain import PlainProgress
    from tenfold.report.tables import bench_tables
    from tenfold.runs.environment import describe_environment

    result = measure(PlainProgress(sys.stderr)).to_json()  # the thread of a live bar would take time
    result["environment"] = describe_environment(["tenfold", *sys.argv[1:]])
    if as_json != "-":
        tables: Callable[[Mapping[str, Any]], list[RenderableType]] = getattr(bench_tables, report)
        render(*tables(result))
    if as_json is not None:
        deliver(json_text(result), as_json)


def words(text: str) -> list[str]:
    """Returns the words of a list such as `cpu,cuda`."""
    return [word.strip() for word in text.split(",")]


def whole_numbers(flag: str, text: str) -> list[int]:
    """Returns the numbers of a list such as `6,30`.

    Raises:
        UsageError: when the list holds anything else.
    """
    try:
        numbers = [int(word) for word in words(text)]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise UsageError(f"{flag} is '{text}'; expected whole numbers from 1 on, e.g. 6,30,90")
    return numbers
