"""`tenfold check`: what is wrong with images and labels, before any training."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.last_run import last_of
from tenfold.cli.options import (
    ClassesAreFoldersOption,
    CsvOption,
    DataDirOption,
    ForceOption,
    GroupOption,
    JsonOption,
    LabelsOption,
    SetOption,
    SplitsOption,
    chosen_data,
    data_argument,
    data_option,
    option,
    recipe_lines,
    required,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.inspect.findings import Inspection

_EXAMPLES_SHOWN = 3


def check(
    data_source: Annotated[str | None, data_argument(None)] = None,
    data: Annotated[str | None, data_option(None)] = None,
    run: Annotated[
        Path | None,
        option(
            "--run",
            metavar="RUN",
            help_text="Run on this data: report its accuracy with and without duplicates",
            callback=last_of("run"),
        ),
    ] = None,
    as_csv: CsvOption = None,
    as_json: JsonOption = None,
    html: Annotated[
        Path | None, option("--html", metavar="FILE", help_text="Write a page with the images side by side")
    ] = None,
    settings: SetOption = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    group: GroupOption = None,
    force: ForceOption = False,
) -> None:
    """Checks images and labels before any training.

    Finds unreadable and converted files, empty and tiny classes, class imbalance, images of one color, exact and
    near duplicates, equal images with different labels, and test images that are also in train. Changes nothing.
    The exit code is 1 if training on the data would fail or mislead, and 0 for warnings and notes.

    \b
    Examples:
      tenfold check my-photos/ --html check.html
      tenfold check cifar10 --run runs/cifar10-quick-20260101-120000
      tenfold check my-photos.zip --csv | grep two.labels
    """
    from tenfold.cli.output import check_outputs, deliver, json_text

    source = required(chosen_data(data_source, data), "DATA")
    check_outputs({"--csv": as_csv, "--json": as_json, "--html": html}, force=force)
    lines = recipe_lines(
        settings,
        data_dir=data_dir,
        labels=labels,
        splits=splits,
        classes_are_folders=classes_are_folders,
        group=group,
    )
    section = _data_settings(lines)

    from tenfold.api import check as api
    from tenfold.cli.terminal import progress_for

    with progress_for(sys.stderr) as progress:
        found = api.check(source, run=run, progress=progress, **section)
    if "-" not in (as_csv, as_json):
        _print(found)
    if as_csv is not None:
        deliver(api.csv_text(found), as_csv)
    if as_json is not None:
        deliver(json_text(found.to_json()), as_json)
    if html is not None:
        from tenfold.report.page.check_page import check_page

        deliver(check_page(found), html)
    if found.has_errors:
        raise typer.Exit(1)


def _data_settings(lines: Sequence[str]) -> dict[str, object]:
    """Returns the keys of `[data]` that `--set` and the flags give, as `api.check` takes them."""
    from tenfold.recipes.load import key_of, resolve
    from tenfold.recipes.schema import Recipe

    changed = resolve(Recipe(), lines).data  # reports a mistake before any file is read
    keys = [key_of(line) for line in lines]
    other = [key for key in keys if not key.startswith("data.")]
    if other:
        raise UsageError(f"--set {other[0]} is not about the data; expected keys that begin with data.")
    names = {key.split(".")[1] for key in keys}
    return {key: value for key, value in changed.model_dump().items() if key in names}


def _print(found: "Inspection") -> None:
    from tenfold.cli.output import render
    from tenfold.core.text import printable
    from tenfold.report.tables.check_tables import balance_table, effect_line, findings_table, headline

    render(headline(found), *map(printable, found.layout))
    if found.counts:
        render(balance_table(found.counts))
    if found.findings:
        render(findings_table(found.findings, _EXAMPLES_SHOWN))
    else:
        render("nothing to report: files, labels and images look as they should")
    if found.effect is not None:
        render(effect_line(found.effect))
