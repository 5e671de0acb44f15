"""Benchmark of several processes."""

from collections.abc import Sequence
from pathlib import Path

from tenfold.api.bench import check_numbers, prepared_for_bench
from tenfold.api.data import request_of
from tenfold.core.progress import Progress, SilentProgress
from tenfold.experiments.bench.scale import ScaleBench, measure_scale
from tenfold.experiments.bench.timed_runs import sigterm_as_exception


def bench_scale(
    recipe: str | Path = "quick",
    *,
    data: str | None = None,
    processes: Sequence[int] = (1, 2),
    overrides: Sequence[str] = (),
    device: str | None = None,
    repeats: int = 3,
    seconds: float = 5.0,
    progress: Progress | None = None,
) -> ScaleBench:
    """Times training steps with several numbers of processes on this machine, in turns.

    Args:
        recipe: a shipped recipe or a TOML file.
        data: a dataset's name or path, as for `--data`; the recipe's by default.
        processes: numbers of processes, each at least 1.
        overrides: `"section.key=value"` each.
        device: `auto`, `cpu` or `cuda`; the recipe's by default.
        repeats: number of turns.
        seconds: measuring time for each point and turn, above 0.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        TrainingError: when a process fails; with its last line.
        TenfoldError: every error of the recipe or its data.
    """
    progress = progress or SilentProgress()
    counts = sorted(set(processes))
    check_numbers(seconds, repeats=repeats, processes=min(counts, default=0))
    with sigterm_as_exception():
        chosen, dataset = prepared_for_bench(recipe, data, overrides, device, progress)
        points = measure_scale(chosen, request_of(chosen.data), counts, seconds, repeats, progress)
    return ScaleBench(Path(recipe).stem, dataset.name, points)
