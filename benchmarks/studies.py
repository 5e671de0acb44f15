"""The width and depth studies of the CIFAR-10 tutorials, as commands, timed as processes against the classic script.

    python benchmarks/studies.py DATA --out results/NAME.json

DATA is what `--data` takes, for example the JPEG copy of CIFAR-10. The script takes an hour on two cores; run nothing
else on the machine. Eight whole classic runs would take longer than that. So only the first steps of each are timed,
before and after our study, together with everything else that the script does, and the total is estimated from that.
The narrowest network is trained completely, to check the estimate.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tenfold
from tenfold.experiments.bench.timed_runs import (
    ProcessResult,
    classic_script,
    parse_number,
    run_process,
    save_classic_arrays,
)
from tenfold.runs.environment import describe_environment

WIDTHS = (30, 50, 70, 90, 110, 130, 150, 170)
REPORTED_WIDTHS = dict(zip(WIDTHS, (0.7073, 0.7115, 0.6749, 0.7142, 0.71, 0.7044, 0.7049, 0.7061), strict=True))
REPORTED_DEPTHS = {"deep3": 0.7049, "deep4": 0.6133}
SUMMARY_KEYS = (
    *("test_accuracy", "test_interval", "parameters", "steps"),
    *("training_seconds", "total_seconds", "hardware"),
)
NUM_STEPS = 37_500  # three epochs in batches of 4


def run_classic_script(images: Path, *flags: str) -> ProcessResult:
    return run_process([sys.executable, str(classic_script()), str(images), *flags], "the classic script")


def time_first_steps(images: Path, num_steps: int) -> dict[int, dict[str, float]]:
    """Returns for each width the milliseconds per step, and the seconds of everything but the steps."""
    times = {}
    for width in WIDTHS:
        result = run_classic_script(images, "--width", str(width), "--steps", str(num_steps))
        step_ms = parse_number(r"step: ([\d.]+) ms", result.output)
        times[width] = {"step_ms": step_ms, "beside_seconds": result.seconds - (num_steps + 100) * step_ms / 1000}
        print("classic", width, times[width], flush=True)
    return times


def run_whole_classic_script(images: Path, width: int) -> dict[str, float]:
    result = run_classic_script(images, "--width", str(width))
    accuracy = parse_number(r"accuracy: ([\d.]+)", result.output) / 100
    return {"width": width, "seconds": round(result.seconds, 1), "accuracy": accuracy}


def run_sweep(data: str, flags: list[str], runs: Path, name: str) -> dict[str, Any]:
    """Runs `tenfold sweep`; returns its time and its results."""
    command = [sys.executable, "-m", "tenfold", "sweep", "--data", data, "--runs", str(runs), "--name", name, *flags]
    result = run_process(command, f"tenfold sweep --name {name}")
    print(result.output, flush=True)
    folder = runs / name
    plan = json.loads((folder / "sweep.json").read_text())
    rows = []
    for run in sorted((folder / "trials").iterdir()):
        summary = json.loads((run / "summary.json").read_text())
        rows.append({"trial": run.name, **{key: summary[key] for key in SUMMARY_KEYS}})
    return {
        "command": ["tenfold", "sweep", *flags],
        "seconds": round(result.seconds, 1),
        "jobs": plan["jobs"],
        "each": rows,
    }


def estimate_classic(rounds: list[dict[int, dict[str, float]]]) -> dict[str, Any]:
    """Returns the time of eight classic runs, estimated from the medians of what was timed."""
    seconds = {}
    for width in WIDTHS:
        beside = statistics.median(times[width]["beside_seconds"] for times in rounds)
        step_ms = statistics.median(times[width]["step_ms"] for times in rounds)
        seconds[width] = round(beside + NUM_STEPS * step_ms / 1000, 1)
    return {"rounds": rounds, "seconds_of_each": seconds, "seconds": round(sum(seconds.values()), 1)}


def draw_width_study(runs: Path, folder: Path) -> None:
    """Draws the width study together with the accuracies that the tutorial reports."""
    from tenfold.report.plots.sweep_charts import plot_sweep
    from tenfold.report.study import Study
    from tenfold.runs.sweep_folder import SweepFolder

    with tempfile.TemporaryDirectory() as temporary:
        rows = SweepFolder.open(runs / "width").rows()
        plot_sweep(Study(rows, ["model.width"]), Path(temporary), reference=REPORTED_WIDTHS)
        (folder / "width-study.png").write_bytes((Path(temporary) / "model.width.png").read_bytes())


def main() -> None:
    """Measures and writes one JSON file, part by part, so that an interruption loses little."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--runs", type=Path, help="Folder for the sweeps (default: temporary).")
    parser.add_argument("--images", type=Path, help="Folder for the chart of the width study (default: no chart).")
    parser.add_argument("--steps", type=int, default=800, help="Timed steps of each classic run (default: 800).")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results.")
    options = parser.parse_args()
    results: dict[str, Any] = {
        "data": Path(options.data).name,
        "measured": time.strftime("%Y-%m-%d"),
        "environment": describe_environment(sys.argv),
        "reported": REPORTED_WIDTHS | REPORTED_DEPTHS,
    }

    def save(name: str, value: object) -> None:
        results[name] = value
        options.out.write_text(json.dumps(results, indent=2) + "\n")

    vary = "model.width=" + ",".join(map(str, WIDTHS))
    with tempfile.TemporaryDirectory() as folder:
        runs, images = options.runs or Path(folder), Path(folder) / "images.npz"
        save_classic_arrays(tenfold.dataset(options.data), images)
        before = time_first_steps(images, options.steps)
        fast = run_sweep(options.data, ["--recipe", "wide-fast", "--vary", vary], runs, "width-fast")
        save("width_study_fast", fast)
        exact = run_sweep(options.data, ["--recipe", "wide", "--vary", vary], runs, "width")
        save("width_study", exact)
        classic = estimate_classic([before, time_first_steps(images, options.steps)])
        save("classic", classic)
        save("times_faster", round(classic["seconds"] / exact["seconds"], 2))
        save("times_faster_fast", round(classic["seconds"] / fast["seconds"], 2))
        save("depth_study", run_sweep(options.data, ["--vary", "recipe=wide,deep3,deep4"], runs, "depth"))
        save("whole_classic", run_whole_classic_script(images, WIDTHS[0]))
        if options.images is not None:
            draw_width_study(runs, options.images)


if __name__ == "__main__":
    main()
