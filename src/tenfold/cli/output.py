"""Where results go: to standard output, to new files, or both; notes go to standard error."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.disk import display_path
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_UNBOUNDED = 10_000  # columns: lines of a file are not wrapped


def render(*renderables: "RenderableType", width: int = _UNBOUNDED) -> None:
    """Prints tables and texts, as plain text where standard output is no terminal.

    Args:
        renderables: texts are printed as they are, not as rich's markup.
        width: columns where standard output is no terminal.
    """
    console = _console(width)
    for renderable in renderables:
        console.print(renderable)


def fits(table: "RenderableType", width: int = _UNBOUNDED) -> bool:
    """Returns whether a table fits the terminal without broken words.

    Args:
        table: to be printed with `render`.
        width: columns where standard output is no terminal.
    """
    from rich.measure import Measurement

    console = _console(width)
    return Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum <= console.width


def _console(width: int) -> "Console":
    from rich.console import Console

    return Console(
        highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else width, soft_wrap=False
    )


def note(text: str) -> None:
    """Writes a line to standard error, so that results can be piped."""
    print(text, file=sys.stderr)


def check_outputs(targets: Mapping[str, str | Path | None], *, force: bool = False) -> None:
    """Makes sure, before any work is done, that all results can be written.

    Args:
        targets: file for each flag; `-` is standard output, None is no output.
        force: whether existing files are overwritten.

    Raises:
        UsageError: when a file exists, two flags have the same target, or a folder is missing.
    """
    seen: dict[str, str] = {}
    for flag, target in targets.items():
        if target is None:
            continue
        name = str(target)
        if name in seen:
            if name == "-":
                raise UsageError(f"{seen[name]} and {flag} both print; expected a file for one, such as {flag}=FILE")
            raise UsageError(f"{seen[name]} and {flag} are both {display_path(Path(name))}; expected two files")
        seen[name] = flag
        if name == "-":
            continue
        path = Path(name)
        if path.exists() and not force:
            raise UsageError(
                f"{display_path(path)} exists and is not overwritten; choose another file for {flag}, or add --force"
            )
        if not path.parent.is_dir():
            raise UsageError(f"{flag}: there is no folder {display_path(path.parent)}; create it, or choose another")


def check_image_name(flag: str, path: Path | None) -> None:
    """Raises UsageError if a chart cannot be written to a file of this name."""
    if path is not None and path.suffix.lower() not in _IMAGE_SUFFIXES:
        raise UsageError(f"{flag} is {display_path(path)}; expected a name that ends in {', '.join(_IMAGE_SUFFIXES)}")


def wrote(path: str | Path, what: str = "") -> None:
    """Writes to standard error which file or folder was written, and what it holds."""
    note(f"wrote {display_path(Path(path))}" + (f": {what}" if what else ""))


def json_text(value: object) -> str:
    """Returns `value` as indented JSON that ends with a newline."""
    from tenfold.core.durable import json_bytes

    return json_bytes(value).decode()


def deliver(text: str, target: str | Path) -> None:
    """Prints a result if `target` is `-`, and writes it to the file `target` otherwise.

    File names in `text` that are not UTF-8 keep their bytes in a file.

    Raises:
        StorageError: when the file cannot be written.
    """
    from tenfold.core.durable import write_bytes

    content = text.encode("utf-8", "surrogateescape")
    if str(target) == "-":
        print(content.decode("utf-8", "backslashreplace"), end="")
        return
    write_bytes(Path(target), content)
    wrote(target)


def report_place(path: Path) -> str:
    """Returns the sentence that says where a run or sweep lies, and its page if it has one."""
    place = display_path(path)
    page = f", on one page: {place}/report.html" if (path / "report.html").is_file() else ""
    return f"everything is in {place}{page}"
