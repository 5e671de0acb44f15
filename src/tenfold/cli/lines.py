"""Sentences for whoever watches a command, whatever else it shows."""

import sys
from contextlib import suppress
from typing import TextIO


class Lines:
    """Writes sentences; a stream that breaks, as a pipe into `head` does, ends the lines and not the work.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def message(self, text: str) -> None:
        """Writes a sentence for the user."""
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """Writes a sentence that the user should not miss, on standard error."""
        with suppress(OSError, ValueError):
            print(f"tenfold: warning: {text}", file=sys.stderr, flush=True)
