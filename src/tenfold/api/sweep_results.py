"""The results of a sweep, and the files that hold them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.errors import TrainingError
from tenfold.core.text import interval, mean_text, percent, plural
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.settings import SettingPair
from tenfold.evaluate.spread import Spread, accuracy_spread
from tenfold.experiments.sweep.space import complete_recipe
from tenfold.experiments.sweep.sweep_plan import SweepPlan
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.report.page.sweep_page import write_sweep_page
from tenfold.report.plots.sweep_charts import plot_sweep
from tenfold.report.read_study import read_study
from tenfold.report.study import Row, SettingResult, Study, TargetTimes
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Args:
        path: of the sweep folder.
        kind: `seeds`, `folds`, `grid` or `search`.
        keys: dotted keys in which the trials differ.
        study: its trials, grouped by setting; at least one has a result.
    """

    path: Path
    kind: str
    keys: tuple[str, ...]
    study: Study

    def __repr__(self) -> str:
        best, measured = self.best, self.accuracy
        if self.kind == "seeds":
            found = f"{plural(measured.count, 'seed')} {mean_text(measured.mean, measured.std)}"
            return f"Sweep({str(self.path)!r}, {found}, 95 % interval {interval(measured.interval)})"
        if self.kind == "folds":
            found = f"{plural(measured.count, 'fold')}, out-of-fold accuracy {percent(measured.mean)}"
            return f"Sweep({str(self.path)!r}, {found}, 95 % interval {interval(measured.interval)})"
        settings = ", ".join(f"{key}={value}" for key, value in best.settings.items())
        return f"Sweep({str(self.path)!r}, {plural(len(self.rows), 'trial')}, best {settings}: {percent(best.mean)})"

    @property
    def rows(self) -> Sequence[Row]:
        """One row for each trial, as in `sweep.csv`."""
        return self.study.rows

    @property
    def best(self) -> SettingResult:
        """The setting with the highest mean accuracy, on the validation split if there is one."""
        assert self.study.best is not None
        return self.study.best

    @property
    def accuracy(self) -> Spread:
        """Mean, std and 95 % interval of the test accuracies of all finished trials; meaningful for several seeds.

        Of a cross-validation the mean is the accuracy over all images, out of fold.
        """
        return self.study.tested([row for row in self.rows if row["status"] == "finished"])

    def evaluations(self) -> list[Evaluation]:
        """Returns the test evaluation of each finished trial, in the order of `rows`."""
        return [Evaluation.from_json(summary["evaluation"]) for summary in self.summaries().values()]

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Returns the content of `summary.json` of each finished trial, by its name, in the order of `rows`."""
        finished = [row["trial"] for row in self.rows if row["status"] == "finished"]
        folder = SweepFolder(self.path).trials_folder
        return {name: RunFolder(folder / name).read_summary() for name in finished}


def conclude(folder: SweepFolder, plan: SweepPlan, report: bool = True) -> Sweep:
    """Writes table, best recipe, charts, summary and page of a sweep whose trials have ended.

    Args:
        folder: of the sweep.
        plan: of the sweep.
        report: whether to draw charts and write the page.

    Raises:
        TrainingError: when no trial has a result.
        StorageError: when a file cannot be written.
    """
    rows = folder.rows()
    folder.write_table(rows)
    finished = Sweep(folder.path, plan.kind, plan.keys, read_study(folder))
    if finished.study.best is None:
        first = next((row["error"] for row in rows if row["error"]), "all were pruned")
        raise TrainingError(
            f"none of the {len(rows)} trials has a result; the first error: {first} "
            f"(all of them: {display_path(folder.table)}, {display_path(folder.worker_log)})"
        )
    durable.write_text(folder.best, _best_recipe(folder, plan, finished))
    if report:
        log_scaled = [key for key, text in plan.search.items() if "log:" in text] if plan.search else None
        plot_sweep(finished.study, folder.plots, logarithmic=log_scaled)
    durable.write_json(folder.summary, {**_summary(finished), "seconds": read_log(folder.log)[-1]["time_s"]})
    if report:
        write_sweep_page(folder, finished.study)
    return finished


def _best_recipe(folder: SweepFolder, plan: SweepPlan, sweep: Sweep) -> str:
    """Returns the best recipe as TOML, complete, with a header that states its origin."""
    best, study = sweep.best, sweep.study
    runs = [row for row in sweep.rows if study.accuracy(row) in best.accuracies and row["status"] == "finished"]
    seed = max(runs, key=lambda row: study.accuracy(row) or 0.0)["seed"]
    split = {"data.split_seed": seed} if plan.resplit else {}
    settings = {**best.settings, "train.seed": seed, **split}
    recipe = complete_recipe(load_recipe(folder.base), settings, plan.overrides)
    changed = ", ".join(f"{key} = {value}" for key, value in best.settings.items()) or f"seed {seed}"
    lines = [
        f"The best of {len(sweep.rows)} trials of {plan.recipe}: {changed}",
        f"{best.mean * 100:.1f} % {study.metric}, {best.spread.count} run{'s' * (best.spread.count > 1)}",
    ]
    if study.split == "test":
        lines.append(
            "Chosen by test accuracy: expect a little less on new images (data.val_fraction makes a validation split)"
        )
    header = "".join(f"# {line}\n" for line in lines)
    return f"{header}# Command: tenfold train --recipe {display_path(folder.best)}\n\n{to_toml(recipe)}"


def _summary(sweep: Sweep) -> Mapping[str, Any]:
    """Returns the content of `summary.json`: mean and spread of each setting; for several seeds, of each class too."""
    metric = sweep.study.metric.replace(" ", "_")
    chosen = sweep.kind != "seeds"  # nothing is chosen among seeds
    summary = {
        "kind": sweep.kind,
        "best": dict(sweep.best.settings) if chosen else None,
        "chosen_by": sweep.study.split if chosen else None,
        **collected(sweep),
        "outcomes": [
            {"settings": dict(result.settings), metric: result.spread.to_json()} for result in sweep.study.results
        ],
        "comparisons": [_comparison(sweep.study, pair) for pair in sweep.study.comparisons],
        "interval_covers": sweep.study.covers if sweep.study.num_seeds > 1 else "new images",
    }
    if sweep.study.target_times is not None:
        summary["target_seconds"] = _target_times(sweep.study.target_times)
    if sweep.kind == "seeds":
        per_class = _per_class(sweep.evaluations(), own_test_splits=sweep.study.own_test_splits)
        summary |= {"test_accuracy": sweep.accuracy.to_json(), "per_class": per_class}
    return summary


def collected(sweep: Sweep) -> dict[str, Any]:
    """Returns what the trials changed, how they ended, and their near duplicates by trial, for `summary.json`."""
    summaries = sweep.summaries()
    changes = [change for one in summaries.values() for change in one.get("changes", [])]
    duplicates = {name: found for name, one in summaries.items() if (found := one.get("near_duplicates"))}
    return {
        "trials": dict(Counter(row["status"] for row in sweep.rows)),
        "changes": [change for index, change in enumerate(changes) if change not in changes[:index]],
        "near_duplicates": duplicates or None,
    }


def _comparison(study: Study, pair: SettingPair) -> dict[str, Any]:
    """Returns the comparison of the best setting with another one; `difference` is the other minus the best."""
    return {
        "best": dict(study.results[pair.first].settings),
        "other": dict(study.results[pair.second].settings),
        "difference": pair.difference,
        "interval": list(pair.interval),
        "p": pair.p,
        "p_holm": pair.p_holm,
        "within_noise": pair.within_noise,
    }


def _target_times(times: TargetTimes) -> dict[str, Any]:
    """Returns the spread of the times of the trials that reached the target, and how many trials there are."""
    if times.seconds is None:
        return {"trials": times.total, "count": 0}
    return {"trials": times.total, **replace(times.seconds, interval=None).to_json()}  # it would leave out the others


def _per_class(evaluations: Sequence[Evaluation], *, own_test_splits: bool) -> dict[str, Any]:
    """Returns mean and spread of the accuracy of each class that has test images.

    Where each seed has its own test images, the numbers of a class differ, and there is no interval.
    """
    classes = [results for results in zip(*(one.per_class for one in evaluations), strict=True) if results[0].support]
    return {
        results[0].name: accuracy_spread(
            [result.recall for result in results if result.recall is not None],
            None if own_test_splits else results[0].support,
        ).to_json()
        for results in classes
    }
