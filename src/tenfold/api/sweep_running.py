"""Runs the trials of a sweep, of several seeds or of a cross-validation, after everything about them was checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from tenfold.api.data import absolute_paths, dataset_of, request_of
from tenfold.api.fold_results import conclude_folds
from tenfold.api.sweep_results import Sweep, conclude
from tenfold.api.trial import run_trial
from tenfold.api.weights import with_weights
from tenfold.core import durable
from tenfold.core.disk import display_path
from tenfold.core.progress import Progress
from tenfold.data.build import DataRequest
from tenfold.data.types import Leak
from tenfold.engine import preflight
from tenfold.engine.changes import recipe_changes
from tenfold.engine.frozen import prepare_features
from tenfold.engine.run import make_classifier
from tenfold.engine.signals import StopRequest
from tenfold.experiments.sweep.distributions import parse_search
from tenfold.experiments.sweep.pool import Pool, run_jobs
from tenfold.experiments.sweep.ray_cluster import RayOptions, connected
from tenfold.experiments.sweep.ray_pool import RayPool
from tenfold.experiments.sweep.search import Search
from tenfold.experiments.sweep.sent_folder import sending_folders
from tenfold.experiments.sweep.space import complete_recipe
from tenfold.experiments.sweep.sweep_plan import SweepPlan, final_trial
from tenfold.experiments.sweep.trials import SearchTrials, SweepProgress, TrialList, run_trials
from tenfold.inspect.drawn_splits import drawn_leaks, fold_leak_lines, leak_lines
from tenfold.recipes.load import resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.environment import describe_environment
from tenfold.runs.folders import copy_image_lists
from tenfold.runs.log import Log
from tenfold.runs.sweep_folder import SweepFolder, Trial


def recipe_of(plan: SweepPlan, base: Recipe, trial: Trial) -> Recipe:
    """Returns the complete recipe of a trial.

    The number of CPU threads is a matter of the machine: workers get it through their environment.
    """
    split = {"data.split_seed": trial.seed} if plan.resplit else {}
    return with_weights(complete_recipe(base, {**trial.settings, "train.seed": trial.seed, **split}, plan.overrides))


def checked(base: Recipe, plan: SweepPlan, trials: Sequence[Trial], progress: Progress) -> list[Trial]:
    """Prepares all datasets, tries out the network of each trial, and returns the trials, the longest first.

    The longest trial must not start last, because the other workers would wait for it.
    """
    work: dict[str, float] = {}
    lines: dict[str, None] = {}  # each is said once
    changes: dict[str, None] = {}
    in_folds: list[Leak] = []
    request: DataRequest | None = None
    for trial in trials:
        recipe = recipe_of(plan, base, trial)
        if request_of(recipe.data) != request:  # one dataset at a time: images that were drawn are copies
            request, dataset = request_of(recipe.data), dataset_of(recipe.data, progress)
            leaks = drawn_leaks(dataset, progress.prepare)  # remembered for the trials
            in_folds += [leaks["test"]] if plan.folds and leaks else []
            found = () if plan.folds else leak_lines(dataset, leaks)
            lines |= dict.fromkeys(f"seed {trial.seed}: {line}" if plan.resplit else line for line in found)
            if recipe.train.layers != "all":
                with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
                    classifier = make_classifier(recipe, dataset, None)
                prepare_features(classifier, recipe, dataset, progress)
        work[trial.name] = preflight.check(recipe, dataset)
        changes |= dict.fromkeys(map(str, recipe_changes(recipe, dataset)))
    for line in (*lines, *fold_leak_lines(in_folds), *changes):
        progress.message(line)
    return sorted(trials, key=lambda trial: -work[trial.name])


def begin_sweep(
    folder: SweepFolder,
    plan: SweepPlan,
    base: Recipe,
    trials: Sequence[Trial],
    sweep_progress: SweepProgress,
    report: bool,
    command: Sequence[str],
    ray: RayOptions | None = None,
) -> Sweep:
    """Runs a new sweep, whose folder first gets the lists of images and the environment that its trials need."""
    with folder.lock():
        base = copy_image_lists(base, folder.path)
        durable.write_text(folder.base, to_toml(base))
        durable.write_json(folder.path / "env.json", describe_environment(command))
        return run_sweep(folder, plan, base, trials, sweep_progress, report, ray)


def run_sweep(
    folder: SweepFolder,
    plan: SweepPlan,
    base: Recipe,
    trials: Sequence[Trial],
    sweep_progress: SweepProgress,
    report: bool = True,
    ray: RayOptions | None = None,
) -> Sweep:
    """Runs the trials, in processes of this machine or on a Ray cluster, and summarizes their results."""
    log = Log(folder.log)
    log.write("begun", trials=len(trials), jobs=plan.jobs, threads=plan.threads)

    def payload(trial: Trial) -> tuple[str, dict[str, Any]]:
        recipe = recipe_of(plan, base, trial)
        recipe = resolve(recipe, absolute_paths(recipe.data))  # a sweep may vary them; workers may be in other folders
        return str(folder.run_path(trial)), recipe.model_dump(mode="json")

    try:
        with (
            _pool(folder, plan, base, ray) as pool,
            _source(folder, plan, base, trials) as source,
            StopRequest() as stop,
        ):
            run_trials(
                folder,
                source,
                run_trial,
                payload,
                sweep_progress,
                log,
                num_trials=plan.trials,
                pool=pool,
                should_stop=lambda: stop.received is not None,
            )
    finally:
        sweep_progress.finish()
    if stop.received is not None:
        done = sum(row["status"] != "waiting" for row in folder.rows())
        raise stop.error(
            f"stopped with {done} of {plan.trials} trials ended, all saved; "
            f"resume with: tenfold sweep --resume {display_path(folder.path)}{f' {ray.flag}' if ray else ''}"
        )
    log.write("finished")
    if plan.folds:
        return conclude_folds(folder, plan, recipe_of(plan, base, final_trial(plan)), sweep_progress, report)
    return conclude(folder, plan, report)


@contextmanager
def _pool(folder: SweepFolder, plan: SweepPlan, base: Recipe, ray: RayOptions | None) -> Iterator[Pool]:
    """Yields what runs the trials."""
    if ray is None:
        yield partial(run_jobs, num_workers=plan.jobs, threads=plan.threads, log=folder.worker_log)
        return
    with connected(ray):
        options = ray.for_device(base.train.device, cpus=plan.threads)
        yield sending_folders(RayPool(options, plan.threads, folder.worker_log), folder)


@contextmanager
def _source(
    folder: SweepFolder, plan: SweepPlan, base: Recipe, trials: Sequence[Trial]
) -> Iterator[TrialList | SearchTrials]:
    """Yields the source of the trials; closes the storage of a search at the end."""
    if plan.kind != "search":
        yield TrialList(trials)
        return
    spaces = dict(parse_search(f"{key}={text}") for key, text in plan.search.items())
    storage = plan.storage or folder.path / "study.db"
    seed = base.train.seed
    study = Search(
        spaces, storage=storage, sweep=plan.mark, study=plan.study, seed=seed, prune=plan.prune, warmup=_warmup(base)
    )
    try:
        yield SearchTrials(study, folder, plan.trials, seed)
    finally:
        study.close()


def _warmup(base: Recipe) -> int:
    """Returns the number of epochs before a search may prune a trial: a quarter of the run, at least one."""
    duration = base.train.duration
    return max(1, int(duration.amount) // 4) if duration.unit == "epochs" else 1
