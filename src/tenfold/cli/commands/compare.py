"""`tenfold compare`: finished runs side by side, and whether they differ by more than chance."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.experiments.compare.comparison import Comparison


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Run folders; a sweep's folder stands for all its runs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="New folder for tables and charts.  [default: compare-…]"),
    ] = None,
    no_files: Annotated[bool, typer.Option("--no-files", help="Print only, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compares finished runs.

    Prints where the recipes differ, accuracies with 95 % intervals, and for runs with the same test pictures
    McNemar's exact test and the classes gained and lost. Several seeds of a recipe are compared by their means.

    \b
    Examples:
      tenfold compare runs/mlp runs/wide
      tenfold compare runs/cifar10-wide-sweep-20260101-120000 --out widths
      tenfold compare runs/mlp runs/wide --no-files --json
    """
    if no_files and out is not None:
        raise UsageError(f"--out {out} and --no-files were both given; expected one of them")

    from tenfold.api import compare as api
    from tenfold.cli.output import narrate, refuse_existing

    if out is not None:
        refuse_existing(out, "choose another folder for --out")
    comparison = api.compare(runs)
    for warning in comparison.warnings:
        narrate(f"warning: {warning}")
    if as_json:
        import json

        print(json.dumps(comparison.to_json(), indent=2))
    else:
        _print(comparison)
    if not no_files:
        _write(comparison, out)


def _print(comparison: "Comparison") -> None:
    from tenfold.cli.output import show
    from tenfold.core.text import printable
    from tenfold.report.tables import comparison_tables as tables

    values, names = comparison.to_json(), [run.name for run in comparison.runs]
    if comparison.differences:
        show(tables.differences_table(names, comparison.differences))
    else:
        show("(the recipes are equal)", "")
    show(tables.runs_table(values["runs"]))
    _print_groups(values["groups"], values["group_pairs"])
    if comparison.pairs:
        show("McNemar's exact test on the same test pictures, of these networks: only several seeds tell of recipes")
        show(tables.pairs_table(values["pairs"]))
        if len(comparison.pairs) > 1:
            show(f"the verdict is at 5 % after Holm's correction for {len(comparison.pairs)} tests")
        if noise := tables.noise_warning(values["pairs"]):
            show(noise)
        show("")
    if comparison.unpaired:
        show(comparison.unpaired, "")
    if comparison.classes:
        show(f"points gained or lost within classes against {printable(names[0])}, largest first")
        show(tables.classes_table(names, values["classes"]))
    if found := comparison.disagreements:
        show(
            f"only {printable(names[0])} is right: {len(found.only_first):,} pictures · "
            f"only {printable(names[1])}: {len(found.only_second):,}"
        )


def _print_groups(groups: "list[dict[str, object]]", pairs: "list[dict[str, object]]") -> None:
    """Prints the recipes that were run with several seeds, where there are any."""
    from tenfold.cli.output import show
    from tenfold.report.tables import comparison_tables as tables

    repeated = [group for group in groups if group["deviation"] is not None]
    if repeated:
        show("recipes with several seeds: mean ± standard deviation", tables.groups_table(repeated))
    if pairs:
        show(
            "difference of means; Welch's t, for the spread between seeds, not corrected for the number of pairs",
            tables.group_pairs_table(pairs),
        )


def _write(comparison: "Comparison", out: Path | None) -> None:
    from tenfold.api.compare import write_comparison
    from tenfold.cli.output import narrate
    from tenfold.cli.terminal import progress_for
    from tenfold.core.disk import shown

    folder = _new_folder(out)
    progress = progress_for(sys.stderr)
    try:
        remarks = write_comparison(comparison, folder, progress)
    finally:
        progress.finish()
    for remark in remarks:
        narrate(remark)
    narrate(f"tables and charts: {shown(folder)}")


def _new_folder(out: Path | None) -> Path:
    """Returns a folder that nobody else has: the one named, or `compare-<date-time>` here."""
    from tenfold.core import durable
    from tenfold.runs.folders import claim_dated_folder

    if out is None:
        return claim_dated_folder(Path(), "compare")
    durable.make_folder(out.parent)
    if not durable.claim_folder(out):
        raise UsageError(f"{out} exists and is not overwritten; choose another folder for --out")
    return out
