"""`tenfold bench width`: training speed by network width."""

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tenfold.cli.commands.bench_output import whole_numbers, words
from tenfold.cli.options import CsvOption, ForceOption, JsonOption, batch_size_option, option, seconds_option

if TYPE_CHECKING:
    from tenfold.experiments.bench.width_study import WidthStudy


def bench_width(
    devices: Annotated[
        str, option("--devices", metavar="LIST", help_text="Devices to compare", default="cpu,cuda")
    ] = "cpu,cuda",
    widths: Annotated[
        str, option("--widths", metavar="LIST", help_text="Channels of the first convolution", default="6,30,90,170")
    ] = "6,30,90,170",
    batch_size: Annotated[int, batch_size_option("4")] = 4,
    seconds: Annotated[float, seconds_option(2)] = 2.0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        option(
            "--precision",
            metavar="TYPE",
            help_text="auto, float32 or bfloat16; auto is bfloat16 where the hardware has it",
            default="auto",
        ),
    ] = "auto",
    as_json: JsonOption = None,
    as_csv: CsvOption = None,
    chart: Annotated[Path | None, option("--chart", metavar="FILE", help_text="Draw a chart, PNG or JPEG")] = None,
    force: ForceOption = False,
) -> None:
    """Measures training speed by network width.

    This is the width exercise of PyTorch's tutorial: widen the first convolution of the network `wide`, and see how
    the speed-up of a GPU over the CPU grows. It times training steps on random images that are on the device
    already. A device that this machine lacks is left out.

    \b
    Examples:
      tenfold bench width
      tenfold bench width --batch-size 64 --widths 30,60,120 --csv width.csv
      tenfold bench width --devices cpu,cuda --seconds 5 --chart width.png
    """
    numbers = whole_numbers("--widths", widths)

    from tenfold.cli.output import check_image_name, check_outputs, deliver, json_text, wrote

    check_image_name("--chart", chart)
    check_outputs({"--json": as_json, "--csv": as_csv, "--chart": chart}, force=force)

    from tenfold.api import bench as api
    from tenfold.cli.plain import PlainProgress
    from tenfold.runs.environment import describe_environment

    study = api.bench_width(
        devices=words(devices),
        widths=numbers,
        batch_size=batch_size,
        seconds=seconds,
        precision=precision,
        progress=PlainProgress(sys.stderr),  # the thread of a live bar would take time
    )
    if "-" not in (as_json, as_csv):
        _print_table(study)
    if as_json is not None:
        environment = describe_environment(["tenfold", *sys.argv[1:]])
        deliver(json_text({**study.to_json(), "environment": environment}), as_json)
    if as_csv is not None:
        deliver(_csv_text(study), as_csv)
    if chart is not None:
        from tenfold.report.plots.width_chart import plot_widths

        plot_widths(study.rows(), study.devices, study.baseline, study.batch_size, chart)
        wrote(chart)


def _print_table(study: "WidthStudy") -> None:
    from tenfold.cli.output import render
    from tenfold.report.tables.bench_tables import width_table

    render(
        width_table(study.rows(), list(study.devices), study.baseline),
        f"batch size {study.batch_size}, forward, backward and update, on {' and '.join(study.devices.values())}",
    )


def _csv_text(study: "WidthStudy") -> str:
    text, rows = io.StringIO(), study.rows()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
