"""`tenfold bench`: how fast this machine is, and how well Tenfold uses it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.commands import bench_width
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
from tenfold.core.errors import UsageError


def classic(
    data: DataOption = None,
    recipe: RecipeOption = "tutorial",
    pairs: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of each.")] = 3,
    as_json: JsonOption = None,
) -> None:
    """Measures how many times faster than the tutorial as people write it Tenfold is.

    The classic script and `tenfold train` run in turns, A B A B, each as a whole process; told are the ratios of
    whole commands and of training, pair by pair, and the accuracies of both.

    \b
    Examples:
      tenfold bench classic --data cifar10
      tenfold bench classic --data cifar10 --recipe quick --pairs 5 --json classic.json
    """
    check_new_files({"--json": as_json})

    from tenfold.api.bench import bench_classic
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.tables.bench_tables import classic_report

    progress = PlainProgress(sys.stderr)  # a live bar's thread would take time from what is measured
    found = bench_classic(
        recipe,
        data=data,
        pairs=pairs,
        progress=progress,
    )
    deliver(found.to_json(), classic_report, as_json)


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

    from tenfold.api.bench import bench_data
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.tables.bench_tables import data_report

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

    from tenfold.api.bench import bench_predict
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.tables.bench_tables import predict_report

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

    from tenfold.api.bench import bench_train
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.tables.bench_tables import train_report

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


app = typer.Typer(rich_markup_mode=None)
app.command("train")(train)
app.command("data")(data)
app.command("predict")(predict)
app.command("classic")(classic)
app.command("width")(bench_width.width)


@app.callback()
def bench() -> None:
    """Measures how fast this machine is, and how well Tenfold uses it.

    Measure on a machine that does nothing else.

    \b
    Examples:
      tenfold bench train quick --data cifar10
      tenfold bench data --data cifar10
      tenfold bench predict runs/mine
      tenfold bench classic --data cifar10
      tenfold bench width --device cpu,cuda
    """
