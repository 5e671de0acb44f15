"""Whole commands, timed from outside, one after another: `python benchmarks/speed.py DATA --out results/NAME.json`.

DATA is what `--data` takes, for example the JPEG copy of CIFAR-10. Measure on a machine that does nothing else:
PyTorch slows down many times when another process competes for the cores. The tutorial as people write it
(`classic.py`) and `tenfold train --recipe tutorial` take turns, A B A B; medians are quoted.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


@dataclass
class Timed:
    """One run of a command: wall seconds from process start, peak memory in MB, accuracy in [0, 1]."""

    seconds: float
    memory_mb: float
    accuracy: float | None
    training_seconds: float | None = None


def timed(command: list[str]) -> tuple[float, float, str]:
    """Runs a command; returns wall seconds, peak memory in MB and what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text}")
    return seconds, usage.ru_maxrss / 1024, text


def classic(pictures: Path) -> Timed:
    """Runs the tutorial as people write it."""
    seconds, memory, text = timed([sys.executable, str(HERE / "classic.py"), str(pictures)])
    accuracy = float(re.search(r"accuracy: ([\d.]+) %", text)[1]) / 100
    return Timed(round(seconds, 2), round(memory), accuracy, float(re.search(r"training: ([\d.]+) s", text)[1]))


def tenfold(data: str, recipe: str, seed: int, runs: Path) -> Timed:
    """Runs `tenfold train`."""
    name = f"{recipe}-{seed}-{time.monotonic_ns()}"
    flags = ["--recipe", recipe, "--data", data, "--seed", str(seed), "--runs", str(runs), "--name", name]
    seconds, memory, _ = timed([str(Path(sys.executable).with_name("tenfold")), "train", *flags])
    summary = json.loads((runs / name / "summary.json").read_text())
    return Timed(round(seconds, 2), round(memory), summary["test_accuracy"], summary["training_seconds"])


def save_arrays(data: str, path: Path) -> None:
    """Writes the pictures as `classic.py` reads them, and so warms the store too."""
    import tenfold as package

    dataset = package.dataset(data)
    np.savez(
        path,
        train_images=dataset.train.images,
        train_labels=dataset.train.labels,
        test_images=dataset.test.images,
        test_labels=dataset.test.labels,
    )


def environment() -> dict[str, object]:
    """Returns hardware and versions."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "pillow", "tenfold")},
    }


def summary_of(runs: list[Timed]) -> dict[str, object]:
    """Returns medians, the spread and every single run."""
    accuracies = [run.accuracy for run in runs if run.accuracy is not None]
    return {
        "runs": len(runs),
        "median_seconds": statistics.median(run.seconds for run in runs),
        "fastest_seconds": min(run.seconds for run in runs),
        "slowest_seconds": max(run.seconds for run in runs),
        "peak_memory_mb": max(run.memory_mb for run in runs),
        "mean_accuracy": round(statistics.mean(accuracies), 4) if accuracies else None,
        "deviation_accuracy": round(statistics.stdev(accuracies), 4) if len(accuracies) > 1 else None,
        "each": [asdict(run) for run in runs],
    }


def main() -> None:
    """Measures and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--pairs", type=int, default=3, help="of classic and tutorial, taking turns")
    parser.add_argument("--tutorial", type=int, default=5, help="seeds of the recipe tutorial in all")
    parser.add_argument("--quick", type=int, default=5, help="runs of the recipe quick")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    results: dict[str, object] = {"data": Path(wanted.data).name, "environment": environment()}
    with tempfile.TemporaryDirectory() as folder:
        runs, pictures = Path(folder), Path(folder) / "pictures.npz"
        save_arrays(wanted.data, pictures)
        ours, peers = [], []
        for seed in range(wanted.tutorial):
            if seed < wanted.pairs:
                peers.append(classic(pictures))
            ours.append(tenfold(wanted.data, "tutorial", seed, runs))
        if peers:
            ratios = [peer.seconds / own.seconds for peer, own in zip(peers, ours, strict=False)]
            results |= {"classic": summary_of(peers), "times_faster": [round(ratio, 2) for ratio in ratios]}
            results["median_times_faster"] = round(statistics.median(ratios), 2)
        if ours:
            results["tutorial"] = summary_of(ours)
        if wanted.quick:
            results["quick"] = summary_of([tenfold(wanted.data, "quick", seed, runs) for seed in range(wanted.quick)])
        shapes = [tenfold("shapes", "quick", seed, runs) for seed in range(min(3, wanted.quick))]
        if shapes:
            results["quick_on_shapes"] = summary_of(shapes)
        helps = [timed([str(Path(sys.executable).with_name("tenfold")), "--help"])[0] for _ in range(7)]
        results["help_median_seconds"] = round(statistics.median(helps), 3)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key != "environment"}, indent=2)[:2000])


if __name__ == "__main__":
    main()
