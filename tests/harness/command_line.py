"""The command line as users start it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment, with the sources importable whether or not they are installed."""
    paths = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(changes or {})}


def run_tenfold(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 280
) -> subprocess.CompletedProcess[str]:
    """Runs `tenfold` with these arguments to its end.

    Args:
        arguments: what follows `tenfold`.
        cwd: folder to start in.
        env: changes of the environment.
        timeout: seconds after which the test fails.
    """
    return subprocess.run(
        [sys.executable, "-m", "tenfold", *arguments],
        cwd=cwd,
        env=environment(env),
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )
