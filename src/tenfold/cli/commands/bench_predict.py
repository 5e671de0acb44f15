"""`tenfold bench predict`: how fast a classifier answers."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.commands.bench_output import (
    DeviceOption,
    JsonOption,
    SecondsOption,
    check_new_files,
    deliver,
)
from tenfold.core.errors import UsageError


def predict(
    source: Annotated[
        Path | None, typer.Argument(metavar="RUN|MODEL", show_default=False, help="A run folder or a model file.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="Of the network where no model is given.  [default: quick]")
    ] = None,
    device: DeviceOption = "auto",
    pictures: Annotated[int, typer.Option(min=1, metavar="N", help="Judged at once where there are many.")] = 1000,
    calls: Annotated[int, typer.Option(min=1, metavar="N", help="With a single picture.")] = 200,
    seconds: SecondsOption = 3.0,
    as_json: JsonOption = None,
) -> None:
    """Measures how fast a trained classifier answers.

    Without RUN or MODEL it is the network of a recipe with fresh weights: as fast, though it knows nothing.

    \b
    Examples:
      tenfold bench predict runs/cifar10-quick-20260101-120000
      tenfold bench predict runs/mine/best.safetensors --device cuda
      tenfold bench predict --recipe tutorial --json predict.json
    """
    check_new_files({"--json": as_json})
    if source is not None and recipe is not None:
        raise UsageError(f"{source} and --recipe {recipe} were both given; expected one of them")

    from tenfold.api.benchmarks import bench_predict
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.benchmarks import predict_report

    progress = PlainProgress(sys.stderr)  # a live bar's thread would take time from what is measured
    found = bench_predict(
        source,
        recipe=recipe or "quick",
        device=device or "auto",
        pictures=pictures,
        calls=calls,
        seconds=seconds,
        progress=progress,
    )
    deliver(found.to_json(), predict_report, as_json)
