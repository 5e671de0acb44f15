"""The word `last` on the command line: the newest run, named on standard error."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.world import LAUNCH_ID, current_world

if TYPE_CHECKING:
    from tenfold.runs.run_list import Kind


def last_of(*kinds: "Kind") -> Callable[[Any], Any]:
    """Returns the callback of an argument or option that names runs; it replaces `last` by the newest folder.

    Args:
        kinds: of the folders that `last` may stand for: `run`, `sweep`.
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(each) for each in value]
        if value is None or not current_world().is_main:  # rank 0 of several processes looks it up
            return value

        from tenfold.runs.run_list import named  # `--help` does not pay for it

        path = named(Path(value), *kinds)
        if path == Path(value):
            return value

        from tenfold.cli.output import note
        from tenfold.core.disk import display_path

        if LAUNCH_ID not in os.environ:  # else the command that has started this process has said it
            note(f"last is {display_path(path)}")
        return type(value)(path)

    return resolved
