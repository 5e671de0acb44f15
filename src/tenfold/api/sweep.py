"""Runs of one recipe with several seeds, over a grid of settings, or in a search."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tenfold.api.auto_recipe import chosen_recipe
from tenfold.api.data import DataSource, absolute_paths, dataset_of, recorded_section
from tenfold.api.prepare import (
    check_early,
    is_futile_to_vary,
    recipe_with_target,
    report_dataset,
    with_actual_data,
)
from tenfold.api.runs import RunSource, path_of
from tenfold.api.sweep_results import Sweep
from tenfold.api.sweep_running import begin_sweep, checked, recipe_of, run_sweep
from tenfold.api.weights import with_weights
from tenfold.core.devices import choose_device
from tenfold.core.disk import display_path
from tenfold.core.errors import RunError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.data.arrays import described
from tenfold.engine import preflight
from tenfold.experiments.sweep.ray_cluster import ray_options
from tenfold.experiments.sweep.sweep_plan import SweepPlan, plan_sweep, share_cores
from tenfold.experiments.sweep.trials import SweepProgress, default_sweep_progress
from tenfold.experiments.sweep.values import RECIPE_KEY
from tenfold.recipes.auto import AUTO
from tenfold.recipes.keywords import keyword_lines
from tenfold.recipes.load import key_of, load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import copy_image_lists
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

_VAL_FRACTION = 0.1
"""Validation fraction of a search whose recipe has no validation split."""


def sweep(
    recipe: str | Path | Recipe = AUTO,
    *,
    vary: Sequence[str] | Mapping[str, Sequence[Any]] = (),
    search: Sequence[str] = (),
    trials: int | None = None,
    seeds: int | Sequence[int] | None = None,
    resplit: bool = False,
    data: DataSource | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    target: float | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    jobs: int = 0,
    ray: bool | str = False,
    cpus_per_trial: int = 0,
    gpus_per_trial: float | None = None,
    storage: str | None = None,
    prune: bool = True,
    report: bool = True,
    sweep_progress: SweepProgress | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Sweep:
    """Trains a recipe many times: with several seeds, with every combination of values, or in a search.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`; `auto` is one for small images or one for photos.
        vary: `"section.key=value,value"` each, or values by dotted key; every combination is tried.
        search: `"section.key=log:1e-4..1"` each; Optuna proposes values by validation accuracy alone.
        trials: number of trials of a search; 20 by default.
        seeds: number of runs of each combination, from the recipe's seed on, or the seeds themselves.
        resplit: whether each seed also draws test and validation images of its own, where the data leaves that open.
        data: a dataset's name or path, as for `--data`; the recipe's by default. The processes of a sweep cannot read
            data in memory.
        epochs: training length of each run in epochs; the recipe's by default.
        batch_size: images per training step; the recipe's by default.
        lr: learning rate; the recipe's by default.
        target: validation accuracy in (0, 1) that ends a run.
        overrides: `"section.key=value"` each, for all trials.
        name: sweep folder name; dataset, recipe, date and time by default.
        runs: folder for sweep folders.
        jobs: number of trials at the same time; 0 chooses.
        ray: whether trials are tasks of a Ray cluster on this machine; or the address of one, HOST:PORT or `auto`.
        cpus_per_trial: CPUs, and threads, of each Ray task; by default `train.threads`, or one.
        gpus_per_trial: GPUs of each Ray task, such as 0.25; by default one where the cluster has some.
        storage: SQLAlchemy URL of the search's storage; a SQLite file in the sweep folder by default.
        prune: whether a search stops trials that fall behind.
        report: whether to draw charts and write `report.html` at the end.
        sweep_progress: receives the progress of the trials; a bar in notebooks and silent elsewhere by default.
        progress: receives the progress of the data preparation; shown in notebooks and silent elsewhere by default.
        command: command line, for `env.json`.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.

    Example:
        >>> study = tenfold.sweep("wide", vary={"model.width": [30, 90]}, seeds=3)  # doctest: +SKIP
        >>> study.best.settings  # doctest: +SKIP
        {'model.width': 90}
    """
    options = ray_options(ray, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial, jobs=jobs)
    progress = progress or default_progress()
    if not isinstance(data, str | Path | None):
        raise UsageError(
            f"data is {described(data)}; the processes of a sweep need a source to read: expected a name or a path"
        )
    overrides = keyword_lines(overrides, epochs=epochs, batch_size=batch_size, lr=lr, target=target)
    varied = [key_of(line) for line in [*vary, *search]]  # a mapping yields its keys
    recipe, recipe_name, _ = chosen_recipe(recipe, data, overrides, progress, runs=runs, name=name, varied=varied)
    base, overrides = recipe_with_target(recipe, overrides, progress, varied)
    base = with_weights(base if data is None else resolve(base, {"data.source": str(data)}), progress)
    _check_varied(base, varied)
    plan, listed = plan_sweep(
        base,
        recipe_name,
        vary,
        search,
        overrides=overrides,
        seeds=seeds,
        trials=trials,
        storage=storage,
        prune=prune,
        resplit=resplit,
    )
    one_network = not any(key.startswith(("model.", RECIPE_KEY)) for key in plan.keys)
    check_early(base, Path(runs), name, check_network=one_network)
    on_gpu = choose_device(base.train.device).type != "cpu"
    if plan.search and not base.data.val_fraction:
        base = resolve(base, {"data.val_fraction": _VAL_FRACTION})
    dataset = dataset_of(base.data, progress)
    if resplit and not dataset.drawn:
        raise UsageError(
            f"--resplit has nothing to vary: {dataset.name} has its own test split and draws no validation images; "
            "leave --resplit out, or draw some: --set data.val_fraction=0.1"
        )
    report_dataset(dataset, progress, base)
    base = with_actual_data(base, dataset)
    jobs, threads = share_cores(
        plan.trials, torch.get_num_threads(), jobs=jobs, threads=base.train.threads, on_gpu=on_gpu
    )
    if options is not None:
        threads = base.train.threads or cpus_per_trial or 1
    study = "search" if storage is None else name or f"{dataset.name}-{recipe_name}"
    plan = replace(plan, jobs=jobs, threads=threads, study=study)
    if plan.search and not any(key.startswith(("model.", "data.", RECIPE_KEY)) for key in plan.search):
        preflight.check_network(base, dataset)  # all trials have this network
    ordered = checked(base, plan, listed, progress)
    recipe_name = "recipes" if RECIPE_KEY in plan.vary else recipe_name
    parts = (dataset.name, recipe_name, "seeds" if plan.kind == "seeds" else "sweep")
    folder = SweepFolder.create(Path(runs), parts, plan.to_json(), to_toml(base), listed, name)
    return begin_sweep(
        folder, plan, base, ordered, sweep_progress or default_sweep_progress(), report, command, options
    )


def _check_varied(base: Recipe, varied: Sequence[str]) -> None:
    """Raises UsageError where all trials would be the same, because a key has no effect on a head that is fitted."""
    unused = next(filter(is_futile_to_vary, varied), None)
    if unused is not None and base.train.layers == "head" and not {RECIPE_KEY, "train.layers"} & set(varied):
        raise UsageError(
            f"{unused} is varied, but train.layers = head fits the head without training steps; vary optim.head_l2 or "
            "what the images are like, or train all layers: --recipe photo-tuned"
        )


def resume_sweep(
    path: RunSource,
    *,
    jobs: int = 0,
    ray: bool | str = False,
    cpus_per_trial: int = 0,
    gpus_per_trial: float | None = None,
    trials: int | None = None,
    data: str | Path | None = None,
    sweep_progress: SweepProgress | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Resumes a sweep that was stopped or killed: runs exactly the trials that have no result yet.

    Args:
        path: of the sweep folder, or the `Sweep`.
        jobs: number of trials at the same time; 0 keeps the previous number.
        ray: see `sweep`; where trials run may change.
        cpus_per_trial: see `sweep`.
        gpus_per_trial: see `sweep`.
        trials: new total number of trials of a search.
        data: where the images are now, if they have moved.
        sweep_progress: see `sweep`.
        progress: see `sweep`.

    Raises:
        TenfoldError: one line with what was found, what was expected and what to do.
    """
    options = ray_options(ray, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial, jobs=jobs)
    folder = SweepFolder.open(path_of(path, "sweep"))
    with folder.lock():
        plan, base = SweepPlan.from_json(folder.plan()), copy_image_lists(load_recipe(folder.base), folder.path)
        progress = progress or default_progress()
        section = recorded_section(base.data, folder.path, None if data is None else str(data))
        base = resolve(base.model_copy(update={"data": section}), absolute_paths(section))
        _check_same_images(folder, plan, base, progress)
        if trials is not None and plan.kind != "search":
            raise UsageError(f"{display_path(folder.path)} is not a search: its grid has {plan.trials} trials")
        plan = replace(plan, jobs=jobs or plan.jobs, trials=trials or plan.trials)
        ordered = checked(base, plan, folder.unfinished_trials(), progress)
        return run_sweep(folder, plan, base, ordered, sweep_progress or default_sweep_progress(), ray=options)


def _check_same_images(folder: SweepFolder, plan: SweepPlan, base: Recipe, progress: Progress) -> None:
    """Raises RunError where a finished trial has been trained on other images than those that are there now."""
    for trial in [trial for trial in folder.trials() if RunFolder(folder.run_path(trial)).is_finished][:1]:
        section, summary = recipe_of(plan, base, trial).data, RunFolder(folder.run_path(trial)).read_summary()
        if summary["dataset"]["fingerprint"] != dataset_of(section, progress).fingerprint:
            place = display_path(folder.path)
            raise RunError(f"{section.source} is not the data of {place}: its images have changed; restore them")
