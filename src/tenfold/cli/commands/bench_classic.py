"""`tenfold bench classic`: the tutorial as people write it against Tenfold."""

import sys
from typing import Annotated

import typer

from tenfold.cli.commands.bench_output import (
    DataOption,
    JsonOption,
    RecipeOption,
    check_new_files,
    deliver,
)


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

    from tenfold.api.benchmarks import bench_classic
    from tenfold.cli.plain import PlainProgress
    from tenfold.report.benchmarks import classic_report

    progress = PlainProgress(sys.stderr)  # a live bar's thread would take time from what is measured
    found = bench_classic(
        recipe,
        data=data,
        pairs=pairs,
        progress=progress,
    )
    deliver(found.to_json(), classic_report, as_json)
