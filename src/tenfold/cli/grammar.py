"""What the command line accepts beyond typer: flags with an optional FILE or ADDRESS, and older spellings."""

import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

FILE_FLAGS = {"--json": ".json", "--csv": ".csv"}
"""Flags that may stand without a FILE, and the ending that makes the next word their FILE."""

_RAY, _RAY_LOCAL = "--ray", "local"
_ADDRESS = re.compile(r"auto|local|\S+:\d+")

ALIASES = {"--out": "--output", "--runs": "--repeats", "--device": "--devices", "--pictures": "--images"}
"""Older spellings, accepted by each command that has the new flag and does not use the old one for something else."""


class Command(TyperCommand):
    """A command whose `--json`, `--csv` and `--ray` may stand alone, and that accepts older spellings of flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments after rewriting them with `rewritten`."""
        return super().parse_args(ctx, rewritten(args, {name for each in self.params for name in each.opts}))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the help of arguments and options; arguments without their Python types."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            params = [each for each in self.get_params(ctx) if each.param_type_name == kind]
            rows = [row for each in params if (row := each.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name.partition(" <")[0], text) for name, text in rows])


def rewritten(arguments: Sequence[str], flags: set[str]) -> list[str]:
    """Returns command-line arguments in the form that the parser knows.

    `--json` and `--csv` take the next word only if it is `-` or ends in `.json` or `.csv`, so that they never take
    a positional argument; without a file they stand for `-`, standard output. `--json=FILE` takes any name. In the same
    way `--ray` takes `auto` or HOST:PORT, and stands for `local` without.

    Args:
        arguments: as typed, after the command's name.
        flags: that the command has.

    Example:
        >>> rewritten(["--json", "runs/a", "--out", "x"], {"--json", "--output"})
        ['--json=-', 'runs/a', '--output', 'x']
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    for position, word in enumerate(words[:end]):
        name, equals, value = word.partition("=")
        new = ALIASES.get(name)
        if new in flags and name not in flags:
            words[position] = f"{new}{equals}{value}"
        elif word in FILE_FLAGS and word in flags:
            following = words[position + 1] if position + 1 < end else ""
            if following != "-" and not following.lower().endswith(FILE_FLAGS[word]):
                words[position] = f"{word}=-"
        elif word == _RAY and word in flags and not _ADDRESS.fullmatch("".join(words[position + 1 : end][:1])):
            words[position] = f"{_RAY}={_RAY_LOCAL}"
    return words
