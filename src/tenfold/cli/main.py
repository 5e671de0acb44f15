"""The command line: one parser, and one way out for every error."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from tenfold.cli.commands import (
    bench,
    check,
    compare,
    data,
    export,
    predict,
    recipes,
    report,
    show,
    summary,
    suspects,
    sweep,
    train,
)
from tenfold.cli.commands import eval as evaluation
from tenfold.core.errors import Stopped, TenfoldError
from tenfold.core.registry import did_you_mean

# Plain help: rich would cost a third of the time that --help may take.
app = typer.Typer(
    name="tenfold",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("eval")(evaluation.evaluate)
app.command("val", hidden=True)(evaluation.evaluate)
app.command("predict")(predict.predict)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("summary")(summary.summary)
app.command("recipes")(recipes.recipes)
app.add_typer(data.app, name="data")
app.command("check")(check.check)
app.command("suspects")(suspects.suspects)
app.command("export")(export.export)
app.add_typer(bench.app, name="bench")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; works anywhere.")] = False,
) -> None:
    """Trains, explains and ships image classifiers.

    Start with: tenfold train
    """
    if version:
        typer.echo(f"tenfold {_installed_version()}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tenfold")
    except PackageNotFoundError:
        return "(not installed: running from its source)"


def run() -> NoReturn:
    """Runs the command line of this process and ends it with the right exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold bytes that the terminal cannot show, and must not end a command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; what a user did wrong becomes one line on standard error.

    Args:
        arguments: what follows `tenfold` on the command line.
    """
    debug, arguments = _split_debug(arguments)
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="tenfold", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:
        # typer's way out of a pipe whose reader has gone.
        _let_go_of_stdout()
        return error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            _let_go_of_stdout()
            return 1
        if debug:
            traceback.print_exc()
        else:
            kind = "" if isinstance(error, Stopped) else "error: "
            print(f"tenfold: {kind}{_one_line(explain(error))}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 0


def explain(error: Exception) -> str:
    """Returns what to tell a user of `error`.

    Args:
        error: anything that a command let through.
    """
    if isinstance(error, TenfoldError):
        return str(error)
    if hasattr(error, "format_message"):
        return _explain_usage(error)
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or try a smaller --batch-size"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return (
        f"this should not have happened ({type(error).__name__}: {error}); "
        "run the command again with --debug and report what it prints to Tenfold's issue tracker"
    )


def _explain_usage(error: Exception) -> str:
    """Returns typer's complaint in our words, with the nearest option and where to read on."""
    hint = ""
    if close := getattr(error, "possibilities", None):
        hint = did_you_mean(getattr(error, "option_name", ""), close) or f"; did you mean '{close[0]}'?"
    text = str(getattr(error, "message", "")) if hint else str(getattr(error, "format_message")())  # noqa: B009
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tenfold"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}{hint} (see: {command} --help)"


def _split_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Returns whether `--debug` stands anywhere before a `--`, and the other arguments."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return len(kept) < end, kept + words[end:]


def _one_line(text: str) -> str:
    """Returns `text` without line breaks and control characters, which a file's name may hold."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def _let_go_of_stdout() -> None:
    """Points standard output at nothing, so that Python's last flush does not complain of a broken pipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return
