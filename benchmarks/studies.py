"""The width and depth studies of the CIFAR-10 tutorials, as commands, timed from outside against the classic script.

    python benchmarks/studies.py DATA --out results/NAME.json

DATA is what `--data` takes, for example the JPEG copy of CIFAR-10. It takes an hour on two cores; measure on a machine
that does nothing else. Eight classic runs one after another would take longer than that: of each, the first steps are
timed (before and after our study) along with everything beside the steps, and the whole is reckoned from that. The
narrowest is run to its end too, which tells how good the reckoning is.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import tenfold
from tenfold.experiments.bench.whole_runs import Ended, classic_script, figure, run_to_end, save_for_classic
from tenfold.runs.environment import describe_environment

WIDTHS = (30, 50, 70, 90, 110, 130, 150, 170)
REPORTED = dict(zip(WIDTHS, (0.7073, 0.7115, 0.6749, 0.7142, 0.71, 0.7044, 0.7049, 0.7061), strict=True))
REPORTED_DEPTH = {"deep3": 0.7049, "deep4": 0.6133}
KEPT = ("test_accuracy", "test_interval", "parameters", "steps", "training_seconds", "total_seconds", "hardware")
STEPS = 37_500  # of three epochs in batches of 4


def classic(pictures: Path, *flags: str) -> Ended:
    """Runs the tutorial as people write it."""
    return run_to_end([sys.executable, str(classic_script()), str(pictures), *flags], "the classic script")


def classic_round(pictures: Path, steps: int) -> dict[int, dict[str, float]]:
    """Returns for each width the milliseconds of a step, and the seconds of all that is no step."""
    found = {}
    for width in WIDTHS:
        ended = classic(pictures, "--width", str(width), "--steps", str(steps))
        step = figure(r"step: ([\d.]+) ms", ended.output)
        found[width] = {"step_ms": step, "beside_seconds": ended.seconds - (steps + 100) * step / 1000}
        print("classic", width, found[width], flush=True)
    return found


def whole_classic(pictures: Path, width: int) -> dict[str, float]:
    """Runs one classic script to its end."""
    ended = classic(pictures, "--width", str(width))
    return {
        "width": width,
        "seconds": round(ended.seconds, 1),
        "accuracy": figure(r"accuracy: ([\d.]+)", ended.output) / 100,
    }


def sweep(data: str, flags: list[str], runs: Path, name: str) -> dict[str, object]:
    """Runs `tenfold sweep`; returns wall seconds and its table."""
    command = [sys.executable, "-m", "tenfold", "sweep", "--data", data, "--runs", str(runs), "--name", name, *flags]
    ended = run_to_end(command, f"tenfold sweep --name {name}")
    print(ended.output, flush=True)
    folder = runs / name
    plan = json.loads((folder / "sweep.json").read_text())
    rows = []
    for run in sorted((folder / "trials").iterdir()):
        summary = json.loads((run / "summary.json").read_text())
        rows.append({"trial": run.name, **{key: summary[key] for key in KEPT}})
    return {
        "command": ["tenfold", "sweep", *flags],
        "seconds": round(ended.seconds, 1),
        "jobs": plan["jobs"],
        "each": rows,
    }


def reckoned(rounds: list[dict[int, dict[str, float]]]) -> dict[str, object]:
    """Returns what eight classic runs would take, from the medians of what was timed."""
    each = {
        width: round(
            statistics.median(one[width]["beside_seconds"] for one in rounds)
            + STEPS * statistics.median(one[width]["step_ms"] for one in rounds) / 1000,
            1,
        )
        for width in WIDTHS
    }
    return {"rounds": rounds, "seconds_of_each": each, "seconds": round(sum(each.values()), 1)}


def draw(runs: Path, images: Path) -> None:
    """Draws the width study with what the write-up reports beside it."""
    from tenfold.report.plots.sweep_charts import draw_sweep
    from tenfold.runs.sweep_folder import SweepFolder

    with tempfile.TemporaryDirectory() as folder:
        draw_sweep(SweepFolder.open(runs / "width").rows(), ["model.width"], Path(folder), reference=REPORTED)
        (images / "width-study.png").write_bytes((Path(folder) / "model.width.png").read_bytes())


def main() -> None:
    """Measures and writes one JSON file, part by part, so that what was measured is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--runs", type=Path, help="where the sweeps are kept; nowhere by default")
    parser.add_argument("--images", type=Path, help="folder for the chart of the width study")
    parser.add_argument("--steps", type=int, default=800, help="of each classic run that are timed")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    results: dict[str, object] = {
        "data": Path(wanted.data).name,
        "measured": time.strftime("%Y-%m-%d"),
        "environment": describe_environment(sys.argv),
        "reported": REPORTED | REPORTED_DEPTH,
    }

    def keep(name: str, value: object) -> None:
        results[name] = value
        wanted.out.write_text(json.dumps(results, indent=2) + "\n")

    widths = "model.width=" + ",".join(map(str, WIDTHS))
    with tempfile.TemporaryDirectory() as folder:
        runs, pictures = wanted.runs or Path(folder), Path(folder) / "pictures.npz"
        save_for_classic(tenfold.dataset(wanted.data), pictures)
        first = classic_round(pictures, wanted.steps)
        fast = sweep(wanted.data, ["--recipe", "wide-fast", "--vary", widths], runs, "width-fast")
        keep("width_study_fast", fast)
        specified = sweep(wanted.data, ["--recipe", "wide", "--vary", widths], runs, "width")
        keep("width_study", specified)
        classic = reckoned([first, classic_round(pictures, wanted.steps)])
        keep("classic", classic)
        keep("times_faster", round(classic["seconds"] / specified["seconds"], 2))
        keep("times_faster_fast", round(classic["seconds"] / fast["seconds"], 2))
        keep("depth_study", sweep(wanted.data, ["--vary", "recipe=wide,deep3,deep4"], runs, "depth"))
        keep("whole_classic", whole_classic(pictures, WIDTHS[0]))
        if wanted.images is not None:
            draw(runs, wanted.images)


if __name__ == "__main__":
    main()
