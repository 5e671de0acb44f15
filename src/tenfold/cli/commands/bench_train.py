"""`tenfold bench train`: how fast a recipe trains, and how much of the hardware it uses."""

import sys
from typing import Annotated

import typer

from tenfold.cli.commands.bench_output import (
    DataOption,
    DeviceOption,
    JsonOption,
    SecondsOption,
    SetOption,
    check_new_files,
    deliver,
)


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or a TOML file.")] = "quick",
    data: DataOption = None,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Whole commands, with the seeds from 0 on.")] = 3,
    settings: SetOption = None,
    device: DeviceOption = None,
    seconds: SecondsOption = 3.0,
    as_json: JsonOption = None,
) -> None:
    """Measures how fast a recipe trains.

    Runs `tenfold train` several times as a whole process, with one seed each, and tells the time of all of it, of
    training and of compiling, the accuracy and the peak memory. Then it measures what share of the device's speed
    the training reaches: operations a second of its steps over those of the best convolution.

    \b
    Examples:
      tenfold bench train
      tenfold bench train tutorial --data cifar10 --runs 5
      tenfold bench train quick --set train.batch_size=500 --json quick.json
    """
    check_new_files({"--json": as_json})

    from tenfold.api.benchmarks import bench_train
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.benchmarks import train_report

    progress = PlainProgress(sys.stderr)  # a live bar's thread would take time from what is measured
    found = bench_train(
        recipe,
        data=data,
        runs=runs,
        overrides=settings or [],
        device=device,
        seconds=seconds,
        progress=progress,
    )
    deliver(found.to_json(), train_report, as_json)
