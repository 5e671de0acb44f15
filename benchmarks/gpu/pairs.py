"""Runs Tenfold and a public speedrun script in turns, A B A B, each as a process of its own.

    python benchmarks/gpu/pairs.py [--peer airbench94_muon.py] [--recipe fast94] [--pairs 2] [--runs 5]

The kernels that a script compiles stay in the folder of the working files, so that a second process starts quickly.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from common import DRY_RUN, emit
from peers import run_peer

_HERE = Path(__file__).parent


def main() -> None:
    """Runs the pairs; the output of both is passed on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", default="airbench94_muon.py")
    parser.add_argument("--recipe", default="fast94")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="runs of each process")
    options = parser.parse_args()
    lines = [word for line in options.set for word in ("--set", line)]
    codes = []
    for pair in range(1 if DRY_RUN else options.pairs):
        emit(pair=pair, of=options.pairs)
        command = [sys.executable, str(_HERE / "speedrun.py"), options.recipe, *lines, "--seeds", str(options.runs)]
        command += ["--first-seed", str(pair * options.runs)]
        codes.append(subprocess.run(command, check=False).returncode)
        codes.append(run_peer(options.peer, options.runs))
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
