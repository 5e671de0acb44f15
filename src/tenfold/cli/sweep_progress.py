"""How a sweep shows that it goes on: a live table on a terminal, plain lines elsewhere."""

import os
import sys
from typing import TextIO

from tenfold.cli.sweep_plain import SweepProgress


def sweep_progress_for(stream: TextIO | None = None) -> SweepProgress:
    """Returns a live table where `stream` is a terminal, plain lines elsewhere.

    Args:
        stream: where to write; standard output by default.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return SweepProgress(stream)
    from tenfold.cli.sweep_live import LiveSweepProgress

    return LiveSweepProgress(stream)
