"""`tenfold runs`: the runs in a folder, newest first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tenfold.cli.options import ForceOption, JsonOption, argument

if TYPE_CHECKING:
    from tenfold.runs.overview import Overview

_OPTIONAL_COLUMNS = ("data", "recipe", "length")  # narrow terminals do without


def runs(
    folder: Annotated[Path, argument("FOLDER", "Folder of run folders", "runs")] = Path("runs"),
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Lists runs and sweeps, newest first.

    Each with its test accuracy: of a run with the 95 % interval, of several seeds mean ± std, of another sweep that
    of its best setting, with a * where test images chose it. Below the table stands how a stopped run is continued.
    `last` names the newest run in other commands.

    \b
    Examples:
      tenfold runs
      tenfold runs elsewhere/ --json
      tenfold predict last cat.jpg
    """
    from tenfold.cli.output import check_outputs, deliver, json_text

    check_outputs({"--json": as_json}, force=force)

    from tenfold.api import runs as api

    found = api.list_runs(folder)
    if as_json != "-":
        _print(found, folder)
    if as_json is not None:
        deliver(json_text([each.to_json() for each in found]), as_json)


def _print(found: "list[Overview]", folder: Path) -> None:
    from tenfold.cli.output import fits, render
    from tenfold.core.disk import display_path
    from tenfold.report.tables.overview_table import notes, overview_table

    if not found:
        render(f"no runs in {display_path(folder)}; make one: tenfold train")
        return
    table = overview_table(found)
    for count in (2, 3):
        if not fits(table):
            table = overview_table(found, _OPTIONAL_COLUMNS[:count])
    render(table, *notes(found))
