"""`tenfold suspects`: which training images likely have a wrong label."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    ForceOption,
    LabelsOption,
    SetOption,
    SplitsOption,
    chosen_data,
    data_argument,
    data_option,
    device_option,
    folds_option,
    option,
    output_file,
    recipe_lines,
    recipe_option,
    repeats_option,
    seed_option,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.suspects import Suspects

_ROWS_SHOWN = 10
_PAIRS_SHOWN = 5


def suspects(
    data_source: Annotated[str | None, data_argument("auto")] = None,
    data: Annotated[str | None, data_option("auto")] = None,
    recipe: Annotated[str, recipe_option("auto")] = "auto",
    method: Annotated[
        Literal["auto", "features", "networks"],
        option(
            "--method",
            metavar="METHOD",
            help_text="Features of a pretrained network, networks trained for each fold, or auto, by the recipe",
            default="auto",
        ),
    ] = "auto",
    longer: Annotated[
        float | None,
        option("--longer", metavar="FACTOR", help_text="Training length of networks, times the recipe's", default="10"),
    ] = None,
    folds: Annotated[int, folds_option(5)] = 5,
    repeats: Annotated[int, repeats_option(1)] = 1,
    seed: Annotated[int, seed_option("0")] = 0,
    top: Annotated[
        str | None,
        option(
            "--top",
            metavar="N",
            help_text="Number of images to list, or a percentage such as 3%",
            default="the estimated number of wrong labels",
        ),
    ] = None,
    settings: SetOption = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    output: Annotated[Path, output_file("suspects.csv")] = Path("suspects.csv"),
    sheet: Annotated[
        Path | None,
        option("--sheet", metavar="FILE", help_text="PNG or JPEG of the first 64 images with both labels"),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Lists images whose labels are likely wrong.

    The most suspicious come first. Nothing is changed: look through the list, delete lines or correct the suggested
    class, and train with it.

    \b
    Examples:
      tenfold suspects my-photos/ --sheet suspects.png
      tenfold suspects cifar10 --repeats 2 --top 3%
      tenfold suspects my-photos/ --method networks
      tenfold train my-photos/ --exclude suspects.csv
      tenfold train my-photos/ --relabel suspects.csv
    """
    from tenfold.cli.output import check_image_name, check_outputs
    from tenfold.recipes.auto import AUTO, early_recipe
    from tenfold.recipes.load import load_recipe

    source = chosen_data(data_source, data) or "auto"
    limit = None if top is None else _number_or_fraction(top)
    check_image_name("--sheet", sheet)
    check_outputs({"--output": output, "--sheet": sheet}, force=force)
    lines = recipe_lines(
        settings,
        data_dir=data_dir,
        labels=labels,
        splits=splits,
        classes_are_folders=classes_are_folders,
        device=device,
    )
    if recipe == AUTO:  # reports a mistake before torch is imported, which takes a second
        early_recipe(lines)
    else:
        load_recipe(recipe, lines)

    from tenfold.api import suspects as api
    from tenfold.cli.terminal import progress_for

    with progress_for(sys.stderr) as progress:
        found = api.suspects(
            source,
            recipe=recipe,
            method=method,
            longer=longer,
            folds=folds,
            repeats=repeats,
            seed=seed,
            top=limit,
            overrides=lines,
            progress=progress,
        )
    found.save(output)
    if sheet is not None and found.rows:
        found.draw(sheet)
    _print(found, source, output, sheet)


def _number_or_fraction(text: str) -> int | float:
    """Returns `500` as a number of images, `0.03` and `3%` as a fraction."""
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        value = float(number) / 100 if percent else int(number) if number.isdecimal() else float(number)
    except ValueError:
        value = 0
    if not (value >= 1 if isinstance(value, int) else 0 < value <= 1):
        raise UsageError(f"--top is '{text}'; expected a number of images, or a fraction of them such as 3% or 0.03")
    return value


def _print(found: "Suspects", source: str, output: Path, sheet: Path | None) -> None:
    """Prints the first rows, the estimated number of wrong labels, and the next command."""
    from tenfold.cli.output import note, render, wrote
    from tenfold.core.disk import display_path
    from tenfold.core.text import percent, plural, printable
    from tenfold.report.tables.run_tables import listing

    if found.rows:
        cells = [
            (
                *(row.path, row.label, percent(row.probability_of_label)),
                *(row.suggested, percent(row.probability_of_suggested)),
            )
            for row in found.rows[:_ROWS_SHOWN]
        ]
        render(listing(("path", "label", "probability", "suggested", "probability"), cells))
    render(
        f"about {found.estimated:,} of {plural(found.num_images, 'label')} may be wrong "
        f"({percent(found.estimated / found.num_images)}); a weak recipe adds mistakes of its own to this number"
    )
    for label, other, count in found.pairs[:_PAIRS_SHOWN]:
        render(f"  {printable(label)} → {printable(other)}: {count:,}")
    if not found.rows:
        note(f"\nno label is suspicious, so {display_path(output)} lists no image and there is nothing to leave out")
        return
    note("")
    wrote(output, plural(len(found.rows), "image"))
    if sheet is not None:
        wrote(sheet, "the first of them with both labels")
    note(f"look through it, then: tenfold train --data {source} --exclude {display_path(output)} (or --relabel)")
