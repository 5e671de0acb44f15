"""Which display a command gets: a live one on a terminal, plain lines elsewhere."""

import os
import sys
from typing import TextIO

from tenfold.cli.plain import PlainProgress
from tenfold.cli.sweep_plain import PlainSweepProgress


def progress_for(stream: TextIO | None = None, *, tutorial_every: int | None = None) -> PlainProgress:
    """Returns a live progress bar if `stream` is a terminal, plain lines otherwise.

    Args:
        stream: where to write; standard output by default.
        tutorial_every: see `PlainProgress`.
    """
    stream = sys.stdout if stream is None else stream
    if not _is_live(stream):
        return PlainProgress(stream, tutorial_every=tutorial_every)
    from tenfold.cli.live import LiveProgress

    return LiveProgress(stream, tutorial_every=tutorial_every)


def sweep_progress_for(stream: TextIO) -> PlainSweepProgress:
    """Returns a live table if `stream` is a terminal, plain lines otherwise."""
    if not _is_live(stream):
        return PlainSweepProgress(stream)
    from tenfold.cli.live import LiveSweepProgress

    return LiveSweepProgress(stream)


def _is_live(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"
