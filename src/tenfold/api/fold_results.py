"""The end of a cross-validation: predictions out of fold, the final model, and the files that hold the results."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from tenfold.api.data import dataset_of
from tenfold.api.resume import newest_checkpoint
from tenfold.api.sweep_results import Sweep, collected
from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.errors import TrainingError
from tenfold.core.progress import SilentProgress
from tenfold.core.text import duration, plural
from tenfold.engine.run import run
from tenfold.experiments.sweep.sweep_plan import FOLD_KEY, SweepPlan
from tenfold.experiments.sweep.trials import SweepProgress
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.report.out_of_fold import OutOfFold
from tenfold.report.page.sweep_page import write_sweep_page
from tenfold.report.plots.sweep_charts import plot_sweep
from tenfold.report.read_study import read_study
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder
from tenfold.runs.tables import OutOfFoldRow, write_out_of_fold


def conclude_folds(
    folder: SweepFolder, plan: SweepPlan, recipe: Recipe, progress: SweepProgress, report: bool = True
) -> Sweep:
    """Collects the predictions of all folds, trains the final model, and writes table, charts, summary and page.

    Args:
        folder: of the cross-validation, whose trials have ended.
        plan: of the cross-validation.
        recipe: of the final model, which is trained on all folds.
        progress: receives messages.
        report: whether to draw charts and write the page.

    Raises:
        TrainingError: when a fold has no result: an accuracy over all images needs each of them.
        TenfoldError: see `engine.run.run`.
    """
    rows = folder.rows()
    folder.write_table(rows)
    missing = [row for row in rows if row["status"] != "finished"]
    if missing:
        raise TrainingError(
            f"{plural(len(missing), 'fold')} of {plan.folds} ended without a result, so there is no accuracy over all "
            f"images; the first error: {missing[0]['error']}; retry: tenfold sweep --resume {display_path(folder.path)}"
        )
    write_out_of_fold(folder.out_of_fold, _rows(folder, recipe))
    finished = Sweep(folder.path, plan.kind, plan.keys, read_study(folder))
    found = finished.study.out_of_fold
    assert found is not None
    _train_final(folder, recipe, _metrics(found), progress)
    if report:
        plot_sweep(finished.study, folder.plots)
    seconds = read_log(folder.log)[-1]["time_s"]
    durable.write_json(folder.summary, {**_summary(finished, found), "seconds": seconds})
    if report:
        write_sweep_page(folder, finished.study)
    return finished


def _rows(folder: SweepFolder, recipe: Recipe) -> list[OutOfFoldRow]:
    """Returns the predictions of all folds, with the groups of their images."""
    rows = []
    for number, trial in enumerate(folder.trials(), start=1):
        trial_run = RunFolder(folder.run_path(trial))
        predictions = trial_run.read_predictions()
        groups: Sequence[str] | None = None
        if trial_run.read_summary()["dataset"].get("groups"):
            section = recipe.data.model_copy(update={FOLD_KEY.partition(".")[2]: number})
            groups = dataset_of(section, SilentProgress()).test.groups
        names = groups or ("",) * len(predictions)
        rows += [OutOfFoldRow(row, number, name) for row, name in zip(predictions, names, strict=True)]
    return rows


def _metrics(found: OutOfFold) -> dict[str, Any]:
    """Returns what the model file of the final model says about its accuracy."""
    return {
        "cross_validation": {
            "accuracy": found.accuracy,
            "interval": list(found.interval),
            "folds": found.folds,
            "images": len(found.predictions),
            "note": f"accuracy of {found.folds} other networks of this recipe, each tested on images that it was not "
            "trained on; this model was trained on all of these images, and none tested it",
        }
    }


class _FinalProgress(SilentProgress):
    """Passes the warnings of the final model on."""

    def __init__(self, progress: SweepProgress) -> None:
        self.warn = progress.warn  # type: ignore[method-assign]


def _train_final(folder: SweepFolder, recipe: Recipe, metrics: Mapping[str, Any], progress: SweepProgress) -> None:
    """Trains the model on all folds, or goes on with it, unless it is there."""
    final, silent = RunFolder(folder.final), _FinalProgress(progress)
    durable.make_folder(final.path)
    with final.lock():
        if final.log.is_file() and any(entry["event"] == "finished" for entry in read_log(final.log)):
            return
        checkpoint = None
        if final.recipe.is_file():  # it was interrupted; the images may have moved since
            recipe = load_recipe(final.recipe).model_copy(update={"data": recipe.data})
            checkpoint = newest_checkpoint(final, silent)
        else:
            recipe = resolve(recipe, {})
            durable.write_text(final.recipe, to_toml(recipe))
            final.write_environment(["tenfold", "train"], recipe.train.threads or None)
        dataset, began = dataset_of(recipe.data, silent), perf_counter()
        progress.message(f"the final model is trained on {plural(len(dataset.train), 'image')}")
        run(recipe, dataset, final, silent, checkpoint=checkpoint, metrics=metrics)
        progress.message(f"final model: {display_path(final.path)}, trained in {duration(perf_counter() - began)}")


def _summary(sweep: Sweep, found: OutOfFold) -> dict[str, Any]:
    """Returns the content of `summary.json` of a cross-validation."""
    tested = sweep.accuracy
    return {
        "kind": sweep.kind,
        "folds": found.folds,
        "images": len(found.predictions),
        "out_of_fold_accuracy": found.accuracy,
        "out_of_fold_interval": list(found.interval),
        "interval_covers": sweep.study.covers,
        **found.means,
        "fold_accuracies": {"deviation": tested.std, "lowest": tested.lowest, "highest": tested.highest},
        "per_class": {
            one.name: {
                "images": one.support,
                "recall": one.recall,
                "interval": one.interval,
                "precision": one.precision,
            }
            for one in found.per_class
        },
        "confusion": found.predictions.confusion.tolist(),
        "final": RunFolder(SweepFolder(sweep.path).final).path.name,
        **collected(sweep),
    }
