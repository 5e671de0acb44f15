"""The end of a sweep: what came of it, written down."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import TrainingError
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.spread import Spread, spread
from tenfold.experiments.plan import SweepPlan
from tenfold.experiments.results import Best, best_of
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.report.sweeps import draw_sweep
from tenfold.runs.folder import RunFolder
from tenfold.runs.sweepfolder import Row, SweepFolder


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Args:
        path: of its folder.
        kind: `seeds`, `grid` or `search`.
        keys: in which the trials differ.
        rows: one for each trial, as in `sweep.csv`.
        best: settings; see `Best`.
    """

    path: Path
    kind: str
    keys: tuple[str, ...]
    rows: Sequence[Row]
    best: Best

    @property
    def accuracy(self) -> Spread:
        """Mean, deviation and interval of the finished trials' test accuracies; best read of several seeds."""
        return spread([row["test_accuracy"] for row in self.rows if row["status"] == "finished"])

    def evaluations(self) -> list[Evaluation]:
        """Returns what is known of each finished trial, in the order of `rows`."""
        finished = [row["trial"] for row in self.rows if row["status"] == "finished"]
        summaries = [RunFolder(SweepFolder(self.path).trials_folder / name).read_summary() for name in finished]
        return [Evaluation.from_json(summary["evaluation"]) for summary in summaries]


def conclude(folder: SweepFolder, plan: SweepPlan) -> Sweep:
    """Writes table, charts, best recipe and summary of a sweep whose trials have all ended.

    Args:
        folder: of the sweep.
        plan: of the sweep.

    Raises:
        TrainingError: when no trial has a result.
        StorageError: when the disk refuses.
    """
    rows = folder.rows()
    folder.write_table(rows)
    best = best_of(rows, plan.keys)
    if best is None:
        first = next((row["error"] for row in rows if row["error"]), "all were given up")
        raise TrainingError(
            f"none of the {len(rows)} trials has a result; the first error: {first} "
            f"(all of them: {shown(folder.table)}, {shown(folder.worker_log)})"
        )
    finished = Sweep(folder.path, plan.kind, plan.keys, rows, best)
    durable.write_text(folder.best, _best_recipe(folder, plan, best))
    durable.make_folder(folder.plots)
    draw_sweep(rows, plan.keys, folder.plots, plan.kind)
    durable.write_json(folder.summary, _summary(finished))
    return finished


def _best_recipe(folder: SweepFolder, plan: SweepPlan, best: Best) -> str:
    """Returns a recipe that runs as it is, with a header that says where it comes from."""
    recipe = resolve(load_recipe(folder.base), {**best.settings, "train.seed": best.seed})
    judged = "validation" if best.measure == "val_accuracy" else "test"
    lines = [
        f"The best of {plan.trials} trials of {plan.recipe}: "
        + (", ".join(f"{key} = {value}" for key, value in best.settings.items()) or f"seed {best.seed}"),
        f"{best.accuracy * 100:.1f} % of the {judged} pictures"
        + (f", mean of {best.runs} seeds" if best.runs > 1 else ", one run"),
    ]
    if best.measure == "test_accuracy":
        lines.append("Chosen by the test pictures: on new ones expect a little less (data.val_fraction sets some apart).")
    header = "".join(f"# {line}\n" for line in lines)
    return f"{header}# Command: tenfold train --recipe {shown(folder.best)}\n\n{to_toml(recipe)}"


def _summary(sweep: Sweep) -> Mapping[str, Any]:
    per_class = zip(*(evaluation.per_class for evaluation in sweep.evaluations()), strict=False)
    return {
        "kind": sweep.kind,
        "trials": dict(Counter(row["status"] for row in sweep.rows)),
        "best": asdict(sweep.best),
        "test_accuracy": asdict(sweep.accuracy),
        "per_class": {
            results[0].name: asdict(spread(recalls))
            for results in per_class
            if (recalls := [result.recall for result in results if result.recall is not None])
        },
    }
