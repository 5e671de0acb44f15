"""The end of a sweep: what came of it, written down."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import shown
from tenfold.core.errors import TrainingError
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.spread import Spread, spread
from tenfold.experiments.sweep.space import complete
from tenfold.experiments.sweep.sweep_plan import SweepPlan
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.report.outcomes import Outcome, Study
from tenfold.report.page.family import write_family_page
from tenfold.report.plots.sweep_charts import draw_sweep
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import Row, SweepFolder


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Args:
        path: of its folder.
        kind: `seeds`, `grid` or `search`.
        keys: in which the trials differ.
        rows: one for each trial, as in `sweep.csv`; at least one of them has a result.
    """

    path: Path
    kind: str
    keys: tuple[str, ...]
    rows: Sequence[Row]

    @cached_property
    def study(self) -> Study:
        """The rows gathered by setting."""
        return Study(self.rows, self.keys, self.kind)

    @property
    def best(self) -> Outcome:
        """The settings of highest mean accuracy, on validation pictures where there are any."""
        assert self.study.best is not None
        return self.study.best

    @property
    def accuracy(self) -> Spread:
        """Mean, deviation and interval of the finished trials' test accuracies; best read of several seeds."""
        return spread([row["test_accuracy"] for row in self.rows if row["status"] == "finished"])

    def evaluations(self) -> list[Evaluation]:
        """Returns what is known of each finished trial, in the order of `rows`."""
        finished = [row["trial"] for row in self.rows if row["status"] == "finished"]
        summaries = [RunFolder(SweepFolder(self.path).trials_folder / name).read_summary() for name in finished]
        return [Evaluation.from_json(summary["evaluation"]) for summary in summaries]


def conclude(folder: SweepFolder, plan: SweepPlan, report: bool = True) -> Sweep:
    """Writes table, best recipe, charts, summary and page of a sweep whose trials have all ended.

    Args:
        folder: of the sweep.
        plan: of the sweep.
        report: whether charts are drawn and the page is written.

    Raises:
        TrainingError: when no trial has a result.
        StorageError: when the disk refuses.
    """
    rows = folder.rows()
    folder.write_table(rows)
    finished = Sweep(folder.path, plan.kind, plan.keys, rows)
    if finished.study.best is None:
        first = next((row["error"] for row in rows if row["error"]), "all were given up")
        raise TrainingError(
            f"none of the {len(rows)} trials has a result; the first error: {first} "
            f"(all of them: {shown(folder.table)}, {shown(folder.worker_log)})"
        )
    durable.write_text(folder.best, _best_recipe(folder, plan, finished))
    if report:
        by_factors = [key for key, text in plan.search.items() if "log:" in text]
        draw_sweep(rows, plan.keys, folder.plots, plan.kind, logarithmic=by_factors)
    durable.write_json(folder.summary, {**_summary(finished), "seconds": read_log(folder.log)[-1]["time_s"]})
    if report:
        write_family_page(folder)
    return finished


def _best_recipe(folder: SweepFolder, plan: SweepPlan, sweep: Sweep) -> str:
    """Returns a recipe that runs as it is, with a header that says where it comes from."""
    best, study = sweep.best, sweep.study
    runs = [row for row in sweep.rows if study.accuracy(row) in best.accuracies and row["status"] == "finished"]
    seed = max(runs, key=lambda row: study.accuracy(row) or 0.0)["seed"]
    recipe = complete(load_recipe(folder.base), {**best.settings, "train.seed": seed}, plan.overrides)
    changed = ", ".join(f"{key} = {value}" for key, value in best.settings.items()) or f"seed {seed}"
    lines = [
        f"The best of {len(sweep.rows)} trials of {plan.recipe}: {changed}",
        f"{best.mean * 100:.1f} % {study.measure}, {best.spread.count} run{'s' * (best.spread.count > 1)}",
    ]
    if study.split == "test":
        lines.append(
            "Chosen by the test pictures: on new ones expect a little less (data.val_fraction sets some apart)"
        )
    header = "".join(f"# {line}\n" for line in lines)
    return f"{header}# Command: tenfold train --recipe {shown(folder.best)}\n\n{to_toml(recipe)}"


def _summary(sweep: Sweep) -> Mapping[str, Any]:
    """Returns what `summary.json` holds: each setting with mean and spread; of several seeds, each class too."""
    measure = sweep.study.measure.replace(" ", "_")
    summary = {
        "kind": sweep.kind,
        "trials": dict(Counter(row["status"] for row in sweep.rows)),
        "best": dict(sweep.best.settings),
        "outcomes": [
            {"settings": dict(outcome.settings), measure: asdict(outcome.spread)} for outcome in sweep.study.outcomes
        ],
    }
    if sweep.kind == "seeds":
        summary |= {"test_accuracy": asdict(sweep.accuracy), "per_class": _per_class(sweep.evaluations())}
    return summary


def _per_class(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Returns mean and spread of each class's accuracy; a class without test pictures is left out."""
    classes = zip(*(evaluation.per_class for evaluation in evaluations), strict=True)
    recalls = {results[0].name: [r.recall for r in results if r.recall is not None] for results in classes}
    return {name: asdict(spread(values)) for name, values in recalls.items() if values}
