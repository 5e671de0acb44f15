"""`tenfold check`: what is wrong with pictures and labels, before any training."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.inspect.findings import Inspection

_EXAMPLES_SHOWN = 3


def check(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="shapes, cifar10, cifar100, auto, or a folder or archive.")
    ],
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="A run on this data: its accuracy with and without duplicates."),
    ] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write each pair and picture as CSV; - prints it.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - prints it.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the pictures side by side.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="How to prepare, e.g. data.image_size=64."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files of --csv, --json and --html.")] = False,
) -> None:
    """Checks pictures and labels before any training.

    Unreadable and converted files, empty, tiny and lopsided classes, pictures of one colour, exact and near
    duplicates, the same picture with two labels, and test pictures that are in train too. Nothing is changed.
    The exit code is 1 where the data cannot be trained on as it is meant, 0 for warnings and notes.

    \b
    Examples:
      tenfold check my-photos/ --html check.html
      tenfold check cifar10 --run runs/cifar10-quick-20260101-120000
      tenfold check my-photos.zip --csv - | grep two.labels
    """
    from tenfold.cli.output import refuse_existing

    if csv == json == "-":
        raise UsageError("--csv - and --json - would be printed into one another; expected one of them")
    for target in (csv, json, html):
        if target is not None and str(target) != "-" and not force:
            refuse_existing(Path(target), "choose another name, or add --force")
    given = _settings(settings or [], data_dir)

    from tenfold.api import check as api
    from tenfold.cli.terminal import progress_for

    progress = progress_for(sys.stderr)
    try:
        found = api.check(data, run=run, progress=progress, **given)
    finally:
        progress.finish()
    if "-" not in (csv, json):
        _print(found)
    _write(found, csv, json, html)
    if found.has_errors:
        raise typer.Exit(1)


def _settings(lines: list[str], data_dir: str | None) -> dict[str, object]:
    """Returns the keys of `[data]` that were named, as `api.check` takes them."""
    from tenfold.recipes.load import resolve
    from tenfold.recipes.schema import Recipe

    changed = resolve(Recipe(), lines).data  # a mistake is told before anything is read
    named = [line.partition("=")[0].strip() for line in lines]
    foreign = [key for key in named if not key.startswith("data.")]
    if foreign:
        raise UsageError(f"--set {foreign[0]} says nothing about the data; expected keys that begin with data.")
    keys = {key.split(".")[1] for key in named}
    values: dict[str, object] = {key: value for key, value in changed.model_dump().items() if key in keys}
    return values | ({"data_dir": data_dir} if data_dir is not None else {})


def _print(found: "Inspection") -> None:
    from tenfold.cli.output import show
    from tenfold.report.tables.check_tables import balance_table, effect_line, findings_table, headline

    show(headline(found))
    if found.counts:
        show(balance_table(found.counts))
    if found.findings:
        show(findings_table(found.findings, _EXAMPLES_SHOWN))
    else:
        show("nothing to report: files, labels and pixels look as they should")
    if found.effect is not None:
        show(effect_line(found.effect))


def _write(found: "Inspection", csv: str | None, json: str | None, html: Path | None) -> None:
    from tenfold.api.check import csv_text
    from tenfold.core.durable import json_bytes

    if csv is not None:
        _deliver(csv, csv_text(found).encode("utf-8", "surrogateescape"))
    if json is not None:
        _deliver(json, json_bytes(found.to_json()))
    if html is not None:
        from tenfold.report.page.check_page import check_page

        _deliver(str(html), check_page(found).encode("utf-8", "surrogateescape"))


def _deliver(target: str, content: bytes) -> None:
    """Prints what goes to `-`, and writes everything else durably."""
    from tenfold.cli.output import narrate
    from tenfold.core.disk import shown
    from tenfold.core.durable import write_bytes

    if target == "-":
        print(content.decode("utf-8", "backslashreplace"), end="")
        return
    write_bytes(Path(target), content)
    narrate(f"wrote {shown(Path(target))}")
