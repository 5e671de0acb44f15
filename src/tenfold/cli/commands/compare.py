"""`tenfold compare`: finished runs side by side, and whether they differ by more than chance."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tenfold.cli.options import ForceOption, JsonOption, flag, output_folder, runs_argument
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.experiments.compare.comparison import Comparison
    from tenfold.report.tables.comparison_tables import Labels


def compare(
    runs: Annotated[
        list[Path],
        runs_argument("Run folders; a sweep folder stands for all its runs"),
    ],
    output: Annotated[Path | None, output_folder("compare-date")] = None,
    no_files: Annotated[bool, flag("--no-files", "Print only, write no files")] = False,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Compares finished runs.

    Prints where the recipes differ and each accuracy with its 95 % interval. For runs with the same test images it
    adds McNemar's exact test and the accuracy gained and lost in each class. Runs that differ only in their seed are
    compared by their means.

    \b
    Examples:
      tenfold compare runs/mlp runs/wide
      tenfold compare runs/cifar10-wide-sweep-20260101-120000 --output widths
      tenfold compare runs/mlp runs/wide --no-files --json
    """
    if no_files and output is not None:
        raise UsageError(f"--output {output} and --no-files were both given; expected one of them")

    from tenfold.cli.output import check_outputs, deliver, json_text, note

    check_outputs({"--json": as_json}, force=force)
    if output is not None and output.exists() and not force:
        raise _exists(output)

    from tenfold.api import compare as api

    comparison = api.compare(runs)
    for warning in comparison.warnings:
        note(f"warning: {warning}")
    if as_json != "-":
        _print(comparison)
    if as_json is not None:
        deliver(json_text(comparison.to_json()), as_json)
    if not no_files:
        _write(comparison, output, force)


def _print(comparison: "Comparison") -> None:
    from tenfold.cli.output import fits, render
    from tenfold.report.tables import comparison_tables as tables

    values, names = comparison.to_json(), [run.name for run in comparison.runs]
    labels = tables.run_labels(names)
    results = tables.runs_table(labels, values["runs"])
    if not fits(results):
        render(tables.legend_table(labels))
        results = tables.runs_table(labels, values["runs"], with_names=False)
    render(results)
    if comparison.differences:
        render(tables.differences_table(labels, comparison.differences))
    else:
        render("(the recipes are equal)", "")
    _print_groups(labels, values["groups"], values["group_pairs"])
    _print_pairs(labels, values["pairs"])
    remarks = [*comparison.notes, *([comparison.unpaired] if comparison.unpaired else [])]
    if remarks:
        render(*remarks, "")
    _print_images(labels, comparison, values["classes"])


def _print_pairs(labels: "Labels", pairs: "list[dict[str, object]]") -> None:
    """Prints the paired tests, if there are any."""
    from tenfold.cli.output import render
    from tenfold.report.tables import comparison_tables as tables

    if not pairs:
        return
    render(
        "McNemar's exact test on the same test images; it compares these networks, and only several seeds compare "
        "recipes",
        tables.pairs_table(labels, pairs),
    )
    if len(pairs) > 1:
        render(f"the verdict is at 5 % after Holm's correction for {len(pairs)} tests")
    if noise := tables.significance_warning(pairs):
        render(noise)
    render("")


def _print_images(labels: "Labels", comparison: "Comparison", classes: "list[dict[str, object]]") -> None:
    """Prints where the runs classify images differently: the classes, and the number of images."""
    from tenfold.cli.output import render
    from tenfold.core.text import plural
    from tenfold.report.tables import comparison_tables as tables

    first, second = (f"run {label}" for label in list(labels.values())[:2])
    if classes:
        heading = f"points gained or lost in each class against {first}, largest first"
        render(heading, tables.classes_table(labels, classes))
    if found := comparison.disagreements:
        only_first = plural(len(found.only_first), "image")
        render(f"only {first} is right: {only_first} · only {second}: {len(found.only_second):,}")


def _print_groups(labels: "Labels", groups: "list[dict[str, object]]", pairs: "list[dict[str, object]]") -> None:
    """Prints the recipes that were run with several seeds, if there are any."""
    from tenfold.cli.output import render
    from tenfold.report.tables import comparison_tables as tables

    repeated = [group for group in groups if group["deviation"] is not None]
    if repeated:
        render("recipes with several seeds: mean ± std", tables.groups_table(labels, repeated))
    if pairs:
        render(
            "difference of means, for new images and new seeds; the verdict is at 5 % after Holm's correction",
            tables.group_pairs_table(repeated, pairs),
        )


def _write(comparison: "Comparison", output: Path | None, force: bool) -> None:
    from tenfold.api import compare as api
    from tenfold.cli.output import note, wrote
    from tenfold.cli.terminal import progress_for

    folder = _new_folder(output, force)
    with progress_for(sys.stderr) as progress:
        remarks = api.write_comparison(comparison, folder, progress)
    for remark in remarks:
        note(remark)
    wrote(folder, "tables and charts")


def _new_folder(output: Path | None, force: bool) -> Path:
    """Returns the output folder: the one named, or a new `compare-<date-time>` in the working folder."""
    from tenfold.core import durable
    from tenfold.runs.folders import create_dated_folder

    if output is None:
        return create_dated_folder(Path(), "compare")
    durable.make_folder(output.parent)
    if not durable.claim_folder(output) and not force:
        raise _exists(output)
    return output


def _exists(output: Path) -> UsageError:
    return UsageError(f"{output} exists and is not overwritten; choose another folder for --output, or add --force")
