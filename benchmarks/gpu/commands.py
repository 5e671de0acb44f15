"""Measures with commands of Tenfold: the tutorial against the classic script, the width study, prediction.

python benchmarks/gpu/commands.py tutorial DATA
python benchmarks/gpu/commands.py width
python benchmarks/gpu/commands.py predict [--recipe quick]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import DEVICE, DRY_RUN, PREPARED, WORK, attempt, emit, overrides

from tenfold.experiments.bench.timed_runs import classic_script, parse_number, run_process, run_tenfold

_CLASSIC_STEPS, _CLASSIC_WARM_UP = 500, 100


def measure_classic(steps: int) -> dict[str, Any]:
    """Times the first steps of the classic script, and everything beside its steps."""
    command = [sys.executable, str(classic_script()), str(WORK / "images.npz"), "--steps", str(steps)]
    result = run_process([*command, "--device", DEVICE.type], "the classic script")
    step_ms = parse_number(r"step: ([\d.]+) ms", result.output)
    beside = result.seconds - (steps + _CLASSIC_WARM_UP) * step_ms / 1000
    return {"step_ms": step_ms, "beside_seconds": round(beside, 2), "timed_steps": steps}


def measure_tutorial() -> None:
    """Compares whole trainings of the recipe `tutorial` with the classic script, which is reckoned from its steps."""
    steps = 20 if DRY_RUN else _CLASSIC_STEPS
    classic: dict[str, Any] = {}
    attempt("classic script", lambda: classic.update(measure_classic(steps)) or classic)
    source = json.loads(PREPARED.read_text())["source"]
    flags = ["--data", source]
    for line in overrides("tutorial"):
        flags += ["--set", line]
    for execution in ("compiled", "eager"):
        attempt("tutorial", lambda execution=execution: _tutorial(flags, execution, classic), execution=execution)


def _tutorial(flags: list[str], execution: str, classic: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = run_tenfold("tutorial", [*flags, "--set", f"train.execution={execution}"], 0, Path(folder))
        (summary,) = Path(folder).glob("*/summary.json")
        steps = json.loads(summary.read_text())["steps"]
    found = {"steps": steps, **run.to_json()}
    if classic and run.training_seconds:
        training = steps * classic["step_ms"] / 1000
        found["classic_training_seconds"] = round(training, 2)
        found["times_faster_training"] = round(training / run.training_seconds, 2)
        found["times_faster"] = round((training + classic["beside_seconds"]) / run.seconds, 2)
    return found


def measure_command(*words: str) -> None:
    """Runs a command of Tenfold that writes JSON, and reports that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        result = run_process([sys.executable, "-m", "tenfold", *words, "--json", str(path)], " ".join(words[:2]))
        print(result.output)
        emit(command=" ".join(words), process_seconds=round(result.seconds, 2), **json.loads(path.read_text()))


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tutorial", "width", "predict"))
    parser.add_argument("data", nargs="?")
    parser.add_argument("--recipe", default="quick")
    options = parser.parse_args()
    if options.what == "tutorial":
        measure_tutorial()
    elif options.what == "width":
        seconds, widths = ("0.05", "6") if DRY_RUN else ("0.5", "6,30,90,170")
        measure_command("bench", "width", "--devices", "cpu,cuda", "--widths", widths, "--seconds", seconds)
    else:
        count, seconds = ("50", "0.05") if DRY_RUN else ("2000", "1")
        flags = ["--device", DEVICE.type, "--images", count, "--calls", count[:3], "--seconds", seconds]
        measure_command("bench", "predict", "--recipe", options.recipe, *flags)


if __name__ == "__main__":
    main()
