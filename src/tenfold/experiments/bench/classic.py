"""Benchmark against the classic tutorial script: both as whole processes, in turns, A B A B."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.experiments.bench.timed_runs import (
    TimedRun,
    run_classic,
    run_tenfold,
    save_classic_arrays,
    summarize_runs,
)
from tenfold.experiments.bench.timing import Samples


@dataclass(frozen=True)
class ClassicBench:
    """How many times faster a recipe is than the classic script.

    Args:
        recipe: its name.
        data: name of the dataset.
        classic: runs of the script, at least one.
        tenfold: runs of the recipe; each forms a pair with the script's run of the same index.
    """

    recipe: str
    data: str
    classic: tuple[TimedRun, ...]
    tenfold: tuple[TimedRun, ...]

    @property
    def speedup(self) -> Samples:
        """Seconds of the script divided by seconds of Tenfold, whole commands, for each pair."""
        pairs = zip(self.classic, self.tenfold, strict=True)
        return Samples(tuple(classic.seconds / tenfold.seconds for classic, tenfold in pairs))

    @property
    def training_speedup(self) -> Samples | None:
        """The same for training alone; None if a training is too short to be timed."""
        if any(run.training_seconds <= 0 for run in self.tenfold):
            return None
        pairs = zip(self.classic, self.tenfold, strict=True)
        return Samples(tuple(classic.training_seconds / tenfold.training_seconds for classic, tenfold in pairs))

    def protocol(self) -> list[str]:
        """Returns sentences that say what was timed and what was not."""
        count = len(self.classic)
        return [
            f"{count} pair{'s' * (count > 1)} of whole commands, the classic script and `tenfold train` in turns: wall "
            "time from the start of the process to its end; neither draws charts",
            "not timed: preparing the images; the script reads them decoded from one file, Tenfold from its store",
            "training: each program's own clock; the script's includes the start of its two worker processes, "
            "Tenfold's excludes compilation, which is listed separately",
            "accuracy: on the test split, evaluated once per run; ± is the standard deviation over the runs",
            "memory of the classic script: without its worker processes",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single run included."""
        training = self.training_speedup
        return {
            "benchmark": "classic",
            "recipe": self.recipe,
            "data": self.data,
            "protocol": self.protocol(),
            "times_faster": self.speedup.to_json(),
            "times_faster_training": None if training is None else training.to_json(),
            "classic": summarize_runs(self.classic),
            "tenfold": summarize_runs(self.tenfold),
        }


def compare_with_classic(
    recipe: str, flags: Sequence[str], dataset: Dataset, num_pairs: int, progress: Progress
) -> ClassicBench:
    """Runs the classic script and `tenfold train` in turns; nothing is left on disk.

    Args:
        recipe: name of a shipped recipe, or a TOML file.
        flags: options of `tenfold train`, such as `--data`.
        dataset: the same data, for the script.
        num_pairs: number of runs of each, at least 1.
        progress: shows each run.

    Raises:
        DataError: when the script cannot train on such images.
        TrainingError: when a run fails.
    """
    classic: list[TimedRun] = []
    tenfold: list[TimedRun] = []
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        runs, arrays = Path(folder) / "runs", Path(folder) / "images.npz"
        runs.mkdir()
        save_classic_arrays(dataset, arrays)
        for pair in range(num_pairs):
            classic.append(run_classic(arrays, len(dataset.test)))
            progress.message(f"pair {pair + 1} of {num_pairs}, classic: {classic[-1]}")
            tenfold.append(run_tenfold(recipe, flags, pair, runs))
            progress.message(f"pair {pair + 1} of {num_pairs}, {Path(recipe).stem}: {tenfold[-1]}")
    return ClassicBench(Path(recipe).stem, dataset.name, tuple(classic), tuple(tenfold))
