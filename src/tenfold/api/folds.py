"""Cross-validation: K runs of one recipe, each tested on a fold that it was not trained on, and a final model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tenfold.api.auto_recipe import chosen_recipe
from tenfold.api.data import DataSource, dataset_of
from tenfold.api.prepare import check_early, recipe_with_target, report_dataset, with_actual_data
from tenfold.api.sweep_results import Sweep
from tenfold.api.sweep_running import begin_sweep, checked
from tenfold.api.weights import with_weights
from tenfold.core.devices import choose_device
from tenfold.core.errors import UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.text import plural
from tenfold.data.arrays import described
from tenfold.data.types import Dataset
from tenfold.experiments.sweep.sweep_plan import FOLD_KEY, plan_folds, share_cores
from tenfold.experiments.sweep.trials import SweepProgress, default_sweep_progress
from tenfold.recipes.load import key_of, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweep_folder import SweepFolder

_FOLD_KEYS = ("data.folds", FOLD_KEY)


def cross_validate(
    recipe: str | Path | Recipe,
    folds: int,
    *,
    data: DataSource | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    jobs: int = 0,
    report: bool = True,
    sweep_progress: SweepProgress | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Sweep:
    """Trains a recipe once for each fold, then a final model on all folds; the arguments are those of `sweep`.

    The folds are drawn from the training images and, where test images would be drawn, from these too. A test split of
    the source stays out of it.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.
    """
    progress = progress or default_progress()
    if not isinstance(data, str | Path | None):
        raise UsageError(
            f"data is {described(data)}; the processes of a cross-validation need a source to read: expected a name "
            "or a path"
        )
    for line in overrides:
        if key_of(line) in _FOLD_KEYS:
            raise UsageError(f"--folds and {key_of(line)} were both given; --folds sets it, so leave it out")
    recipe, recipe_name, _ = chosen_recipe(recipe, data, overrides, progress, runs=runs, name=name)
    base, overrides = recipe_with_target(recipe, overrides, progress)
    if base.train.target:
        raise UsageError("--folds and train.target were both given; a cross-validation has no time to a target")
    plan, trials = plan_folds(base, recipe_name, folds, overrides)
    base = resolve(base, {} if data is None else {"data.source": str(data)})
    base = with_weights(resolve(base, {"data.folds": folds, FOLD_KEY: 0}), progress)
    check_early(base, Path(runs), name)
    dataset = dataset_of(base.data, progress)
    _report(dataset, base, progress)
    base = with_actual_data(base, dataset)
    on_gpu = choose_device(base.train.device).type != "cpu"
    jobs, threads = share_cores(folds, torch.get_num_threads(), jobs=jobs, threads=base.train.threads, on_gpu=on_gpu)
    plan = replace(plan, jobs=jobs, threads=threads)
    ordered = checked(base, plan, trials, progress)
    parts = (dataset.name, recipe_name, "folds")
    folder = SweepFolder.create(Path(runs), parts, plan.to_json(), to_toml(base), trials, name)
    return begin_sweep(folder, plan, base, ordered, sweep_progress or default_sweep_progress(), report, command)


def _report(dataset: Dataset, recipe: Recipe, progress: Progress) -> None:
    """Reports the data, the folds, and what becomes of test and validation images of its own."""
    report_dataset(dataset, progress, recipe)
    num_images = len(dataset.train) + (len(dataset.val) if dataset.val is not None and "val" in dataset.drawn else 0)
    progress.message(
        f"cross-validation: {plural(num_images, 'image')} in {recipe.data.folds} folds, then a final model on "
        "all of them"
    )
    if len(dataset.test):
        progress.message(
            f"the {plural(len(dataset.test), 'test image')} of {dataset.name} are in no fold and stay unseen: "
            "tenfold eval evaluates the final model on them"
        )
