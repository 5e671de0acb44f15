"""`tenfold bench data`: how fast pictures come."""

import sys
from typing import Annotated

import typer

from tenfold.cli.commands.bench_output import (
    DataOption,
    DeviceOption,
    JsonOption,
    RecipeOption,
    SecondsOption,
    SetOption,
    check_new_files,
    deliver,
)


def data(
    data: DataOption = None,
    recipe: RecipeOption = "quick",
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Of preparing, and of first batches.")] = 3,
    settings: SetOption = None,
    device: DeviceOption = None,
    seconds: SecondsOption = 3.0,
    as_json: JsonOption = None,
) -> None:
    """Measures how fast pictures come.

    Times preparing them from scratch (in a temporary folder, never a download), the time to the first batch once
    they are prepared, and the batches that the loader makes for a recipe, beside a plain copy of the same bytes.

    \b
    Examples:
      tenfold bench data
      tenfold bench data --data my-photos/ --recipe quick --json data.json
    """
    check_new_files({"--json": as_json})

    from tenfold.api.benchmarks import bench_data
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.benchmarks import data_report

    progress = PlainProgress(sys.stderr)  # a live bar's thread would take time from what is measured
    found = bench_data(
        recipe,
        data=data,
        runs=runs,
        overrides=settings or [],
        device=device,
        seconds=seconds,
        progress=progress,
    )
    deliver(found.to_json(), data_report, as_json)
