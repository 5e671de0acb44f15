"""The command line: its commands, and how errors become messages and exit codes."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from tenfold.cli.commands import bench, data
from tenfold.cli.commands.check import check
from tenfold.cli.commands.compare import compare
from tenfold.cli.commands.embed import embed
from tenfold.cli.commands.eval import evaluate
from tenfold.cli.commands.export import export
from tenfold.cli.commands.label import label
from tenfold.cli.commands.predict import predict
from tenfold.cli.commands.recipes import recipes
from tenfold.cli.commands.report import report
from tenfold.cli.commands.runs import runs
from tenfold.cli.commands.show import show
from tenfold.cli.commands.summary import summary
from tenfold.cli.commands.suspects import suspects
from tenfold.cli.commands.sweep import sweep
from tenfold.cli.commands.train import train
from tenfold.cli.grammar import Command
from tenfold.cli.launching import prefix_of, refuse_in_several
from tenfold.cli.options import flag
from tenfold.core.errors import TenfoldError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import one_line
from tenfold.core.world import launch_id

_COMPLETION_FLAGS = ("--show-completion", "--install-completion")
_SHELL_IS_NAMED = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"  # typer's: otherwise it ignores the name of a shell

# Plain help: rich would take a third of the time that --help may take.
app = typer.Typer(
    name="tenfold",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
app.command("train", cls=Command)(train)
app.command("sweep", cls=Command)(sweep)
app.command("compare", cls=Command)(compare)
app.command("eval", cls=Command)(evaluate)
app.command("val", cls=Command, hidden=True)(evaluate)
app.command("predict", cls=Command)(predict)
app.command("show", cls=Command)(show)
app.command("report", cls=Command)(report)
app.command("runs", cls=Command)(runs)
app.command("summary", cls=Command)(summary)
app.command("recipes", cls=Command)(recipes)
app.add_typer(data.app, name="data")
app.command("check", cls=Command)(check)
app.command("suspects", cls=Command)(suspects)
app.command("embed", cls=Command)(embed)
app.command("label", cls=Command)(label)
app.command("export", cls=Command)(export)
app.add_typer(bench.app, name="bench")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, flag("--version", "Print the version and exit")] = False,
    debug: Annotated[bool, flag("--debug", "Show tracebacks; may stand anywhere")] = False,
) -> None:
    """Trains, explains and ships image classifiers.

    Start with: tenfold train
    """
    if version:
        typer.echo(f"tenfold {_installed_version()}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif context.invoked_subcommand != "train":
        refuse_in_several(context.invoked_subcommand)


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tenfold")
    except PackageNotFoundError:
        return "(not installed: running from its source)"


def run() -> NoReturn:
    """Runs the command line of this process and exits with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that the terminal cannot show; printing it must not end a command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if launch_id() is not None:
        from tenfold.core.spawn import stop_with_parent

        stop_with_parent()
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; an error becomes one line on standard error.

    Args:
        arguments: the words after `tenfold` on the command line.
    """
    debug, arguments = _split_debug(arguments)
    if len(arguments) > 1 and arguments[0] in _COMPLETION_FLAGS:
        os.environ[_SHELL_IS_NAMED] = "1"
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="tenfold", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:  # typer exits after shell completion, and when the reader of a pipe has gone
        _discard_stdout()
        return error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            _discard_stdout()
            return 1
        if debug:
            traceback.print_exc()
        elif (prefix := prefix_of(error)) is not None:
            print(f"tenfold: {prefix}{one_line(explain(error))}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 0


def explain(error: Exception) -> str:
    """Returns the message for an error: what was found, what was expected, what to do.

    Args:
        error: any exception of a command.
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
        "run the command again with --debug and report its output to Tenfold's issue tracker"
    )


def _explain_usage(error: Exception) -> str:
    """Returns typer's message with the nearest option and the command whose help explains it."""
    hint = ""
    if close := getattr(error, "possibilities", None):
        hint = did_you_mean(getattr(error, "option_name", ""), close) or f"; did you mean '{close[0]}'?"
    text = str(getattr(error, "message", "")) if hint else str(getattr(error, "format_message")())  # noqa: B009
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tenfold"
    text = text.replace("Value error, ", "")  # the parser's words before a wrong choice
    return f"{text[:1].lower()}{text[1:].rstrip('.')}{hint} (see: {command} --help)"


def _split_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Returns whether `--debug` is among the arguments before a `--`, and the other arguments."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return len(kept) < end, kept + words[end:]


def _discard_stdout() -> None:
    """Redirects standard output to nowhere, so that Python's last flush does not fail on a broken pipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return
