"""`tenfold bench width`: training speed by network width."""

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenfold.cli.commands.bench_output import JsonOption, check_new_files, deliver_json
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.experiments.bench.width_study import WidthStudy


def width(
    device: Annotated[str, typer.Option(metavar="LIST", help="Devices to compare: cpu, cuda, cuda:1, mps.")] = (
        "cpu,cuda"
    ),
    widths: Annotated[str, typer.Option(metavar="LIST", help="Channels of the first convolution.")] = "6,30,90,170",
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures in a step.")] = 4,
    seconds: Annotated[float, typer.Option(metavar="S", help="Of measuring for each width and device.")] = 2.0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="auto is bfloat16 where the hardware has it.")
    ] = "auto",
    as_json: JsonOption = None,
    as_csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a new file; - prints it.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw a chart into a new file.")] = None,
) -> None:
    """Measures training speed by network width.

    This is the width exercise of PyTorch's tutorial: make the first convolution of the network `wide` wider, and see
    what the speed-up of a GPU over the CPU becomes. What is timed are steps of training, on random pictures that lie
    on the device already. A device that this machine lacks is left out.

    \b
    Examples:
      tenfold bench width
      tenfold bench width --batch-size 64 --widths 30,60,120 --csv width.csv
      tenfold bench width --device cpu,cuda --seconds 5 --chart width.png
    """
    wanted = _whole_numbers("--widths", widths)
    _check_outputs(as_json, as_csv, chart)

    from tenfold.api.bench import bench_width
    from tenfold.cli.plain import PlainProgress

    study = bench_width(
        devices=_words(device),
        widths=wanted,
        batch_size=batch_size,
        seconds=seconds,
        precision=precision,
        progress=PlainProgress(sys.stderr),  # a live bar's thread would take time from what is measured
    )
    if as_json is not None:
        deliver_json(study.to_json(), as_json)
    if "-" not in (as_json, as_csv):
        _print_table(study)
    if as_csv is not None:
        _write_csv(as_csv, study)
    if chart is not None:
        _draw(chart, study)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _whole_numbers(flag: str, text: str) -> list[int]:
    """Returns the numbers of a list such as `6,30`.

    Raises:
        UsageError: when something else is in the list.
    """
    try:
        numbers = [int(word) for word in _words(text)]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise UsageError(f"{flag} is '{text}'; expected whole numbers from 1 on, e.g. 6,30,90")
    return numbers


def _check_outputs(as_json: str | None, as_csv: str | None, chart: Path | None) -> None:
    """Raises UsageError where a result could not be written, before anything is measured."""
    from tenfold.core.disk import shown

    if as_json == as_csv == "-":
        raise UsageError("--json - and --csv - were both given; expected one of them, or a file for the other")
    if chart is not None and chart.suffix.lower() != ".png":
        raise UsageError(f"--chart is '{shown(chart)}'; expected a name that ends in .png")
    check_new_files({"--json": as_json, "--csv": as_csv, "--chart": None if chart is None else str(chart)})


def _print_table(study: "WidthStudy") -> None:
    from tenfold.cli.output import show
    from tenfold.report.plots.width_chart import width_table

    show(
        width_table(study.rows(), list(study.devices), study.baseline),
        f"in batches of {study.batch_size}, forward, backward and update, on {' and '.join(study.devices.values())}",
    )


def _write_csv(target: str, study: "WidthStudy") -> None:
    text, rows = io.StringIO(), study.rows()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if target == "-":
        print(text.getvalue(), end="")
        return
    from tenfold.cli.output import narrate
    from tenfold.core.durable import write_text

    write_text(Path(target), text.getvalue())
    narrate(f"wrote {target}")


def _draw(chart: Path, study: "WidthStudy") -> None:
    from tenfold.cli.output import narrate
    from tenfold.report.plots.width_chart import plot_widths

    plot_widths(study.rows(), study.devices, study.baseline, study.batch_size, chart)
    narrate(f"wrote {chart}")
