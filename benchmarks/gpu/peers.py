"""Runs a public speedrun script on the same images; its warm-up and compilation are reported apart.

    python benchmarks/gpu/peers.py airbench94_muon.py --runs 10

The scripts are not part of this repository. A copy in the folder PEERS reads `cifar10/train.pt` and `cifar10/test.pt`
in its current folder, takes the number of runs from the variable PEER_RUNS, and prints one JSON line per run:
`accuracy` with test-time augmentation, `seconds` by its own timer. Nothing else of it may be changed.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from common import DRY_RUN, WORK, emit


def run_peer(name: str, runs: int) -> int:
    """Runs a script of the folder PEERS, whose output is passed on; returns its exit code."""
    script = Path(os.environ["PEERS"]).absolute() / name
    if not script.is_file():
        emit(peer=name, error=f"{script} is missing")
        return 1
    if DRY_RUN:
        compile(script.read_text(), name, "exec")
        emit(peer=name, compiles=True)
        return 0
    began = time.perf_counter()
    environment = {**os.environ, "PEER_RUNS": str(runs)}
    code = subprocess.run([sys.executable, str(script)], cwd=WORK, env=environment, check=False).returncode
    emit(peer=name, process_seconds=round(time.perf_counter() - began, 2), rc=code)
    return code


def main() -> None:
    """Runs the script that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("script")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    sys.exit(run_peer(options.script, options.runs))


if __name__ == "__main__":
    main()
