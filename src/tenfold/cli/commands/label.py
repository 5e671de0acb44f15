"""`tenfold label`: which unlabeled images to label next."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.options import CsvOption, ForceOption, argument, device_option, option, source_argument
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.label import Labeling

_ROWS_SHOWN = 10


def label(
    images: Annotated[str | None, argument("IMAGES", "Unlabeled images: a folder, a file or a quoted pattern")] = None,
    source: Annotated[Path | None, source_argument()] = None,
    top: Annotated[
        int, option("--top", metavar="N", help_text="Number of images to label first", default=100, min=1)
    ] = 100,
    as_csv: CsvOption = None,
    device: Annotated[str, device_option("auto")] = "auto",
    force: ForceOption = False,
) -> None:
    """Ranks unlabeled images: which to label next.

    Those come first that the classifier is unsure about and that differ from one another: their labels should improve
    it most. Fill in the column label of the CSV, as far as you like, and train with it: images without a label are
    left out.

    \b
    Examples:
      tenfold label new-photos/ runs/mine --csv to-label.csv
      tenfold label "new-photos/**/*.jpg" runs/mine --top 20 --csv to-label.csv
      tenfold train new-photos/ --labels to-label.csv --from runs/mine
    """
    from tenfold.cli.output import check_outputs, deliver, note

    if images is None or source is None:
        raise UsageError("expected unlabeled images, then RUN|MODEL: tenfold label new-photos/ runs/mine")
    check_outputs({"--csv": as_csv}, force=force)

    from tenfold.api import label as api
    from tenfold.cli.terminal import progress_for

    with progress_for(sys.stderr) as progress:
        found = api.label(images, source, top=top, device=device, progress=progress)
    if as_csv != "-":
        _print(found)
    if as_csv is not None:
        deliver(found.csv_text(), as_csv)
    if as_csv not in (None, "-"):
        note(f"fill in the column label, then: tenfold train {images} --labels {as_csv}")
    if found.num_unread:
        raise typer.Exit(1)


def _print(found: "Labeling") -> None:
    from tenfold.cli.output import note, render
    from tenfold.core.text import percent, plural
    from tenfold.report.tables.run_tables import listing

    rows = [row for row in found.rows[:_ROWS_SHOWN] if row.rank is not None]
    cells = [(str(row.rank), row.path, row.suggested, percent(row.probability), percent(row.margin)) for row in rows]
    render(listing(("rank", "path", "suggested", "probability", "margin"), cells))
    note(f"{found.num_chosen:,} of {plural(len(found.rows), 'image')} chosen to be labeled first")
