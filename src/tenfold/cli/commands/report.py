"""`tenfold report`: what a run learned, where it fails and how far to trust it, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from tenfold.core.errors import UsageError


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of finished runs, of sweeps or of several seeds.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="DATA", help="Where the pictures lie now.  [default: as the recipe says]"),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the web browser.")] = False,
) -> None:
    """Writes the page of a run, report.html.

    It is one file, lies in the run folder and needs no network: accuracy and its interval, a check-up, curves,
    the pictures behind each cell of the confusion matrix, results of each class, the worst mistakes and what the
    network looked at, calibration.

    \b
    Examples:
      tenfold report runs/cifar10-quick-20260101-120000 --open
      tenfold report runs/mine --data ~/moved/pictures
      tenfold report runs/*
    """
    if data is not None and len(runs) > 1:
        raise UsageError(f"--data {data} was given for {len(runs)} runs; expected one run with it")

    import sys

    from tenfold.api import report as api
    from tenfold.cli.terminal import progress_for
    from tenfold.core.disk import shown

    for run in runs:
        progress = progress_for(sys.stderr)
        try:
            page = api.report(run, data=data, progress=progress)
        finally:
            progress.finish()
        print(shown(page))
        if open_page:
            typer.launch(page.absolute().as_uri())
