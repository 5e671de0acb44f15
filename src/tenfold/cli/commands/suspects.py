"""`tenfold suspects`: which training pictures likely bear a wrong label."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.suspects import Suspects

_ROWS_SHOWN = 10
_PAIRS_SHOWN = 5


def suspects(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="shapes, cifar10, cifar100, auto, or a folder or archive.")
    ] = "auto",
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="That the judging classifiers are trained by.")
    ] = "quick",
    longer: Annotated[
        float, typer.Option(metavar="TIMES", help="Train so many times as long as the recipe says.")
    ] = 10.0,
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="Each is judged by a training on the others.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Do it all N times, and average.")] = 1,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of folds and trainings.")] = 0,
    top: Annotated[
        str | None,
        typer.Option(metavar="N", help="List so many, or a share such as 3%.  [default: as many as are likely wrong]"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, e.g. train.batch_size=100."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The list to write, a CSV.")] = Path(
        "suspects.csv"
    ),
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="Draw the first 64 with both classes, a PNG.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files of --out and --sheet.")] = False,
) -> None:
    """Lists pictures whose labels are likely wrong.

    The likeliest come first. Nothing is changed: look through the list, delete lines or correct what it
    suggests, and train with it.

    \b
    Examples:
      tenfold suspects my-photos/ --sheet suspects.png
      tenfold suspects cifar10 --repeats 2 --top 3%
      tenfold train --data my-photos/ --exclude suspects.csv
      tenfold train --data my-photos/ --relabel suspects.csv
    """
    from tenfold.cli.output import refuse_existing
    from tenfold.recipes.load import load_recipe

    rows_asked = None if top is None else _number_or_share(top)
    for path in (out, sheet) if not force else ():
        if path is not None:
            refuse_existing(path, "choose another name, or add --force")
    flags = {"data.data_dir": data_dir, "train.device": device}
    lines = [*(settings or []), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    load_recipe(recipe, lines)  # a mistake is told before torch has taken its second to load

    from tenfold.api import suspects as api
    from tenfold.cli.terminal import progress_for

    progress = progress_for(sys.stderr)
    try:
        found = api.suspects(
            data,
            recipe=recipe,
            longer=longer,
            folds=folds,
            repeats=repeats,
            seed=seed,
            top=rows_asked,
            overrides=lines,
            progress=progress,
        )
    finally:
        progress.finish()
    found.save(out)
    if sheet is not None and found.rows:
        found.draw(sheet)
    _print(found, data, out, sheet)


def _number_or_share(text: str) -> int | float:
    """Returns `500` as a number, `0.03` and `3%` as a share."""
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        value = float(number) / 100 if percent else int(number) if number.isdecimal() else float(number)
    except ValueError:
        value = 0
    if not (value >= 1 if isinstance(value, int) else 0 < value <= 1):
        raise UsageError(f"--top is '{text}'; expected a number of pictures, or a share of them such as 3% or 0.03")
    return value


def _print(found: "Suspects", data: str, out: Path, sheet: Path | None) -> None:
    """Prints the first rows, what is estimated, and how to go on."""
    from tenfold.cli.output import narrate, show
    from tenfold.core.disk import shown
    from tenfold.core.text import printable
    from tenfold.report.tables.run_tables import listing, percent

    if found.rows:
        cells = [
            (
                *(row.picture, row.label, percent(row.probability_of_label)),
                *(row.suggested, percent(row.probability_of_suggested)),
            )
            for row in found.rows[:_ROWS_SHOWN]
        ]
        show(listing(("picture", "label", "probability", "suggested", "probability"), cells))
    share = percent(found.estimated / found.judged)
    show(
        f"about {found.estimated:,} of {found.judged:,} labels may be wrong ({share}); "
        "the weaker the recipe, the more of its own mistakes are counted in"
    )
    for label, other, count in found.pairs[:_PAIRS_SHOWN]:
        show(f"  {printable(label)} → {printable(other)}: {count:,}")
    drawn = f", the first of them drawn in {shown(sheet)}" if sheet is not None and found.rows else ""
    narrate(f"\n{len(found.rows):,} pictures listed in {shown(out)}{drawn}")
    narrate(f"look through it, then: tenfold train --data {data} --exclude {shown(out)} (or --relabel)")
