"""The tutorial as people write it against the same work done by Tenfold: whole processes in turns, A B A B."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.experiments.bench.timing import Measured
from tenfold.experiments.bench.whole_runs import WholeRun, run_classic, run_tenfold, save_for_classic, summary_of


@dataclass(frozen=True)
class ClassicBench:
    """How many times faster than the classic script a recipe is.

    Args:
        recipe: its name.
        data: name of the pictures.
        classic: runs of the script, one of each pair, at least one.
        tenfold: runs of the recipe, in the same order.
    """

    recipe: str
    data: str
    classic: tuple[WholeRun, ...]
    tenfold: tuple[WholeRun, ...]

    @property
    def times_faster(self) -> Measured:
        """Seconds of the script's whole command over those of ours, in each pair."""
        pairs = zip(self.classic, self.tenfold, strict=True)
        return Measured(tuple(script.seconds / ours.seconds for script, ours in pairs))

    @property
    def times_faster_training(self) -> Measured | None:
        """The same for training alone; None where a training is too short for the clock."""
        pairs = [(s.training_seconds, o.training_seconds) for s, o in zip(self.classic, self.tenfold, strict=True)]
        if any(ours <= 0 for _, ours in pairs):
            return None
        return Measured(tuple(script / ours for script, ours in pairs))

    def protocol(self) -> list[str]:
        """Returns what was timed and what was not, one sentence each."""
        count = len(self.classic)
        return [
            f"{count} pair{'s' * (count > 1)} of whole commands, the classic script and `tenfold train` in turns: wall "
            "time from the start of the process to its end; neither draws charts",
            "not timed: preparing the pictures; the script reads them decoded from one file, Tenfold from its store",
            "training: each program's own clock; the script's includes the start of its two worker processes, "
            "Tenfold's is without compiling, which is told apart",
            "accuracy: on the test pictures, judged once a run; ± is the standard deviation over the runs",
            "memory of the classic script is told without its worker processes",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single run included."""
        training = self.times_faster_training
        return {
            "benchmark": "classic",
            "recipe": self.recipe,
            "data": self.data,
            "protocol": self.protocol(),
            "times_faster": self.times_faster.to_json(),
            "times_faster_training": None if training is None else training.to_json(),
            "classic": summary_of(self.classic),
            "tenfold": summary_of(self.tenfold),
        }


def race_classic(recipe: str, flags: Sequence[str], dataset: Dataset, pairs: int, progress: Progress) -> ClassicBench:
    """Runs the classic script and `tenfold train` in turns; nothing is left on disk.

    Args:
        recipe: a shipped recipe or a TOML file.
        flags: of `tenfold train`, such as `--data`.
        dataset: the same pictures, for the script.
        pairs: how many, at least 1.
        progress: is told of each run.

    Raises:
        DataError: when the script cannot learn such pictures.
        TrainingError: when a run fails.
    """
    classic: list[WholeRun] = []
    ours: list[WholeRun] = []
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        runs, arrays = Path(folder) / "runs", Path(folder) / "pictures.npz"
        runs.mkdir()
        save_for_classic(dataset, arrays)
        for pair in range(pairs):
            classic.append(run_classic(arrays, len(dataset.test)))
            progress.message(f"pair {pair + 1} of {pairs}, classic: {classic[-1]}")
            ours.append(run_tenfold(recipe, flags, pair, runs))
            progress.message(f"pair {pair + 1} of {pairs}, {Path(recipe).stem}: {ours[-1]}")
    return ClassicBench(Path(recipe).stem, dataset.name, tuple(classic), tuple(ours))
