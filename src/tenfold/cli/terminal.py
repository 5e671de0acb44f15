"""How a run shows that it goes on: a live bar on a terminal, plain lines elsewhere."""

import os
import sys
from typing import TextIO

from tenfold.cli.plain import PlainProgress
from tenfold.cli.sweep_plain import SweepProgress


def progress_for(stream: TextIO | None = None, *, tutorial_every: int | None = None) -> PlainProgress:
    """Returns a live display where `stream` is a terminal, plain lines elsewhere.

    Args:
        stream: where to write; standard output by default.
        tutorial_every: see `PlainProgress`.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return PlainProgress(stream, tutorial_every=tutorial_every)
    from tenfold.cli.live import LiveProgress

    return LiveProgress(stream, tutorial_every=tutorial_every)


def sweep_progress_for(stream: TextIO | None = None) -> SweepProgress:
    """Returns a live table where `stream` is a terminal, plain lines elsewhere.

    Args:
        stream: where to write; standard output by default.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return SweepProgress(stream)
    from tenfold.cli.live import LiveSweepProgress

    return LiveSweepProgress(stream)
