"""A sweep on a Ray cluster of two nodes on this machine, one of which is killed meanwhile: is each trial there once?

    python benchmarks/ray_two_nodes.py --trials 200

Both nodes have one CPU. The one without the driver is killed, its workers with it, after a quarter of the results, at a
moment when it runs a trial. Prints what the sweep's files say as JSON, and exits with 1 unless every trial has
exactly one result.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import tenfold
from tenfold.experiments.sweep.trials import SilentSweepProgress
from tenfold.runs.log import read_log
from tenfold.runs.sweep_folder import SweepFolder

STEPS = 200
"""Of each trial: with the mlp about a second."""


class Killer(SilentSweepProgress):
    """Kills a node when a trial reports, after some results.

    Args:
        cluster: of two nodes.
        node: the one to kill.
        after: number of results.
    """

    def __init__(self, cluster: Any, node: Any, after: int) -> None:
        self.cluster, self.node, self.after = cluster, node, after
        self.results, self.killed_after = 0, None
        self.running: set[str] = set()
        self.retried: list[str] = []

    def trial_finished(self, name: str, row: Mapping[str, Any]) -> None:
        """Counts a result."""
        self.results += 1
        self.running.discard(name)

    def trial_progress(self, name: str, row: Mapping[str, Any]) -> None:
        """Kills the node, once, when both nodes run a trial."""
        self.running.add(name)
        if self.killed_after is None and self.results >= self.after and len(self.running) == 2:
            self.killed_after = self.results
            self.cluster.remove_node(self.node, allow_graceful=False)

    def trial_retried(self, name: str, reason: str) -> None:
        """Notes a trial that starts again."""
        self.retried.append(f"{name}: {reason}")


def run(trials: int, runs: Path) -> dict[str, Any]:
    """Runs the sweep and returns what its files say.

    Args:
        trials: number of trials.
        runs: folder for the sweep's folder.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    killer = Killer(cluster, cluster.add_node(num_cpus=1), after=trials // 4)
    started = time.perf_counter()
    try:
        study = tenfold.sweep(
            "mlp",
            vary={"optim.lr": [round(0.001 * (number + 1), 4) for number in range(trials)]},
            data="shapes",
            overrides=[f"train.duration={STEPS} steps", "train.execution=eager", "train.log_every=20"],
            runs=runs,
            report=False,
            ray=cluster.address,
            sweep_progress=killer,
        )
    finally:
        cluster.shutdown()
    folder = SweepFolder.open(study.path)
    ended = Counter(entry["trial"] for entry in read_log(folder.log) if entry["event"] == "ended")
    return {
        "trials": trials,
        "listed": len({trial.name for trial in folder.trials()}),
        "finished": sum(row["status"] == "finished" for row in folder.rows()),
        "ended_once": sum(count == 1 for count in ended.values()),
        "rows": len(study.rows),
        "killed_after": killer.killed_after,
        "retried": killer.retried,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Runs the sweep in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = run(options.trials, Path(place))
    print(json.dumps(found, indent=2))
    counts = {found[name] for name in ("listed", "finished", "ended_once", "rows")}
    sys.exit(0 if counts == {options.trials} and found["killed_after"] is not None else 1)


if __name__ == "__main__":
    main()
