"""Benchmark of photos."""

from pathlib import Path

from tenfold.api.bench import check_numbers, data_flag, prepared_for_bench
from tenfold.core.progress import Progress, SilentProgress
from tenfold.experiments.bench.photos import PhotoBench, measure_features, time_photo_runs
from tenfold.experiments.bench.timed_runs import sigterm_as_exception


def bench_photo(
    recipe: str | Path = "photo",
    *,
    data: str | None = None,
    runs: int = 3,
    seconds: float = 5.0,
    progress: Progress | None = None,
) -> PhotoBench:
    """Times whole `tenfold train` commands on photos, with unknown and with known features, and the features alone.

    Args:
        recipe: a shipped recipe or a TOML file that fits a head.
        data: a dataset's name or path, as for `--data`; the recipe's by default.
        runs: number of pairs, with seeds 0, 1, 2, ….
        seconds: measuring time for each image size of the features, and of the plain network, above 0.
        progress: receives messages; silent by default.

    Raises:
        UsageError: when a number is out of range.
        TrainingError: when a run fails; with its last line.
        TenfoldError: every error of the recipe or its data.
    """
    progress = progress or SilentProgress()
    check_numbers(seconds, runs=runs)
    with sigterm_as_exception():
        _, dataset = prepared_for_bench(recipe, data, (), None, progress)
        first, again = time_photo_runs(str(recipe), data_flag(data), runs, progress)
        progress.message("measuring the features")
        return PhotoBench(Path(recipe).stem, dataset.name, first, again, measure_features(seconds))
