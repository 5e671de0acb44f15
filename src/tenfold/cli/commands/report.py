"""`tenfold report`: what a run can do, where it fails and how far to trust it, on one page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.options import data_option, flag, runs_argument
from tenfold.core.errors import UsageError


def report(
    runs: Annotated[
        list[Path],
        runs_argument("Run folders; a sweep folder has a page of its own"),
    ],
    data: Annotated[str | None, data_option("the run's")] = None,
    open_page: Annotated[bool, flag("--open", "Open the page in the web browser")] = False,
) -> None:
    """Writes the page of a run, report.html.

    It is one file in the run folder and needs no network. It shows the accuracy with its interval, the run doctor's
    findings, training curves, the confusion matrix with the images of each cell, metrics of each class, the worst
    mistakes, Grad-CAM heatmaps, and calibration.

    \b
    Examples:
      tenfold report runs/cifar10-quick-20260101-120000 --open
      tenfold report runs/mine --data ~/moved/photos
      tenfold report runs/*
    """
    if data is not None and len(runs) > 1:
        raise UsageError(f"--data {data} was given for {len(runs)} runs; expected one run with it")

    from tenfold.api import report as api
    from tenfold.cli.terminal import progress_for
    from tenfold.core.disk import display_path

    for run in runs:
        with progress_for(sys.stderr) as progress:
            page = api.report(run, data=data, progress=progress)
        print(display_path(page))
        if open_page:
            typer.launch(page.absolute().as_uri())
