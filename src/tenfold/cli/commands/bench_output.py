"""Where the results of `tenfold bench` go: a table, and JSON with every single measurement."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write everything as JSON to a new file; - prints it, and no table."),
]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="A shipped recipe or a TOML file.")]
DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="shapes, cifar10, cifar100, auto, or a folder or archive of class folders."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, e.g. train.batch_size=500."),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
SecondsOption = Annotated[
    float, typer.Option("--seconds", metavar="S", help="Of measuring in turns, for each thing that is measured.")
]


def check_new_files(targets: Mapping[str, str | None]) -> None:
    """Makes sure, before anything is measured, that results can be written.

    Args:
        targets: file by the name of its flag; None and `-` stand for none.

    Raises:
        UsageError: when one exists, two are the same, or a folder is missing.
    """
    from tenfold.cli.output import refuse_existing
    from tenfold.core.disk import shown

    seen: dict[Path, str] = {}
    for flag, target in targets.items():
        if target in (None, "-"):
            continue
        path = Path(str(target))
        if path in seen:
            raise UsageError(f"{seen[path]} and {flag} are both {shown(path)}; expected two files")
        seen[path] = flag
        refuse_existing(path, f"choose another name for {flag}")
        if not path.parent.is_dir():
            raise UsageError(f"{flag}: there is no folder {shown(path.parent)}; make it, or choose another")


def deliver(
    result: Mapping[str, Any], report: "Callable[[Mapping[str, Any]], list[RenderableType]]", target: str | None
) -> None:
    """Shows a result as a table, and writes it as JSON where that is asked for.

    Args:
        result: plain values.
        report: makes renderables of them.
        target: file for the JSON; `-` prints it in the place of the table.

    Raises:
        StorageError: when the file cannot be written.
    """
    from tenfold.cli.output import show

    full = _with_environment(result)
    if target != "-":
        show(*report(full))
    if target is not None:
        _write(full, target)


def deliver_json(result: Mapping[str, Any], target: str) -> None:
    """Writes a result, with hardware and versions, to a new file, or prints it where `target` is `-`.

    Raises:
        StorageError: when the file cannot be written.
    """
    _write(_with_environment(result), target)


def _write(result: Mapping[str, Any], target: str) -> None:
    text = json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False)
    if target == "-":
        print(text)
        return
    from tenfold.cli.output import narrate
    from tenfold.core.durable import write_text

    write_text(Path(target), text + "\n")
    narrate(f"wrote {target}")


def _with_environment(result: Mapping[str, Any]) -> dict[str, Any]:
    from tenfold.runs.environment import describe_environment

    return {**result, "environment": describe_environment(["tenfold", *sys.argv[1:]])}
